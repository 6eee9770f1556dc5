"""Word to people: one message an event, sent beside the runs, again and again until it is delivered."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.project.channel import ChannelFile
from pipeline.results import RunResult

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


@dataclass(frozen=True)
class Message:
    """What happened to a flow: `event` is failure, recovered, late or success."""

    event: str
    title: str
    body: str


def message_of(event: str, result: RunResult, published: str | None) -> Message:
    """Say what happened, what was done and what to do; names and numbers, never a value of the data."""
    flow, run = result.flow, result.run_id
    readers = f"Readers see version {published}." if published else "Nothing is published yet."
    if event == "failure":
        failed = [task for task in result.tasks if task.status == "failed"]
        lines = [
            f"{task.task} failed after {task.attempts} attempts: {without_values(task.error or '')}" for task in failed
        ]
        lines += [f"{sum(task.status == 'skipped' for task in result.tasks)} tasks were skipped. {readers}"]
        lines += [f"When the cause is mended, type: goldfeed retry {run}"]
        return Message(event, f"goldfeed: {flow} failed (run {run})", "\n".join(lines))
    if event == "recovered":
        return Message(event, f"goldfeed: {flow} has recovered (run {run})", f"Run {run} succeeded. {readers}")
    if event == "late":
        return Message(event, f"goldfeed: {flow} was late (run {run})", "\n".join([*result.notes[-1:], readers]))
    return Message(event, f"goldfeed: {flow} succeeded (run {run})", f"{len(result.tasks)} tasks. {readers}")


def without_values(text: str) -> str:
    """An error without what stands in quotation marks: the engine quotes values of the data there."""
    parts = text.replace("'", '"').split('"')
    return '"…"'.join(parts[::2])


def address_of(name: str, channel: ChannelFile, environ: Mapping[str, str]) -> str:
    """The address of a channel. Raises UsageError, without the address, when it is not there."""
    if channel.url_file is not None:
        try:
            return Path(channel.url_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(
                f"the file {channel.url_file} cannot be read: {error.strerror}", where=f"notify.{name}", do="check it"
            ) from error
    found = environ.get(channel.url_env or "")
    if not found:
        raise UsageError(
            f"the variable {channel.url_env} is not set", where=f"notify.{name}", do="set it, or remove the channel"
        )
    return found


def send(address: str, message: Message) -> bool:
    """Deliver one message by Apprise. Returns whether it was taken."""
    import apprise  # half a second, and only when there is word to send

    sender = apprise.Apprise()
    return bool(sender.add(address)) and bool(sender.notify(title=message.title, body=message.body))


class Notifier:
    """Sends messages in a thread of its own: a receiver that is down never holds up or fails a run."""

    def __init__(self, log: Any, stop: threading.Event, *, first_wait: float = _FIRST_WAIT) -> None:
        self._log, self._stop, self._first_wait = log, stop, first_wait
        self._waiting: queue.Queue[tuple[str, str, Message]] = queue.Queue()
        self._failed: set[str] = set()
        self._tally: Counter[tuple[str, str]] = Counter()
        self._thread = threading.Thread(target=self._deliver_all, daemon=True)
        self._thread.start()

    def begin(self, failed: set[str]) -> None:
        """The flows whose last run failed, so that their recovery is told after a restart too."""
        self._failed = set(failed)

    def hear(self, result: RunResult, channels: Mapping[str, ChannelFile], published: str | None) -> None:
        """Tell the channels of what a run means: the first failure of a row, the recovery, lateness, success."""
        for event in self._events(result):
            message = message_of(event, result, published)
            for name, channel in channels.items():
                if event in channel.events:
                    self.put(name, channel, message)

    def _events(self, result: RunResult) -> list[str]:
        before = result.flow in self._failed
        if result.status == "failed":
            self._failed.add(result.flow)
            return [] if before else ["failure"]
        if result.status != "succeeded":
            return []
        self._failed.discard(result.flow)
        late = any("longer than its SLA" in note for note in result.notes)
        return [*(["recovered"] if before else []), *(["late"] if late else []), "success"]

    def put(self, name: str, channel: ChannelFile, message: Message) -> None:
        """Send a message when its turn comes."""
        try:
            self._waiting.put((name, address_of(name, channel, os.environ), message))
        except UsageError as error:
            self._log.error("no word can be sent", channel=name, reason=error.sentence())

    def _deliver_all(self) -> None:
        while not self._stop.is_set():
            try:
                name, address, message = self._waiting.get(timeout=0.5)
            except queue.Empty:
                continue
            self._deliver(name, address, message)

    def _deliver(self, name: str, address: str, message: Message) -> None:
        wait = self._first_wait
        while not send(address, message):
            self._tally[name, "failed"] += 1
            self._log.warning(
                "word could not be sent, and is sent again", channel=name, event_sent=message.event, wait=wait
            )
            if self._stop.wait(wait):
                return
            wait = min(wait * 2, _LONGEST_WAIT)
        self._tally[name, "sent"] += 1
        self._log.info("word was sent", channel=name, event_sent=message.event)

    def tally(self) -> dict[tuple[str, str], int]:
        """(channel, sent or failed) -> how often, since the start."""
        return dict(self._tally)
