"""A model: a header in a comment, then one SELECT (or one Polars function)."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlglot import exp

from pipeline.errors import ProjectError
from pipeline.project.source import Texts
from pipeline.project.yamlfile import checked, read_yaml

Kind = Literal["upsert", "append", "incremental", "scd2", "full", "view"]
_HEADER = re.compile(r"\A\s*/\*\s*---[^\n]*\n(?P<yaml>.*?)\n?\s*---\s*\*/", re.S)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERED = ("full", "incremental", "scd2")  # kinds that give surrogate keys
_NOT_OF_ROWS = {"description", "columns", "foreign_keys", "measures", "refresh_by", "pii", "lineage", "select"}


class Measure(BaseModel):
    """A figure for Power BI, written in DAX."""

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(min_length=1, description="DAX")
    format: str = Field("#,0", description="How it is shown")
    description: str = Field("", description="One sentence about it")


class Header(BaseModel):
    """The keys of a model's header."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(description="One sentence for the people who read the table")
    kind: Kind = Field("full", description="How the table is kept: upsert, append, incremental, scd2, full, view")
    key: Texts = Field(
        default_factory=list,
        description="The columns that name one row; the table is kept in their order, or in that of its surrogate_key",
    )
    latest_by: Texts = Field(
        default_factory=list,
        description="upsert: which version of a key wins (default: the source's); ties: file, line",
    )
    valid_from: str | None = Field(None, description="scd2: the column with the time a version began")
    surrogate_key: str | None = Field(None, description="Name of a small integer key the engine gives and keeps")
    unknown_member: bool | None = Field(
        None, description="Add the row -1 that facts without a match point to (default: for scd2)"
    )
    foreign_keys: dict[str, str] = Field(default_factory=dict, description="column: gold.table.column it points to")
    rules: dict[str, str] = Field(
        default_factory=dict, description="name: condition; a row that breaks one is set aside"
    )
    columns: dict[str, str] = Field(default_factory=dict, description="column: one sentence about it")
    measures: dict[str, Measure] = Field(
        default_factory=dict, description="Power BI: name: expression (DAX), format, description"
    )
    refresh_by: str | None = Field(
        None, description="Power BI: the date or time, never NULL, by which the table is refreshed in part"
    )
    pii: dict[str, Literal["clear", "masked"]] = Field(
        default_factory=dict,
        description="column: clear, to publish personal data for roles that may see it; masked, by a Polars function",
    )
    select: str | None = Field(
        None, description="Polars: a SELECT whose rows are the function's one argument (default: the tables its arguments name)"
    )
    lineage: dict[str, Texts] = Field(
        default_factory=dict,
        description="Polars: column: the table.column it is made of (default: every column of every input)",
    )

    @model_validator(mode="after")
    def _complete(self) -> Header:
        if self.kind in ("upsert", "incremental", "scd2") and not self.key:
            raise ValueError(f"the kind {self.kind} needs a key")
        if self.kind == "scd2" and not self.valid_from:
            raise ValueError("the kind scd2 needs valid_from, the column with the time a version began")
        if self.surrogate_key and not self.key:
            raise ValueError("a surrogate_key needs a key")
        if self.surrogate_key and self.kind not in _NUMBERED:
            raise ValueError(f"the kind {self.kind} gives no surrogate_key; {', '.join(_NUMBERED)} do")
        for name in (*self.rules, *filter(None, [self.surrogate_key])):
            if not _NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} must be lower_case letters, digits and _")
        return self

    @property
    def order(self) -> list[str]:
        """The columns in whose order the table is kept and published; empty without a key."""
        return [self.surrogate_key] if self.surrogate_key else self.key

    @property
    def has_unknown_member(self) -> bool:
        """Whether the row -1 is kept in the table."""
        if self.unknown_member is not None:
            return self.unknown_member
        return self.kind == "scd2" and self.surrogate_key is not None


