"""The rows waiting for their day, and the files they are written to."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from pipeline.demo.dirt import DirtyRow, render, spoil
from pipeline.demo.events import ItemRow, PaymentRow, StatusRow
from pipeline.demo.files import (
    CLEAN,
    UTF16,
    Dialect,
    DropFile,
    odd_dialect,
    part_of,
    split,
)
from pipeline.demo.layout import TABLES

_CHUNK = 20_000
_RESENT_DAYS = 0.15
_NEVER = 1 << 62
Row = TypeVar("Row", StatusRow, ItemRow, PaymentRow, tuple[int, str])


@dataclass
class Counts:
    """What has been written so far; the lists have a place for each table."""

    files: int = 0
    rows: int = 0
    loadable: list[int] = field(default_factory=lambda: [0] * len(TABLES))
    quarantined: list[int] = field(default_factory=lambda: [0] * len(TABLES))


class Sheets:
    """For every table and day the rows to be dropped; dirt falls in on the way."""

    def __init__(self, folder: Path, dates: list[str], seed: int, dirty: float, odd_files: bool) -> None:
        self.counts = Counts()
        self.lines: list[list[list[str]]] = [[[] for _ in dates] for _ in TABLES]
        self._folder = folder
        self._dates = dates
        self._seed = seed
        self._dirty = dirty
        self._odd = _odd_share(dirty, len(dates)) if odd_files else 0.0
        self._dirty_rows: dict[tuple[int, int], list[DirtyRow]] = {}
        self._dialects: dict[tuple[int, int], Dialect] = {}
        self._open: dict[int, DropFile] = {}
        self._sent: dict[tuple[int, int], tuple[Path, int]] = {}
        self._rows_of_file = [0] * len(TABLES)
        self._rng = Random(f"{seed}:dirt")
        self._clean_left = self._next_dirt()

    def untouched(self, rows: int) -> bool:
        """Whether no dirt falls on the next rows; then they count as passed."""
        if self._clean_left < rows:
            return False
        self._clean_left -= rows
        return True

    def sift(self, table: int, rows: list[Row]) -> list[Row]:
        """Put rows on their days, some of them dirty; the rows that will load."""
        return [row for row in rows if self.add(table, row[0], row[1])]

    def add(self, table: int, day: int, line: str) -> bool:
        """Put one row on its day, perhaps dirty; whether it will load."""
        if self._clean_left:
            self._clean_left -= 1
            self.lines[table][day].append(line)
            return True
        self._clean_left = self._next_dirt()
        may_break = self._dialect(table, day).encoding != UTF16
        row, good_too = spoil(split(line), TABLES[table], self._rng, may_break=may_break)
        self._dirty_rows.setdefault((table, day), []).append(row)
        if good_too:
            self.lines[table][day].append(line)
        return good_too or row.loads

    def flush(self, day: int) -> None:
        """Write what has piled up for the day so far."""
        for table in range(len(TABLES)):
            if len(self.lines[table][day]) > _CHUNK:
                self._write(table, day)

    def close(self, day: int) -> None:
        """Write the files of the day; now and then an old file again."""
        for table in range(len(TABLES)):
            if self.lines[table][day] or (table, day) in self._dirty_rows:
                self._write(table, day)
            if table in self._open:
                path = self._open.pop(table).close()
                self._sent[table, day] = path, self._rows_of_file[table]
                self._rows_of_file[table] = 0
                self.counts.files += 1
        self._resend(day)

    def _next_dirt(self) -> int:
        """How many clean rows come before the next dirty one."""
        if not self._dirty:
            return _NEVER
        rows = 0
        while self._rng.random() >= self._dirty:
            rows += 1
        return rows

    def _dialect(self, table: int, day: int) -> Dialect:
        if (table, day) not in self._dialects:
            self._dialects[table, day] = self._choose_dialect(table, day)
        return self._dialects[table, day]

    def _choose_dialect(self, table: int, day: int) -> Dialect:
        rng = Random(f"{self._seed}:{day}:{table}:dialect")
        return odd_dialect(rng, TABLES[table]) if rng.random() < self._odd else CLEAN

    def _write(self, table: int, day: int) -> None:
        dialect = self._dialect(table, day)
        lines = self.lines[table][day]
        self.lines[table][day] = []
        dirty_rows = self._dirty_rows.pop((table, day), [])
        self._count(table, len(lines), dirty_rows)
        if not dialect.usual:
            lines = [dialect.row(split(line)) for line in lines]
        for row in dirty_rows:
            place = self._rng.randrange(len(lines) + 1)
            lines.insert(place, render(row, dialect))
        if table not in self._open:
            stem = self._stem(table, day, self._folder_of(day))
            self._open[table] = DropFile(stem, TABLES[table], dialect)
        self._open[table].write(lines)

    def _count(self, table: int, clean: int, dirty_rows: list[DirtyRow]) -> None:
        loadable = clean + sum(row.loads for row in dirty_rows)
        rows = clean + len(dirty_rows)
        self.counts.loadable[table] += loadable
        self.counts.quarantined[table] += rows - loadable
        self.counts.rows += rows
        self._rows_of_file[table] += rows

    def _folder_of(self, day: int) -> Path:
        year, month, dom = self._dates[day].split("-")
        return self._folder / f"year={year}" / f"month={month}" / f"day={dom}"

    def _stem(self, table: int, day: int, folder: Path) -> Path:
        return folder / f"{TABLES[table].name}_{self._dates[day].replace('-', '')}"

    def _resend(self, day: int) -> None:
        rng = Random(f"{self._seed}:{day}:resend")
        table, back = rng.randrange(len(TABLES)), rng.randint(1, 7)
        sent = self._sent.get((table, day - back))
        if sent is None or rng.random() >= _RESENT_DAYS:
            return
        path, rows = sent
        name = path.name.replace(".csv", "_resend.csv")
        copy = self._folder_of(day) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part_of(copy))
        os.replace(part_of(copy), copy)
        self.counts.files += 1
        self.counts.rows += rows


def _odd_share(dirty: float, days: int) -> float:
    """The share of files in an odd dress: at least a few files, at most 30%."""
    if not dirty:
        return 0.0
    return min(0.3, max(dirty * 10, 3 / (days * len(TABLES))))
