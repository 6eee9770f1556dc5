"""The door of the service: while it runs, commands typed elsewhere on this machine are done here, through a Unix socket.

One process can hold the warehouse. The socket lies in the home folder, for its owner alone (0600). A call is one POST with
the command and its arguments; the answer is a stream of JSON lines: text, progress, a sign of life each second, the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

from pipeline.caller import Line, Served, screen_of
from pipeline.commands.base import caller
from pipeline.commands.calls import Place, call
from pipeline.commands.wire import SOCKET, address_of
from pipeline.errors import GoldfeedError, PermanentError, UsageError, WarehouseBusy
from pipeline.service import Service
from pipeline.show import screen

_LONGEST = 1_000_000  # bytes of a call


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class Door:
    """Open while the service runs; also what keeps a second service away from the same home."""

    def __init__(self, service: Service) -> None:
        self._service, self._home = service, service.project.settings.home
        self._lock = -1
        self._server: _Server | None = None

    def open(self) -> None:
        """Take the home and listen. Raises WarehouseBusy when another service has it."""
        self._lock = _lock(self._home)
        path = self._home / SOCKET
        path.unlink(missing_ok=True)  # of a service that was killed: whoever lives holds the lock
        before = os.umask(0o177)
        try:
            with address_of(self._home) as address:
                self._server = _Server(address, _handler(self._answer))
        except OSError as error:
            raise UsageError(
                f"the socket cannot be made: {error.strerror or error}",
                where=str(path),
                do="choose a home on a local disk",
            ) from error
        finally:
            os.umask(before)
        threading.Thread(target=self._server.serve_forever, args=(0.5,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and give up the home."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            with suppress(OSError):
                (self._home / SOCKET).unlink(missing_ok=True)
        if self._lock >= 0:
            os.close(self._lock)

    def _answer(self, asked: dict[str, Any], line: Line) -> None:
        """Do one command; whatever comes of it ends the stream with `exit` or `error`."""
        served = Served(self._service, line)
        try:
            with screen_of(asked["screens"], line) as there, line.beating(served.give_up):
                self._service.calls.add(served.stop)
                screen.set(there)
                caller.set(served)
                well = call(asked["command"], self._place(Path(asked["folder"])), asked["arguments"])
            line.say({"exit": 0 if well else 1})
        except GoldfeedError as error:
            line.say(_told(error))
        except OSError as error:
            line.say(_told(PermanentError(f"{error.strerror or error}", where=str(error.filename or asked["command"]))))
        except Exception as error:
            unexpected = f"unexpected {type(error).__name__} in the service"
            self._service.log.error("a command failed", command=asked["command"], error=unexpected)
            line.say(_told(PermanentError(unexpected, where=asked["command"], do="report it")))
        finally:
            self._service.calls.discard(served.stop)

    def _place(self, folder: Path) -> Place:
        """Where the command works: in the service's own project. Raises UsageError for another one."""
        own = self._service.project.folder
        if folder.resolve() != own.resolve():
            raise UsageError(
                f"a service runs on {self._home}, for the project in {own}", where=str(folder), do="give another --home"
            )
        if self._service.stop.is_set():
            raise WarehouseBusy("the service is stopping", where=str(self._home), do="type it again in a moment")
        return Place(own, self._home, os.environ)


def _lock(home: Path) -> int:
    handle = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise WarehouseBusy("another service runs on this home", where=str(home), do="stop it first") from error
    return handle


def _told(error: GoldfeedError) -> dict[str, Any]:
    return {"error": {"kind": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}}


def _call_in(file: BufferedIOBase, length: str | None) -> dict[str, Any] | None:
    """The call in the body of a request; None if it is none."""
    try:
        size = int(length or 0)
        asked = json.loads(file.read(size)) if 0 < size <= _LONGEST else None
    except ValueError:
        return None
    good = isinstance(asked, dict) and {"command", "arguments", "folder", "screens"} <= set(asked)
    return asked if good else None


def _handler(answer: Callable[[dict[str, Any], Line], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """One call."""
            asked = _call_in(self.rfile, self.headers.get("Content-Length"))
            if self.path != "/call" or asked is None:
                self.send_error(400 if self.path == "/call" else 404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.end_headers()
            answer(asked, Line(self.wfile.write))

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the runs log themselves."""

    return Handler