@dataclass(frozen=True)
class Model:
    """A model as read. `inputs` are full names (`silver.orders`), in the order of first use.

    `select`: of a SQL model, the whole of it. `given`: of a Polars model, the SELECT of its header, if it has one.
    """

    name: str
    path: Path
    header: Header
    inputs: tuple[str, ...]
    select: exp.Query | None = None
    given: exp.Query | None = None
    lines: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def layer(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_python(self) -> bool:
        return self.select is None


def read_model(path: Path) -> Model:
    """Read a `.sql` or `.py` model. Raises ProjectError with file and line."""
    return _read_python(path) if path.suffix == ".py" else _read_sql(path)


def _named(path: Path) -> str:
    if not _NAME.fullmatch(path.stem):
        raise ProjectError(
            f"the table name {path.stem!r} must be lower_case letters, digits and _",
            where=str(path),
            do="rename the file",
        )
    return f"{path.parent.name}.{path.stem}"


def _read_sql(path: Path) -> Model:
    text = path.read_text(encoding="utf-8")
    match = _HEADER.match(text)
    if not match:
        raise ProjectError("a model begins with a header /* --- ... --- */", where=f"{path}:1", do="see docs/models.md")
    first = text[: match.start("yaml")].count("\n") + 1
    header = checked(Header, read_yaml(match["yaml"], path, first), match["yaml"], path, first)
    if header.select is not None:
        raise ProjectError("only a Polars model has select: in its header", where=f"{path}:{first}", do="leave it out")
    body = "\n" * text[: match.end()].count("\n") + text[match.end() :]
    select = _parse(body, path)
    _check_rules(header, path, first)
    lines = _tables(select)
    return Model(
        name=_named(path),
        path=path,
        header=header,
        inputs=tuple(lines),
        select=select,
        lines=lines,
        fingerprint=_fingerprint(header, select.sql("duckdb", comments=False)),
    )


def _parse(body: str, path: Path) -> exp.Query:
    try:
        statements = [found for found in sqlglot.parse(body, read="duckdb") if found is not None]
    except sqlglot.errors.SqlglotError as error:
        line, what = _where(error)
        raise ProjectError(f"the SQL cannot be read: {what}", where=f"{path}:{line}", do="correct it") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ProjectError("a model is one SELECT", where=f"{path}:1", do="keep one statement, and only a SELECT")
    return statements[0]


def _where(error: Exception) -> tuple[int, str]:
    details = getattr(error, "errors", None) or [{}]
    line = details[0].get("line") or 1
    return int(line), str(details[0].get("description") or error).splitlines()[0].rstrip(".")


def _check_rules(header: Header, path: Path, first: int) -> None:
    for name, condition in header.rules.items():
        try:
            sqlglot.parse_one(f"SELECT {condition}", read="duckdb")
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


def _fingerprint(header: Header, code: str) -> str:
    """What a change of which rebuilds the table: descriptions, blanks and comments do not count."""
    facts = header.model_dump(exclude=_NOT_OF_ROWS)  # the SELECT of a Polars model counts as code
    return hashlib.sha256(json.dumps([facts, code], sort_keys=True).encode()).hexdigest()[:16]


def _read_python(path: Path) -> Model:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text, str(path))
    except SyntaxError as error:
        raise ProjectError(f"the Python cannot be read: {error.msg}", where=f"{path}:{error.lineno}") from error
    docstring = ast.get_docstring(tree, clean=True) or ""
    parts = re.split(r"^---\s*$", docstring, flags=re.M)
    if len(parts) < 3:
        raise ProjectError(
            "a Polars model begins with a docstring that holds a header between two --- lines",
            where=f"{path}:1",
            do="see docs/models.md",
        )
    first = _first_line(tree) + parts[0].count("\n")
    header = checked(Header, read_yaml(parts[1], path, first), parts[1], path, first)
    function = _the_function(tree, path)
    given = _given(header, parts[1], path, first)
    _check_function(header, function, path)
    lines = _tables(given) if given is not None else {one.arg: function.lineno for one in function.args.args}
    code = ast.dump(ast.Module(body=tree.body[1:], type_ignores=[]))
    return Model(
        name=_named(path),
        path=path,
        header=header,
        inputs=tuple(lines),
        given=given,
        lines=lines,
        fingerprint=_fingerprint(header, code if given is None else f"{given.sql('duckdb', comments=False)}\n{code}"),
    )


def _first_line(tree: ast.Module) -> int:
    """The line on which a module's docstring has its first word."""
    raw = ast.get_docstring(tree, clean=False) or ""
    return tree.body[0].lineno + raw[: len(raw) - len(raw.lstrip())].count("\n")


def _given(header: Header, text: str, path: Path, first: int) -> exp.Query | None:
    """The SELECT of a Polars model's header, which begins on line `first`; parsed so that its lines are those of the file."""
    if header.select is None:
        return None
    lines = text.splitlines()
    place = next((place for place, line in enumerate(lines) if line.startswith("select:")), 0)
    in_block = lines[place].removeprefix("select:").strip()[:1] in ("|", ">", "")
    return _parse("\n" * (first + place - 1 + in_block) + header.select, path)


def _check_function(header: Header, function: ast.FunctionDef, path: Path) -> None:
    kinds, arguments = ("full",) if header.select is None else ("full", "incremental"), len(function.args.args)
    if header.kind not in kinds or not arguments:
        raise ProjectError(
            "a Polars model is of kind full, or of kind incremental with a select: in its header, and its function names "
            "its tables as arguments",
            where=f"{path}:{function.lineno}",
            do="see docs/models.md",
        )
    if header.select is not None and arguments != 1:
        raise ProjectError(
            f"its function has {arguments} arguments, but the header's select: gives one",
            where=f"{path}:{function.lineno}",
            do="join the tables in the SELECT",
        )
    if header.surrogate_key:
        raise ProjectError("a Polars model gives no surrogate_key", where=f"{path}:2", do="leave it out")


def _the_function(tree: ast.Module, path: Path) -> ast.FunctionDef:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "model":
            return node
    raise ProjectError(
        "there is no function `model`", where=f"{path}:1", do="write def model(table: pl.LazyFrame) -> pl.LazyFrame"
    )
