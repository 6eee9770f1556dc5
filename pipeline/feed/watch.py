"""Around every request: limits of its size, an end to those that go wrong, the audit line and the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.clock import Clock
from pipeline.errors import RequestError
from pipeline.feed.answers import error_answer, internal_error
from pipeline.feed.audit import Audit

MAX_URL = 16_384  # bytes of path and query
MAX_BODY = 1_048_576  # bytes
BODY_SECONDS = 30.0  # for the whole body
MAX_OPEN = 200  # requests under way


class Counters(Protocol):
    """What the metrics count."""

    def observe(self, *, route: str, status: int, seconds: float, rows: int, bytes: int) -> None:
        """One request that has ended."""

    def found_damaged(self, version: str) -> None:
        """A version is refused: its files are not as they were published."""


class NoCounters:
    """Counts nothing."""

    def observe(self, *, route: str, status: int, seconds: float, rows: int, bytes: int) -> None:
        """Nothing."""

    def found_damaged(self, version: str) -> None:
        """Nothing."""


@dataclass
class Seen:
    """What went out for one request."""

    status: int = 0
    bytes: int = 0
    version: str | None = None
    begun: bool = False
    ended: bool = False


@dataclass
class Watch:
    """The outermost middleware."""

    app: ASGIApp
    log: Any
    clock: Clock
    reads: Audit
    refusals: Audit
    counters: Counters = field(default_factory=NoCounters)
    at_end: Callable[[], None] = lambda: None
    open: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen, began = Seen(), self.clock.seconds()
        scope.setdefault("state", {})
        self.open += 1
        try:
            await self._answer(scope, _Body(receive), _watching(send, seen))
        except Exception as error:
            self.log.error("a request failed", route=route_of(scope), error=type(error).__name__)
            if seen.begun and not seen.ended:
                raise ConnectionAbortedError from None  # the client must not take a part for the whole
            if not seen.begun:
                await error_answer(internal_error())(scope, receive, _watching(send, seen))
        finally:
            self.open -= 1
            self._note(scope, seen, self.clock.seconds() - began)

    async def _answer(self, scope: Scope, receive: _Body, send: Send) -> None:
        try:
            self._within_limits(scope)
            await self.app(scope, receive, send)
        except RequestError as error:
            await error_answer(error)(scope, receive, send)

    def _within_limits(self, scope: Scope) -> None:
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_URL:
            raise RequestError(f"the address is longer than {MAX_URL} bytes", status=414, code="UriTooLong")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise _too_large()
        if self.open > MAX_OPEN and not scope["path"].startswith("/health"):
            raise RequestError("too many requests are under way", status=503, code="Busy", do="ask again soon")

    def _note(self, scope: Scope, seen: Seen, seconds: float) -> None:
        route = route_of(scope)
        if route.startswith("/health"):
            return
        state = scope["state"]
        read = state.get("read", {})
        seen.bytes += state.get("by_kernel", 0)
        self.counters.observe(
            route=route, status=seen.status, seconds=seconds, rows=read.get("rows") or 0, bytes=seen.bytes
        )
        facts = {
            "at": self.clock.now().isoformat(timespec="milliseconds") + "Z",
            "user": state.get("user"),
            "role": state.get("role_name"),
            "address": scope["client"][0] if scope.get("client") else None,
            "method": scope["method"],
            "route": route,
            "table": read.get("table"),
            "version": seen.version,
            "rows": read.get("rows"),
            "bytes": seen.bytes,
            "status": seen.status,
            "seconds": round(seconds, 3),
        }
        try:
            (self.reads if state.get("role") else self.refusals).write(facts)
        except OSError as error:
            self.log.error("a read could not be written down", folder="audit", error=error.strerror)


class _Body:
    """The request's body, not more than allowed and not slower; the disconnect after it may take its time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes, self._done = 0, False
        self._until: float | None = None

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestError("the body came too slowly", status=408, code="TooSlow", do="send it again") from error
        self._bytes += len(message.get("body", b""))
        self._done = not message.get("more_body", False)
        if self._bytes > MAX_BODY:
            raise _too_large()
        return message


def route_of(scope: Scope) -> str:
    """The pattern of the route that answered, never the path: that can hold a key."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "(none)"


def note_read(request: Request, table: str, rows: int | None) -> None:
    """Tell the audit which table was read, and how many rows of it went out (None: not known)."""
    request.state.read = {"table": table, "rows": rows}


def _watching(send: Send, seen: Seen) -> Send:
    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.status, seen.begun = message["status"], True
            found = [value for name, value in message["headers"] if name.lower() == b"goldfeed-version"]
            seen.version = found[0].decode("latin-1") if found else None
        await send(message)
        seen.bytes += len(message.get("body", b""))
        seen.ended = message["type"] == "http.response.body" and not message.get("more_body", False)

    return watched


def _too_large() -> RequestError:
    return RequestError(
        f"the body is larger than {MAX_BODY} bytes", status=413, code="TooLarge", do="send several smaller requests"
    )
