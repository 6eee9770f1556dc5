"""How results look in a terminal: tables, progress, JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.steps.context import Reporter

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "skipped": "yellow",
    "withheld": "yellow",
    "unchanged": "dim",
    "rejected": "red",
}


@dataclass(frozen=True)
class Screen:
    """Where the words of a command go when it was typed in another process (see door.py)."""

    out: Console
    err: Console
    bars: Callable[[], AbstractContextManager[Reporter]]


screen: ContextVar[Screen | None] = ContextVar("screen", default=None)


def out() -> Console:
    """Standard output; as wide as the terminal, or wide enough for a log."""
    there = screen.get()
    if there is not None:
        return there.out
    return Console() if sys.stdout.isatty() else Console(width=160)


def plain_file() -> IO[str]:
    """Standard output for text that is not laid out, such as CSV."""
    there = screen.get()
    return sys.stdout if there is None else there.out.file


def err() -> Console:
    """Standard error."""
    there = screen.get()
    return there.err if there is not None else Console(stderr=True)


def bars() -> AbstractContextManager[Reporter]:
    """Progress, where the command was typed."""
    there = screen.get()
    return there.bars() if there is not None else Bars()


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
    file = plain_file()
    file.write(json.dumps(plain(data), indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n")


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
    """Progress on standard error: a bar for each task with the time it may still take; lines when it is no terminal."""

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
        self._asked: dict[str, Callable[[], float]] = {}
        self._over = threading.Event()

    def __enter__(self) -> Bars:
        if self._live:
            self._progress.start()
            threading.Thread(target=self._ask, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._live:
            self._progress.stop()

    def _ask(self) -> None:
        """Move the bars of builds to where the engine says it is."""
        while not self._over.wait(0.2):
            for task, progress in list(self._asked.items()):
                done = progress()
                if done >= 0 and task in self._ids:
                    self._progress.update(self._ids[task], completed=done)

    def task_started(self, task: str, total: int | None, progress: Callable[[], float]) -> None:
        """Draw a bar; `total` in bytes, None if only `progress` (0 to 100) tells."""
        if self._live:
            self._ids[task] = self._progress.add_task(task, total=total or 100)
            if total is None:
                self._asked[task] = progress

    def task_advanced(self, task: str, done: int) -> None:
        """Move a bar on by some bytes."""
        if task in self._ids:
            self._progress.advance(self._ids[task], done)

    def task_ended(self, task: str, status: str, rows: int, seconds: float) -> None:
        """Take the bar away; say how it ended, and how fast it was if that took a while."""
        self._asked.pop(task, None)
        if task in self._ids:
            self._progress.remove_task(self._ids.pop(task))
        pace = (
            f", {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows a second" if rows and seconds >= 1 else ""
        )
        self._console.print(f"{task}: {status}{pace}", highlight=False, soft_wrap=True)
