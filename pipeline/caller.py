"""One command that the service does for somebody else: his screen, his progress, and what happens when he leaves."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console

from pipeline.commands.base import WAITS
from pipeline.commands.wire import BEAT
from pipeline.project.project import Project
from pipeline.results import RunResult
from pipeline.service import Service
from pipeline.settings import Settings
from pipeline.show import Screen, err
from pipeline.warehouse.database import Database

_PROGRESS = 0.2  # seconds between two looks at how far a statement is


class Line:
    """Facts to the other side, one JSON line each; once it is gone they go nowhere."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write, self._lock, self.gone = write, threading.Lock(), threading.Event()

    def say(self, fact: Mapping[str, Any]) -> None:
        """Send one fact."""
        with self._lock:
            if not self.gone.is_set():
                try:
                    self._write(json.dumps(fact).encode() + b"\n")
                except OSError:
                    self.gone.set()

    @contextmanager
    def beating(self, leave: Callable[[], None]) -> Iterator[None]:
        """Give a sign of life each second; when nobody hears it any more, `leave` is called until the work has ended."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT):  # no faster: the run must be able to write down how its tasks ended
                self.say({"beat": True})
                if self.gone.is_set():
                    leave()

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            done.set()


class _Stream(io.TextIOBase):
    """A file whose text goes over the line."""

    def __init__(self, line: Line, name: str) -> None:
        self._line, self._name = line, name

    def write(self, text: str) -> int:
        """Send it."""
        if text:
            self._line.say({"to": self._name, "text": text})
        return len(text)


class _Progress:
    """A reporter whose word goes over the line."""

    def __init__(self, line: Line) -> None:
        self._line, self._asked = line, dict[str, Callable[[], float]]()
        self._over = threading.Event()

    def __enter__(self) -> _Progress:
        threading.Thread(target=self._ask, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._line.say({"over": True})

    def _ask(self) -> None:
        while not self._over.wait(_PROGRESS):
            for task, progress in list(self._asked.items()):
                self._line.say({"task": task, "progress": progress()})

    def task_started(self, task: str, total: int | None, progress: Callable[[], float]) -> None:
        """A bar begins; `total` in bytes."""
        self._line.say({"task": task, "total": total})
        if total is None:
            self._asked[task] = progress

    def task_advanced(self, task: str, done: int) -> None:
        """It moves on by some bytes."""
        self._line.say({"task": task, "advanced": done})

    def task_ended(self, task: str, status: str, rows: int, seconds: float) -> None:
        """It ends."""
        self._asked.pop(task, None)
        self._line.say({"task": task, "status": status, "rows": rows, "seconds": seconds})


@contextmanager
def screen_of(told: Mapping[str, Any], line: Line) -> Iterator[Screen]:
    """Consoles as wide and as colourful as those of the other side."""

    def console(name: str) -> Console:
        facts = told[name]
        return Console(
            file=cast(IO[str], _Stream(line, name)),
            width=int(facts["width"]),
            force_terminal=bool(facts["terminal"]),
            color_system=facts["colours"],
            legacy_windows=False,
        )

    yield Screen(console("out"), console("err"), lambda: _Progress(line))


class Served:
    """Lends the service's warehouse to one command."""

    def __init__(self, service: Service, line: Line) -> None:
        self._service, self._line = service, line
        self.stop = threading.Event()
        self._database: Database | None = None

    def give_up(self) -> None:
        """Who asked is gone: the statement under way ends, and no other task begins."""
        self.stop.set()
        if self._database is not None:
            self._database.interrupt()

    @contextmanager
    def writing(self, project: Project, wait: float | None) -> Iterator[Database]:
        """The warehouse for writing, when it is this command's turn."""

        def told() -> None:
            err().print(WAITS, highlight=False)

        with (
            self._service.keeper.writing(project, wait=wait, stop=self.stop, told=told) as database,
            self._service.working(database, project.flow),
        ):
            self._database = database
            try:
                yield database
            finally:
                self._database = None

    @contextmanager
    def reading(self, settings: Settings) -> Iterator[Database]:
        """The warehouse for reading, beside whatever run is under way."""
        with self._service.keeper.reading(self._service.project) as database:
            self._database = database
            try:
                yield database
            finally:
                self._database = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else has the warehouse open."""
        with self._service.keeper.alone():
            yield

    def ended(self, result: RunResult) -> None:
        """A run ended: the log, the metrics and the people who hear of the flow are told."""
        self._service.asked_for(result)
