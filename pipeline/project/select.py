"""A model's SELECT, parsed, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import sqlglot
from sqlglot import exp

from pipeline.errors import ProjectError
from pipeline.project.masks import TOKEN
from pipeline.project.model import Model, RowSelect, Said

_PARTS = {
    "joins": "a join",
    "group": "GROUP BY",
    "distinct": "DISTINCT",
    "limit": "LIMIT",
    "having": "HAVING",
    "where": "WHERE",
    "qualify": "QUALIFY",
    "with_": "WITH",
    "order": "ORDER BY",
}  # of a SELECT: what rows do not go through one by one


@lru_cache(maxsize=512)
def parse(text: str, path: Path) -> exp.Query:
    """The tree of a SELECT, which nobody may change. Raises ProjectError with file and line."""
    try:
        statements = [found for found in sqlglot.parse(text, read="duckdb") if found is not None]
    except sqlglot.errors.SqlglotError as error:
        line, what = _where(error)
        raise ProjectError(f"the SQL cannot be read: {what}", where=f"{path}:{line}", do="correct it") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ProjectError("a model is one SELECT", where=f"{path}:1", do="keep one statement, and only a SELECT")
    return statements[0]


def read_select(text: str, rules: Sequence[tuple[str, str]], path: Path, first: int) -> Said:
    """What a SELECT says, and the rules of its header on line `first`. Raises ProjectError with file and line."""
    conditions = [_condition(name, rule, path, first) for name, rule in rules]
    if not text:
        return Said(rules=conditions)
    select = parse(text, path)
    return Said(
        sql=select.sql("duckdb", comments=False),
        tables=_tables(select),
        outputs=select.named_selects,
        has_star=select.is_star,
        tokens=any(call.name.lower() == TOKEN for call in select.find_all(exp.Anonymous)),
        rows=_rows(select),
        rules=conditions,
    )


def _where(error: Exception) -> tuple[int, str]:
    details = getattr(error, "errors", None) or [{}]
    line = details[0].get("line") or 1
    return int(line), str(details[0].get("description") or error).splitlines()[0].rstrip(".")


def _condition(name: str, rule: str, path: Path, first: int) -> str:
    try:
        sqlglot.parse_one(f"SELECT {rule}", read="duckdb")
        return sqlglot.parse_one(rule, read="duckdb").sql("duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise ProjectError(
            f"the rule {name} cannot be read: {_where(error)[1]}", where=f"{path}:{first}", do="correct it"
        ) from error


def _tables(select: exp.Query) -> dict[str, int]:
    """The tables a query reads (its own CTEs left out), each with the line it stands on."""
    ctes = {cte.alias_or_name for cte in select.find_all(exp.CTE)}
    found: dict[str, int] = {}
    for table in select.find_all(exp.Table):
        if not table.db and (table.name in ctes or not isinstance(table.this, exp.Identifier)):
            continue
        full = f"{table.db}.{table.name}" if table.db else table.name
        found.setdefault(full, int(table.this.meta.get("line") or 1))
    return found


def _rows(select: exp.Query) -> RowSelect | None:
    """Its parts, if rows go through it one by one."""
    if _row_trouble(select, "") or not isinstance(select, exp.Select):
        return None
    (table,) = select.find_all(exp.Table)
    shown = ", ".join(one.sql("duckdb", comments=False) for one in select.expressions)
    bare = exp.table_(table.this.copy(), db=table.args["db"].copy() if table.db else None)
    return RowSelect(shown, bare.sql("duckdb"), exp.to_identifier(table.alias_or_name).sql("duckdb"))


def check_rows(model: Model) -> None:
    """Raises ProjectError when a join, a group or a filter of an upsert, append or scd2 model would break the row accounting."""
    trouble = _row_trouble(model.select, model.header.kind)
    if trouble:
        what, do = trouble
        raise ProjectError(what, where=f"{model.path}:{next(iter(model.lines.values()), 1)}", do=do)


def _row_trouble(select: exp.Query, kind: str) -> tuple[str, str] | None:
    """Why rows do not go through a SELECT one by one, and what to do."""
    if not isinstance(select, exp.Select) or len(list(select.find_all(exp.Table))) != 1:
        return f"a model of kind {kind} is one SELECT from one table", "join in a table of kind full instead"
    for part, word in _PARTS.items():
        if select.args.get(part):
            do = "use a rule, which sets rows aside and counts them" if part == "where" else "use kind full"
            return f"a model of kind {kind} cannot have {word}", do
    if any(select.find_all(exp.AggFunc, exp.Window, exp.Star)):
        return f"a model of kind {kind} names its columns, without aggregates and windows", "use kind full"
    return None
