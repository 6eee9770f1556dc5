"""A model: a header in a comment, then one SELECT (or one Polars function)."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ProjectError
from pipeline.project.header import NAME, Header
from pipeline.project.kept import kept
from pipeline.project.yamlfile import checked, read_yaml

if TYPE_CHECKING:
    from sqlglot import exp

_HEADER = re.compile(r"\A\s*/\*\s*---[^\n]*\n(?P<yaml>.*?)\n?\s*---\s*\*/", re.S)
_NOT_OF_ROWS = {"description", "columns", "foreign_keys", "measures", "refresh_by", "pii", "lineage", "select"}


@dataclass(frozen=True)
class RowSelect:
    """The parts of a SELECT from one table that gives a row for each row."""

    shown: str
    table: str
    alias: str


@dataclass(frozen=True)
class Said:
    """What a SELECT says, in words: enough for most, so that the parser need not be there.

    `sql`: it, without comments. `tables`: those it reads, with their lines. `outputs`: the names of its columns as far as it
    shows them. `tokens`: whether it makes tokens of personal data. `rows`: its parts, if rows go through it one by one.
    `rules`: the conditions of the header's rules, each one expression and nothing else.
    """

    sql: str = ""
    tables: dict[str, int] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    has_star: bool = False
    tokens: bool = False
    rows: RowSelect | None = None
    rules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Model:
    """A model as read. `inputs` are full names (`silver.orders`), in the order of first use.

    `text`: its SELECT as it is written, on the lines of the file; of a Polars model that of its header, or nothing.
    """

    name: str
    path: Path
    header: Header
    inputs: tuple[str, ...]
    lines: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    text: str = ""
    said: Said = Said()

    @property
    def layer(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"

    @property
    def has_select(self) -> bool:
        """Whether its inputs are read by SQL: not those of a Polars function without a `select:`."""
        return bool(self.text)

    @property
    def select(self) -> exp.Query:
        """The SELECT as a tree, which nobody may change. Not of a Polars model that has none."""
        from pipeline.project.select import parse  # with the parser, 60 ms

        return parse(self.text, self.path)

    @property
    def outputs(self) -> list[str]:
        """The names that a SQL model's SELECT gives, as far as it shows them; none of a Polars model."""
        return [] if self.is_python else self.said.outputs

    @property
    def has_star(self) -> bool:
        return not self.is_python and self.said.has_star


@dataclass(frozen=True)
class Draft:
    """A model's file, before its SQL is read. `first`: the line of the header; `code`: a Polars model's; `arguments`: with their line."""

    path: Path
    header: Header
    first: int
    text: str
    code: str = ""
    arguments: dict[str, int] = field(default_factory=dict)

    def model(self, said: Said) -> Model:
        """The model, with what its SQL says."""
        lines = said.tables if self.text else self.arguments
        code = "\n".join(filter(None, [said.sql, self.code]))
        return Model(
            name=f"{self.path.parent.name}.{self.path.stem}",
            path=self.path,
            header=self.header,
            inputs=tuple(lines),
            lines=lines,
            fingerprint=_fingerprint(self.header, code),
            text=self.text,
            said=said,
        )

    def says(self) -> Said:
        """Read its SQL. Raises ProjectError with file and line."""
        from pipeline.project.select import read_select  # with the parser, 60 ms

        said = read_select(self.text, list(self.header.rules.items()), self.path, self.first)
        lacking = [name for name in self.header.key if name not in said.outputs]
        if self.header.select is not None and self.header.kind == "incremental" and lacking and not said.has_star:
            raise ProjectError(
                f"the header's select: gives no column {lacking[0]}, which is in the key", where=f"{self.path}:{self.first}", do="add it"
            )
        return said


def read_models(paths: Sequence[Path], folder: Path | None = None) -> list[Model]:
    """Read `.sql` and `.py` models. Raises ProjectError with file and line.

    With a `folder` what their SQL says is kept there, and read there while nothing has changed.
    """
    drafts = [_draft(path) for path in paths]
    place = repr([(str(draft.path), draft.text, draft.header.rules) for draft in drafts])
    found = kept(folder and folder / "models.json", place, lambda: [asdict(draft.says()) for draft in drafts])
    return [draft.model(_said(one)) for draft, one in zip(drafts, found, strict=True)]


def read_model(path: Path) -> Model:
    """Read one model. Raises ProjectError with file and line."""
    (model,) = read_models([path])
    return model


def _said(found: dict[str, Any]) -> Said:
    rows = found["rows"]
    return Said(**{**found, "rows": RowSelect(**rows) if rows else None})


def _draft(path: Path) -> Draft:
    if not NAME.fullmatch(path.stem):
        raise ProjectError(
            f"the table name {path.stem!r} must be lower_case letters, digits and _",
            where=str(path),
            do="rename the file",
        )
    return _read_python(path) if path.suffix == ".py" else _read_sql(path)


def _read_sql(path: Path) -> Draft:
    text = path.read_text(encoding="utf-8")
    match = _HEADER.match(text)
    if not match:
        raise ProjectError("a model begins with a header /* --- ... --- */", where=f"{path}:1", do="see docs/models.md")
    first = text[: match.start("yaml")].count("\n") + 1
    header = checked(Header, read_yaml(match["yaml"], path, first), match["yaml"], path, first)
    if header.select is not None:
        raise ProjectError("only a Polars model has select: in its header", where=f"{path}:{first}", do="leave it out")
    return Draft(path, header, first, "\n" * text[: match.end()].count("\n") + text[match.end() :])


def _fingerprint(header: Header, code: str) -> str:
    """What a change of which rebuilds the table: descriptions, blanks and comments do not count."""
    facts = header.model_dump(exclude=_NOT_OF_ROWS)  # the SELECT of a Polars model counts as code
    return hashlib.sha256(json.dumps([facts, code], sort_keys=True).encode()).hexdigest()[:16]


def _read_python(path: Path) -> Draft:
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
    _check_function(header, function, path)
    arguments = {one.arg: function.lineno for one in function.args.args}
    code = ast.dump(ast.Module(body=tree.body[1:], type_ignores=[]))
    return Draft(path, header, first, _given(header, parts[1], first), code, arguments)


def _first_line(tree: ast.Module) -> int:
    """The line on which a module's docstring has its first word."""
    raw = ast.get_docstring(tree, clean=False) or ""
    return tree.body[0].lineno + raw[: len(raw) - len(raw.lstrip())].count("\n")


def _given(header: Header, text: str, first: int) -> str:
    """The SELECT of a Polars model's header, which begins on line `first`; on the lines of the file."""
    if header.select is None:
        return ""
    lines = text.splitlines()
    place = next((place for place, line in enumerate(lines) if line.startswith("select:")), 0)
    in_block = lines[place].removeprefix("select:").strip()[:1] in ("|", ">", "")
    return "\n" * (first + place - 1 + in_block) + header.select


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
