"""uvicorn's HTTP/1.1 with what it lacks: a time-out for the request's head, a cap on connections, errors in our shape."""

from __future__ import annotations

import asyncio
import json
from typing import Any, BinaryIO

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the connection, or from the first byte after the last answer, to the end of the head
HEAD_BYTES = 32_768
MAX_CONNECTIONS = 512
SENDFILE = "goldfeed.sendfile"  # in scope["extensions"]: async (file, offset, count), after the answer's head
_WORDS = {400: "Bad Request", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


class _Bytes:
    """Stands for bytes that the kernel sends: h11 need only know how many."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


class Http(H11Protocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A new connection; beyond the cap it is told so and closed."""
        super().connection_made(transport)
        if self.scheme == "http":
            self.app = self._with_sendfile(self.app)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, "Busy", "too many connections are open; ask again soon.")
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Bytes: the clock of the head runs until there is a whole one."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._timer is None:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """The end of an answer; a next request may have begun already."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _with_sendfile(self, app: Any) -> ASGIApp:
        async def offering(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {SENDFILE: self._sendfile}
            await app(scope, receive, send)

        return offering

    async def _sendfile(self, file: BinaryIO, offset: int, count: int) -> None:
        """A part of an answer's body, from the file to the socket without a copy in this process."""
        data: Any = _Bytes(count)
        self.conn.send_with_data_passthrough(h11.Data(data=data))
        await self.loop.sendfile(self.transport, file, offset, count, fallback=False)

    def send_400_response(self, msg: str) -> None:
        """A head that is no HTTP, or is too long."""
        if len(self.conn.trailing_data[0]) > HEAD_BYTES:
            self._refuse(431, "HeadersTooLarge", f"the head of the request is larger than {HEAD_BYTES} bytes.")
        else:
            self._refuse(400, "BadRequest", "this is no HTTP request.")

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": {"code": code, "message": message}}).encode()
        later = "Retry-After: 5\r\n" if status == 503 else ""
        head = f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: application/json\r\n{later}"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.close()


def options() -> dict[str, Any]:
    """uvicorn's options for it."""
    return {"http": Http, "h11_max_incomplete_event_size": HEAD_BYTES, "timeout_keep_alive": 30}
