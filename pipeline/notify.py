"""Word to people: one message an event, sent beside the runs, again and again until it is delivered."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.outbox import Message, Outbox, Waiting
from pipeline.project.channel import ChannelFile
from pipeline.project.project import Project
from pipeline.results import RunResult, TaskResult

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_TOO_OLD = 7 * 86_400.0  # seconds after which nobody wants to hear of it any more
_BAD = {"failed": "failure", "withheld": "withheld"}
_MISSED = {
    "freshness": ("is not fresh", "See whether files have come into landing/, and goldfeed history."),
    "deadline": ("missed a deadline", "See whether files have come into landing/, and goldfeed history."),
    "recovered": ("has recovered", ""),
}


def message_of(event: str, result: RunResult, published: str | None) -> Message:
    """Say what happened, what was done and what to do; names and numbers, never a value of the data."""
    flow, run = result.flow, result.run_id
    if event in _BAD.values():
        return _bad_news(event, result, readers_see(published))
    if event == "recovered":
        body = f"Run {run} succeeded. {readers_see(published)}"
        return Message(event, f"goldfeed: {flow} has recovered (run {run})", body)
    if event == "late":
        late = [f"{note[:1].upper()}{note[1:]}." for note in result.notes if "longer than its SLA" in note]
        return Message(event, f"goldfeed: {flow} was late (run {run})", "\n".join([*late, readers_see(published)]))
    body = f"{len(result.tasks)} tasks. {readers_see(published)}"
    return Message(event, f"goldfeed: {flow} succeeded (run {run})", body)


def _bad_news(event: str, result: RunResult, readers: str) -> Message:
    flow, run = result.flow, result.run_id
    wrong = [task for task in result.tasks if task.status in _BAD]
    lines = [
        f"{task.task} {'failed' if task.status == 'failed' else 'was withheld'} after {task.attempts} attempts: "
        f"{without_values(task.error or '')}"
        for task in wrong
    ]
    skipped = sum(task.status == "skipped" for task in result.tasks)
    lines += [f"{skipped} tasks were skipped. {'Nothing new was published. ' if event == 'withheld' else ''}{readers}"]
    lines += [f"When the cause is mended, type: goldfeed retry {run}"]
    title = "failed" if event == "failure" else "withheld its publication"
    return Message(event, f"goldfeed: {flow} {title} (run {run})", "\n".join(lines))


def readers_see(published: str | None) -> str:
    """What readers have meanwhile."""
    return f"Readers see version {published}." if published else "Nothing is published yet."


def without_values(text: str) -> str:
    """An error without what stands in quotation marks: the engine quotes values of the data there."""
    parts = text.replace("'", '"').split('"')
    return '"…"'.join(parts[::2])


def log_task(log: Any, run_id: int | None, task: TaskResult) -> None:
    """A line for a task that has ended."""
    facts = {"task": task.task, "status": task.status, "rows_in": task.rows_in, "rows_out": task.rows_out}
    log = log.bind(run=run_id, **facts, quarantined=task.rows_quarantined)
    if task.error:
        log.error("task", attempts=task.attempts, error=without_values(task.error))
    else:
        log.info("task", seconds=task.seconds)


def log_run(log: Any, result: RunResult) -> None:
    """A line for a run; nothing when there was nothing to do."""
    if result.status == "nothing_to_do":
        return
    log = log.bind(run=result.run_id)
    tell = log.info if result.status == "succeeded" else log.error
    tell("run", status=result.status, version=result.version, seconds=round(result.seconds, 2))


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


def channels_of(project: Project, flow: str) -> dict[str, ChannelFile]:
    """The channels that hear of a flow."""
    if flow not in project.flows:
        return {}
    chosen = project.flows[flow].spec.notify
    return {name: channel for name, channel in project.channels.items() if chosen is None or name in chosen}


class Notifier:
    """Sends messages in a thread of its own: a receiver that is down never holds up or fails a run, nor another receiver."""

    def __init__(
        self,
        log: Any,
        stop: threading.Event,
        outbox: Outbox,
        channels: Callable[[], Mapping[str, ChannelFile]],
        *,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._log, self._stop, self._first_wait = log, stop, first_wait
        self._outbox, self._channels = outbox, channels
        self._bad: dict[str, str] = {}
        self._tally: Counter[tuple[str, str]] = Counter()
        self._waits: dict[str, tuple[float, float]] = {}  # channel -> when to try again, and how long to wait then
        self._new = threading.Event()
        threading.Thread(target=self._deliver_all, daemon=True).start()

    def begin(self, bad: Mapping[str, str]) -> None:
        """The flows whose last run failed or was withheld: their recovery is told after a restart too."""
        self._bad = dict(bad)

    def failing(self) -> set[str]:
        """The flows whose last run failed or was withheld, of which people have been told."""
        return set(self._bad)

    def hear(self, result: RunResult, channels: Mapping[str, ChannelFile], published: str | None) -> None:
        """Tell the channels of what a run means: the first failure of a row, the recovery, lateness, success."""
        for event in self._events(result):
            self._tell(message_of(event, result, published), channels)

    def missed(self, event: str, flow: str, lines: Sequence[str], project: Project, published: str | None) -> None:
        """Tell of promises of a flow's tables that were missed, or are kept again: one message for all of them."""
        what, advice = _MISSED[event]
        body = "\n".join(filter(None, [*dict.fromkeys(lines), readers_see(published), advice]))
        self._tell(Message(event, f"goldfeed: {flow} {what}", body), channels_of(project, flow))

    def _tell(self, message: Message, channels: Mapping[str, ChannelFile]) -> None:
        for name, channel in channels.items():
            if message.event in channel.events:
                self.put(name, channel, message)

    def _events(self, result: RunResult) -> Iterable[str]:
        before = self._bad.get(result.flow)
        if result.status in _BAD:
            self._bad[result.flow] = result.status
            return [] if before == result.status else [_BAD[result.status]]
        if result.status != "succeeded":
            return []
        self._bad.pop(result.flow, None)
        late = any("longer than its SLA" in note for note in result.notes)
        return [*(["recovered"] if before else []), *(["late"] if late else []), "success"]

    def put(self, name: str, channel: ChannelFile, message: Message) -> None:
        """Send a message when its turn comes."""
        try:
            address_of(name, channel, os.environ)
        except UsageError as error:
            self._log.error("no word can be sent", channel=name, reason=error.sentence())
            return
        self._outbox.put(name, message)
        self._new.set()

    # ---------------------------------------------------------------- delivery
    def _deliver_all(self) -> None:
        while not self._stop.is_set():
            self._new.clear()
            held = set[str]()
            for waiting in self._outbox.waiting():
                if self._stop.is_set():
                    return
                if waiting.channel not in held and not self._deliver(waiting):
                    held.add(waiting.channel)  # what comes after it waits behind it
            self._new.wait(0.2 if held else 5.0)

    def _deliver(self, waiting: Waiting) -> bool:
        """Send one message. Returns False when its channel cannot take it now."""
        name, log = waiting.channel, self._log.bind(channel=waiting.channel, event_sent=waiting.message.event)
        channel = self._channels().get(name)
        if channel is None or time.time() - waiting.since > _TOO_OLD:
            log.error("word was never sent", reason="the channel is gone" if channel is None else "it is a week old")
            self._outbox.done(waiting)
            return True
        again_at, wait = self._waits.get(name, (0.0, self._first_wait))
        if time.monotonic() < again_at:
            return False
        if self._sent(name, channel, waiting.message):
            self._outbox.done(waiting)
            self._waits.pop(name, None)
            self._tally[name, "sent"] += 1
            log.info("word was sent")
            return True
        self._tally[name, "failed"] += 1
        log.warning("word could not be sent, and is sent again", wait=wait)
        self._waits[name] = (time.monotonic() + wait, min(wait * 2, _LONGEST_WAIT))
        return False

    def tally(self) -> dict[tuple[str, str], int]:
        """(channel, sent or failed) -> how often, since the start."""
        return dict(self._tally)

    def _sent(self, name: str, channel: ChannelFile, message: Message) -> bool:
        try:
            return send(address_of(name, channel, os.environ), message)
        except UsageError:
            return False
