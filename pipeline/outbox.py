"""Messages that wait to be sent: one file each in the home folder, so that a restart loses none of them."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.published import sync


@dataclass(frozen=True)
class Message:
    """What happened to a flow: `event` as in channel.Event; a title and a body for people."""

    event: str
    title: str
    body: str


@dataclass(frozen=True)
class Waiting:
    """A message on its way to one channel; `since` in seconds since 1970."""

    path: Path
    channel: str
    since: float
    message: Message


class Outbox:
    """A folder of messages; their names are in the order in which they were written."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()

    def put(self, channel: str, message: Message) -> None:
        """Keep a message until it is `done`; the address is not in it, for it is a secret."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}"
        beside = self._folder / f"{name}.part"
        beside.write_text(json.dumps({"channel": channel, "since": time.time(), **asdict(message)}), encoding="utf-8")
        sync(beside)
        os.replace(beside, self._folder / f"{name}.json")

    def waiting(self) -> Iterator[Waiting]:
        """The messages that have not been sent, oldest first; what cannot be read is left out."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                fact = json.loads(path.read_text(encoding="utf-8"))
                message = Message(str(fact["event"]), str(fact["title"]), str(fact["body"]))
                yield Waiting(path, str(fact["channel"]), float(fact["since"]), message)
            except (OSError, ValueError, KeyError, TypeError):
                continue

    def done(self, waiting: Waiting) -> None:
        """A message has been sent, or will never be."""
        waiting.path.unlink(missing_ok=True)
