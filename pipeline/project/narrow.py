"""A model's SELECT, narrowed to some rows of its one input and widened by their lineage."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from pipeline.errors import ProjectError
from pipeline.project.model import Model
from pipeline.project.source import Operation

CARRIED = ("_file_id", "_line", "_batch")
DELETED = "_deleted"


def row_by_row(model: Model) -> exp.Select:
    """The SELECT of an upsert, append or scd2 model: one table, one row out for each row in.

    Raises ProjectError when a join, a group or a filter would break the row accounting.
    """
    select = model.select
    where = f"{model.path}:{next(iter(model.lines.values()), 1)}"
    if not isinstance(select, exp.Select) or len(list(select.find_all(exp.Table))) != 1:
        raise ProjectError(
            f"a model of kind {model.header.kind} is one SELECT from one table",
            where=where,
            do="join in a table of kind full instead",
        )
    for part, word in (
        ("joins", "a join"),
        ("group", "GROUP BY"),
        ("distinct", "DISTINCT"),
        ("limit", "LIMIT"),
        ("having", "HAVING"),
        ("where", "WHERE"),
        ("qualify", "QUALIFY"),
        ("with_", "WITH"),
        ("order", "ORDER BY"),
    ):
        if select.args.get(part):
            raise ProjectError(
                f"a model of kind {model.header.kind} cannot have {word}",
                where=where,
                do="use a rule, which sets rows aside and counts them" if part == "where" else "use kind full",
            )
    if any(select.find_all(exp.AggFunc, exp.Window, exp.Star)):
        raise ProjectError(
            f"a model of kind {model.header.kind} names its columns, without aggregates and windows",
            where=where,
            do="use kind full",
        )
    return select


def new_rows(model: Model, operation: Operation | None = None) -> str:
    """SQL for the model's rows whose batch is above the first parameter, with their lineage columns.

    With an `operation` there is also `_deleted`: whether the row takes its key away.
    """
    select = row_by_row(model).copy()
    table = next(select.find_all(exp.Table))
    alias = table.alias_or_name
    inner = sqlglot.exp.select("*").from_(exp.table_(table.this.copy(), db=table.args["db"].copy()))
    if operation and table.db == "bronze":
        inner = inner.select(_deletes(operation).as_(DELETED))
    narrowed = inner.where(exp.GT(this=exp.column("_batch"), expression=exp.Placeholder()))
    table.replace(narrowed.subquery(alias))
    carried = carried_columns(operation)
    return select.select(*(exp.column(name, table=alias) for name in carried)).sql("duckdb")


def carried_columns(operation: Operation | None) -> tuple[str, ...]:
    """The lineage columns that a row takes with it."""
    return (*CARRIED, DELETED) if operation else CARRIED


def _deletes(operation: Operation) -> exp.Expression:
    words = [exp.Literal.string(word.strip()) for word in operation.delete]
    text = exp.cast(exp.column(operation.column, quoted=True), "varchar")
    found = exp.In(this=exp.Trim(this=text), expressions=words)
    return exp.Coalesce(this=found, expressions=[exp.false()])


def condition(rule: str) -> str:
    """A rule's condition, parsed and written out again: one expression and nothing else."""
    return sqlglot.parse_one(rule, read="duckdb").sql("duckdb")


def output_columns(model: Model) -> list[str]:
    """The names a SQL model's SELECT gives, as far as the SQL shows them."""
    return model.select.named_selects if isinstance(model.select, exp.Query) else []
