"""A command that a running service does: asked over its socket, shown here as if it were done here."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline import errors, show
from pipeline.commands.wire import BEAT, connect

_PATIENCE = 30 * BEAT  # seconds without a sign of life after which the service counts as gone


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that is connected already."""

    def __init__(self, line: socket.socket) -> None:
        super().__init__("goldfeed")
        self.sock = line


def ask(home: Path, folder: Path, command: str, arguments: Mapping[str, Any]) -> int | None:
    """Have the service of a home do a command. Returns the exit code, None when no service runs there.

    Raises the GoldfeedError that the service met, and TransientError when it ends in the middle.
    """
    line = connect(home, _PATIENCE)
    if line is None:
        return None
    body = json.dumps({"command": command, "arguments": dict(arguments), "folder": str(folder), "screens": _screens()})
    connection = _Connection(line)
    try:
        connection.request("POST", "/call", body, {"Content-Type": "application/json"})
        with ExitStack() as stack:
            return _show_all(_facts(connection.getresponse()), stack)
    except (http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise errors.TransientError(
            "the service ended or fell silent while it worked on this",
            where=command,
            do="see its log, then type it again",
        ) from error
    finally:
        connection.close()


def _screens() -> dict[str, dict[str, Any]]:
    """What the two outputs of this process can show."""
    return {
        name: {"terminal": console.is_terminal, "width": console.width, "colours": console.color_system}
        for name, console in (("out", show.out()), ("err", show.err()))
    }


def _facts(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while raw := answer.readline():
        yield json.loads(raw)


def _show_all(facts: Iterator[dict[str, Any]], stack: ExitStack) -> int:
    """Show each fact as it comes, up to the one that ends the command."""
    bars: show.Bars | None = None
    progress: dict[str, float] = {}
    for fact in facts:
        if "exit" in fact:
            return int(fact["exit"])
        if "error" in fact:
            raise _error(fact["error"])
        if "text" in fact:
            _write(fact["to"], fact["text"])
        elif "task" in fact:
            bars = bars or stack.enter_context(show.Bars())
            _move(bars, progress, fact)
        elif "over" in fact:
            stack.close()
            bars = None
    raise ConnectionError("the answer has no end")


def _write(where: str, text: str) -> None:
    """Show a text; when nobody reads it any more the command ends here, as rich has it end, and the service is not blamed."""
    stream = sys.stdout if where == "out" else sys.stderr
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or Python complains of it once more at its end
        raise SystemExit(1) from None


def _move(bars: show.Bars, progress: dict[str, float], fact: Mapping[str, Any]) -> None:
    task = str(fact["task"])
    if "total" in fact:
        bars.task_started(task, fact["total"], lambda: progress.get(task, -1.0))
    elif "advanced" in fact:
        bars.task_advanced(task, fact["advanced"])
    elif "progress" in fact:
        progress[task] = fact["progress"]
    else:
        bars.task_ended(task, fact["status"], fact["rows"], fact["seconds"])


def _error(fact: Mapping[str, str]) -> errors.GoldfeedError:
    kind = getattr(errors, fact["kind"], errors.GoldfeedError)
    made: errors.GoldfeedError = kind(fact["what"], where=fact["where"], do=fact["do"])
    return made
