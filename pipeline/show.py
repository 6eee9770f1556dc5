"""How results look in a terminal: tables, progress, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

_COLOURS = {"succeeded": "green", "failed": "red", "skipped": "yellow", "unchanged": "dim", "rejected": "red"}


def out() -> Console:
    """Standard output; as wide as the terminal, or wide enough for a log."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True)


def plain(value: Any) -> Any:
    """A value as JSON takes it: decimals as strings, times in ISO 8601, bytes as hex."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(plain(data), indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def objects(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows as dicts; not-a-number as null, which JSON has no word for."""
    return [
        {
            name: None if isinstance(value, float) and value != value else value
            for name, value in zip(names, row, strict=True)
        }
        for row in rows
    ]


def table(title: str | None, names: Sequence[str], rows: Iterable[Sequence[Any]], *, marks: bool = True) -> Table:
    """A table; numbers to the right, with marks between thousands unless they are data."""
    held = [list(row) for row in rows]
    shown = Table(title=title, title_justify="left", header_style="bold")
    for place, name in enumerate(names):
        numeric = bool(held) and all(
            isinstance(row[place], int | float | Decimal) or row[place] is None for row in held
        )
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in held:
        shown.add_row(*(cell(value, marks=marks) for value in row))
    return shown


def cell(value: Any, *, marks: bool = True) -> str:
    """One value for a table cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if marks else str(value)
    text = escape("".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in str(value)))
    colour = _COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else text


class Bars:
    """Progress bars on standard error, one a task; plain lines when it is no terminal."""

    def __init__(self) -> None:
        self._console = err()
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._progress.stop()

    def task_started(self, task: str, total: int | None) -> None:
        """Draw a bar; `total` in bytes, None if unknown."""
        if self._live:
            self._ids[task] = self._progress.add_task(task, total=total)

    def task_advanced(self, task: str, done: int) -> None:
        """Move a bar on by some bytes."""
        if task in self._ids:
            self._progress.advance(self._ids[task], done)

    def task_ended(self, task: str, status: str) -> None:
        """Take the bar away; say how it ended."""
        if task in self._ids:
            self._progress.remove_task(self._ids.pop(task))
        self._console.print(f"{task}: {status}", highlight=False)
