"""Contracts: what must hold of a table, beside the source or model that makes it.

The files are Soda contracts and run under Soda's own command too. They are
read here first, more strictly than Soda reads them, because Soda passes over
what it does not understand: an unknown check, a misspelt threshold, a dataset
that is another table, a contract without checks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipeline.errors import ProjectError
from pipeline.project.yamlfile import line_of, read_yaml

SUFFIX = ".contract.yml"
DATABASE = "goldfeed"
DIMENSIONS = ("accuracy", "completeness", "consistency", "uniqueness", "timeliness")
SEVERITIES = ("warn", "error")
TYPES = ("schema", "row_count", "missing", "invalid", "duplicate", "failed_rows", "freshness", "aggregate", "metric")
ROW_TYPES = ("missing", "invalid", "duplicate", "failed_rows")
CHANGED = "${var.changed}"

_TOP = ("dataset", "variables", "filter", "columns", "checks")
_THRESHOLD = (
    *("metric", "unit", "must_be", "must_not_be", "must_be_between", "must_be_not_between"),
    *("must_be_greater_than", "must_be_greater_than_or_equal", "must_be_less_than", "must_be_less_than_or_equal"),
)
_RULES = (
    *("missing_values", "missing_format", "valid_values", "invalid_values", "valid_format", "invalid_format"),
    *("valid_min", "valid_max", "valid_length", "valid_min_length", "valid_max_length", "valid_reference_data"),
)
_COLUMN = (
    *("name", "data_type", "character_maximum_length", "numeric_precision", "numeric_scale", "checks"),
    *_RULES,
)
_CHECK = (
    *("name", "qualifier", "filter", "threshold", "attributes", "columns", "column", "unit", "now_variable"),
    *("function", "expression", "query", "rows_tested_query", "allow_extra_columns", "allow_other_column_order"),
    *_RULES,
)
_NAME = re.compile(r"[A-Za-z0-9_]+")


def find_contracts(sql: Path) -> dict[str, Path]:
    """`silver.orders` -> the path of its contract file."""
    return {f"{path.parent.name}.{path.name.removesuffix(SUFFIX)}": path for path in sorted(sql.glob(f"*/*{SUFFIX}"))}


def fingerprint(path: Path) -> str:
    """What a change of which has the table checked again: the text of the contract."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Check:
    """One check: its path in the file as Soda names it, and what it is about."""

    path: str
    type: str
    column: str | None
    dimension: str
    severity: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """A name for people, unique in the table: `email.missing`, `row_count`, `failed_rows.paid_in_full`."""
        return self.path.removeprefix("columns.").replace(".checks.", ".").removeprefix("checks.")

    @property
    def by_row(self) -> bool:
        """Whether each row passes or fails by itself, so that rows which have not changed need not be looked at."""
        if self.type not in ROW_TYPES or "threshold" in self.body or "valid_reference_data" in self.body:
            return False
        return "query" not in self.body or CHANGED in self.body["query"]


@dataclass(frozen=True)
class Contract:
    """A contract as read: the table, the YAML as plain data, its checks."""

    table: str
    path: Path
    data: dict[str, Any]
    checks: tuple[Check, ...]
    fingerprint: str

    @property
    def compares(self) -> bool:
        """Whether a query of it can be told the changed rows: it may look at tables that are larger than its own."""
        return any(CHANGED in check.body.get("query", "") for check in self.checks)


def read_contract(table: str, path: Path) -> Contract:
    """Read and check a contract. Raises ProjectError with file and line."""
    text = path.read_text(encoding="utf-8")
    data = read_yaml(text, path)
    reader = _Reader(path, text)
    reader.known(data, _TOP, ())
    wanted = f"{DATABASE}/{table.replace('.', '/')}"
    if data.get("dataset") != wanted:
        raise reader.error(f"the dataset must be {wanted}, the table of this file", ("dataset",))
    checks = tuple(reader.checks(data))
    paths = [check.path for check in checks]
    for check in checks:
        if paths.count(check.path) > 1:
            raise reader.error(f"two checks are named {check.name}", ("checks",), "give each its own qualifier")
    if not any(check.type == "row_count" for check in checks):
        raise reader.error("it has no row_count: an empty table passes all other checks", ("checks",), "add one")
    return Contract(table, path, data, checks, fingerprint(path))


