"""How a daily file is dressed: encoding, delimiter, line ends, header, gzip."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, cast

from pipeline.demo.layout import Table


@dataclass(frozen=True)
class Dialect:
    """The dress of one whole file; the default is a clean one.

    Args:
        order: the columns in the order of the file, or None for the usual one.
        spaced: whether header names carry blanks and capitals.
    """

    encoding: str = "utf-8"
    bom: bytes = b""
    delimiter: str = ","
    newline: str = "\n"
    order: tuple[int, ...] | None = None
    spaced: bool = False
    packed: bool = False

    @property
    def suffix(self) -> str:
        return ".csv.gz" if self.packed else ".csv"

    @property
    def usual(self) -> bool:
        """Whether rows are written as they are made."""
        return self.delimiter == "," and self.order is None

    def arranged(self, fields: Sequence[str]) -> list[str]:
        """The fields in the column order of the file."""
        return [fields[i] for i in self.order] if self.order else list(fields)

    def header(self, table: Table) -> str:
        names = self.arranged(table.columns)
        if self.spaced:
            names = [f" {name.title()} " for name in names]
        return self.delimiter.join(names)

    def quoted(self, value: str) -> str:
        if self.delimiter in value or '"' in value:
            return '"' + value.replace('"', '""') + '"'
        return value

    def row(self, fields: Sequence[str]) -> str:
        """One line of the file from the fields in their usual order."""
        return self.delimiter.join(map(self.quoted, self.arranged(fields)))


CLEAN = Dialect()
UTF16 = "utf-16-le"
_ODD = (
    Dialect(newline="\r\n"),
    Dialect(bom=b"\xef\xbb\xbf"),
    Dialect(encoding="cp1252"),
    Dialect(encoding=UTF16, bom=b"\xff\xfe"),
    Dialect(delimiter=";"),
    Dialect(encoding="cp1252", delimiter=";", newline="\r\n"),
    Dialect(spaced=True),
    Dialect(packed=True),
)


def odd_dialect(rng: Random, table: Table) -> Dialect:
    """A dress that is not the usual one."""
    choice = rng.randrange(len(_ODD) + 1)
    if choice < len(_ODD):
        return _ODD[choice]
    width = len(table.columns)
    return Dialect(order=tuple(rng.sample(range(width), width)))


def split(line: str) -> list[str]:
    """The fields of a clean line."""
    return next(csv.reader([line])) if '"' in line else line.split(",")


class DropFile:
    """A daily file being written; it takes its name when it is closed."""

    def __init__(self, stem: Path, table: Table, dialect: Dialect) -> None:
        self.path = stem.with_name(stem.name + dialect.suffix)
        self._dialect = dialect
        self._part = part_of(self.path)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._raw = self._part.open("wb")
        self._out: IO[bytes] = self._raw
        if dialect.packed:
            self._out = cast(IO[bytes], gzip.GzipFile("", "wb", 5, fileobj=self._raw, mtime=0))
        self._out.write(dialect.bom)
        self.write([dialect.header(table)])

    def write(self, lines: list[str]) -> None:
        """Add lines that are already in the dialect of the file."""
        end = self._dialect.newline
        text = end.join(lines) + end
        self._out.write(text.encode(self._dialect.encoding))

    def close(self) -> Path:
        self._out.close()
        self._raw.close()
        os.replace(self._part, self.path)
        return self.path


def part_of(path: Path) -> Path:
    """Where a file is written before it is whole."""
    return path.with_name(path.name + ".part")


def put(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    part.write_bytes(data)
    os.replace(part, path)
