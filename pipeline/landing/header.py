"""The header of a file: its delimiter found, its names matched to the columns of the source."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from pipeline.errors import FileRejected
from pipeline.project.source import LINEAGE, Source, folded

DELIMITERS = (",", ";", "\t", "|")
LONGEST_NAME = 250  # letters of a new column's header: a question of a survey fits, a line that is no header does not
_SHOWN = 300  # letters of a header that an error shows


@dataclass(frozen=True)
class Layout:
    """How a file is laid out. `fields[i]` is the bronze column of the i-th field, None if it is left out."""

    delimiter: str
    fields: tuple[str | None, ...]
    new_columns: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    padded: bool = False
    lines: int = 1

    @property
    def width(self) -> int:
        """Fields on each line."""
        return len(self.fields)


def read_layout(text: str, source: Source, evolved: set[str], max_columns: int) -> Layout:
    """Find delimiter and columns from the start of a file.

    Args:
        evolved: columns that earlier files added to the table.
    Raises:
        FileRejected: no header, a key column missing, a column twice, a drift that is refused.
    """
    best = max(
        (_parse(text, delimiter) for delimiter in ([source.delimiter] if source.delimiter else DELIMITERS)),
        key=lambda found: (_known(found[1], source), len(found[1])),
    )
    delimiter, names, lines, padded = best
    if len(names) > max_columns:
        raise FileRejected(
            f"it has {len(names)} columns, more than max_columns", do="deliver fewer, or raise the setting"
        )
    fields, new = _assign(names, source, evolved)
    _check_missing(fields, names, source)
    absent = tuple(name for name in source.columns if name not in fields)
    if source.drift == "reject" and (new or absent):
        changes = [*(f"+{name}" for name in new), *(f"-{name}" for name in absent)]
        raise FileRejected(
            f"its columns differ from those declared: {_short(', '.join(changes))}",
            do=f"change {source.path.name}, or its drift:",
        )
    padded = source.padded if source.padded is not None else padded
    return Layout(delimiter, tuple(fields), tuple(new), absent, padded, lines)


def _short(text: str, most: int = _SHOWN) -> str:
    """The text, or its start."""
    return text if len(text) <= most else text[:most] + "…"


def first_line(text: str) -> str | None:
    """The header at the start of a file with the blank lines before it; None if it may go on: it is quoted, or cut off."""
    body = text.lstrip("\ufeff")
    found = _HEADER_LINE.match(body)
    return found[0] if found and '"' not in found[0] else None


_BLANK_LINES = re.compile(r"(?:[ \t]*+(?:\r\n|\r|\n))*+")
_HEADER_LINE = re.compile(_BLANK_LINES.pattern + r"[^\r\n]+\r?\n")


def _parse(text: str, delimiter: str) -> tuple[str, list[str], int, bool]:
    """(delimiter, names, physical lines up to and with the header, padded) of the first line that is not blank."""
    body = text.lstrip("\ufeff")
    blank = _BLANK_LINES.match(body).end()  # type: ignore[union-attr]  # it matches nothing, too
    reader = csv.reader(io.StringIO(body[blank:], newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise FileRejected("its header cannot be read", do="deliver it again") from error
    first = body[blank:].partition("\n")[0]
    padded = re.search(re.escape(delimiter) + r'[ \t]+"', first) is not None
    return delimiter, names, len(body[:blank].splitlines()) + reader.line_num, padded


def _known(names: list[str], source: Source) -> int:
    known = source.header_names()
    return sum(1 for name in names if folded(name) in known)


def _assign(names: list[str], source: Source, evolved: set[str]) -> tuple[list[str | None], list[str]]:
    known = source.header_names()
    fields: list[str | None] = []
    new: list[str] = []
    taken: dict[str, str] = {}
    for name in names:
        column = known.get(folded(name)) or _evolved_name(name, source, evolved, new)
        if column is not None and column in taken:
            raise FileRejected(
                f"two of its columns mean {column}: {_short(taken[column])!r} and {_short(name)!r}", do="deliver one of them"
            )
        if column is not None:
            taken[column] = name
        fields.append(column)
    return fields, new


def _evolved_name(name: str, source: Source, evolved: set[str], new: list[str]) -> str | None:
    column = re.sub(r"[^0-9a-z]+", "_", folded(name)).strip("_")
    if not column or source.drift == "ignore":
        return None
    if column in source.columns or column in LINEAGE:
        column += "_2"
    if column not in evolved and column not in new:
        _check_name(name, source)
        new.append(column)
    return column


def _check_name(name: str, source: Source) -> None:
    if len(name) > LONGEST_NAME:
        raise FileRejected(
            f"one of its columns has a name of {len(name)} letters, more than {LONGEST_NAME}: {_short(' '.join(name.split()), 40)}",
            do=f"deliver a shorter name, or set `drift: ignore` in {source.path.name}",
        )


def _check_missing(fields: list[str | None], names: list[str], source: Source) -> None:
    found = [name for name in fields if name in source.columns]
    if not found or (not source.must_have() and len(found) * 2 < len(source.columns)):
        raise FileRejected(
            "its first line is no header that the source knows", do=f"add a header, or `from:` in {source.path.name}"
        )
    missing = [name for name in source.must_have() if name not in fields]
    if missing:
        what = "key column" if missing[0] in source.key else "required column"
        raise FileRejected(
            f"it has no {what} {missing[0]}; its header is {_short(', '.join(name.strip() for name in names))}",
            do=f"deliver the column, or add its header to `from:` in {source.path.name}",
        )