@dataclass(frozen=True)
class _Reader:
    """Walks the YAML; errors name the line."""

    path: Path
    text: str

    def error(self, what: str, place: tuple[Any, ...], do: str = "correct it") -> ProjectError:
        return ProjectError(what, where=f"{self.path}:{line_of(self.text, place)}", do=do)

    def known(self, data: dict[str, Any], names: tuple[str, ...], place: tuple[Any, ...]) -> None:
        for key in data:
            if key not in names:
                near = get_close_matches(str(key), names, 1, 0.5)
                advice = f"did you mean {near[0]!r}?" if near else "remove it"
                raise self.error(f"there is no key {key!r} here", (*place, key), advice)

    def checks(self, data: dict[str, Any]) -> Iterator[Check]:
        for number, item in enumerate(self._list(data, ("checks",))):
            yield self._check(item, ("checks", number), None)
        for number, column in enumerate(self._list(data, ("columns",))):
            place = ("columns", number)
            if not isinstance(column, dict) or not isinstance(column.get("name"), str):
                raise self.error("a column needs a name", place)
            self.known(column, _COLUMN, place)
            for other, item in enumerate(self._list(column, ("checks",), place)):
                yield self._check(item, (*place, "checks", other), column["name"])

    def _list(self, data: dict[str, Any], key: tuple[str], place: tuple[Any, ...] = ()) -> list[Any]:
        found = data.get(key[0]) or []
        if not isinstance(found, list):
            raise self.error(f"{key[0]} is a list", (*place, *key))
        return found

    def _check(self, item: Any, place: tuple[Any, ...], column: str | None) -> Check:
        if not isinstance(item, dict) or len(item) != 1:
            raise self.error("a check is one `type:` with its keys below it", place)
        kind, body = next(iter(item.items()))
        body = body or {}
        if kind not in TYPES:
            near = get_close_matches(str(kind), TYPES, 1, 0.5)
            raise self.error(
                f"there is no check {kind!r}", place, f"did you mean {near[0]!r}?" if near else "remove it"
            )
        self.known(body, _CHECK, (*place, kind))
        self.known(body.get("threshold") or {}, _THRESHOLD, (*place, kind, "threshold"))
        dimension, severity = self._attributes(body, (*place, kind))
        qualifier = body.get("qualifier")
        if qualifier is not None and not _NAME.fullmatch(str(qualifier)):
            raise self.error("a qualifier is letters, digits and _", (*place, kind, "qualifier"))
        return Check(_path(item, column), kind, column, dimension, severity, body)

    def _attributes(self, body: dict[str, Any], place: tuple[Any, ...]) -> tuple[str, str]:
        given = body.get("attributes") or {}
        for name, words in (("dimension", DIMENSIONS), ("severity", SEVERITIES)):
            if given.get(name) not in words:
                raise self.error(
                    f"the attribute {name} must be one of {', '.join(words)}", (*place, "attributes", name)
                )
        return given["dimension"], given["severity"]


def soda_text(contract: Contract, checks: tuple[Check, ...], condition: str | None) -> dict[str, Any]:
    """The contract with some of its checks alone, over the rows that meet a condition, as Soda reads it."""
    paths = {check.path for check in checks}
    filters = [f"({part})" for part in (contract.data.get("filter"), condition) if part]
    data: dict[str, Any] = {key: contract.data[key] for key in _TOP[:2] if key in contract.data}
    if filters:
        data["filter"] = " AND ".join(filters)
    data["checks"] = [item for item in contract.data.get("checks") or [] if _path(item, None) in paths]
    data["columns"] = [
        {**column, "checks": [item for item in column.get("checks") or [] if _path(item, column["name"]) in paths]}
        for column in contract.data.get("columns") or []
    ]
    for column in data["columns"]:
        if not column["checks"]:
            del column["checks"]
    return {key: value for key, value in data.items() if value or key == "columns"}


def _path(item: dict[str, Any], column: str | None) -> str:
    kind, body = next(iter(item.items()))
    qualifier = (body or {}).get("qualifier")
    parts = [*(["columns", column] if column else []), "checks", kind, *([str(qualifier)] if qualifier else [])]
    return ".".join(parts)
