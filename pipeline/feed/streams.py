"""Answers that are sent while they are made: in pieces, packed if the reader takes that, ended when the reader goes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol, TypeVar

import zstandard
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from pipeline.errors import RequestError

T = TypeVar("T")
_PIECE = 1 << 18  # bytes given to the socket at a time
STALLED = 300.0  # seconds after which a reader that takes nothing is left


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Stream(StreamingResponse):
    """A streamed answer; what it holds (a cursor, a turn) is let go when it ends, however it ends."""

    def __init__(
        self, pieces: AsyncIterator[bytes], holds: AsyncExitStack, headers: Mapping[str, str], encoding: str
    ) -> None:
        self._holds = holds
        packed = pieces if encoding == "identity" else _packed(pieces, encoding)
        given = dict(headers) | ({} if encoding == "identity" else {"Content-Encoding": encoding})
        super().__init__(packed, headers=given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            async with asyncio.timeout(STALLED):
                await send(message)

        try:
            await super().__call__(scope, receive, patiently)
        finally:
            await asyncio.shield(self.let_go())

    async def let_go(self) -> None:
        """End what was begun for this answer, whether or not it was sent."""
        await self._holds.aclose()


def cut(text: memoryview) -> Iterator[bytes]:
    """A large text in pieces small enough for a socket."""
    for start in range(0, len(text), _PIECE):
        yield bytes(text[start : start + _PIECE])


async def _packed(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    packer: _Packer = (
        zstandard.ZstdCompressor(level=1).compressobj() if encoding == "zstd" else zlib.compressobj(1, wbits=31)
    )
    async for piece in pieces:
        small = len(piece) < _PIECE // 8
        done = packer.compress(piece) if small else await asyncio.to_thread(packer.compress, piece)
        if done:
            yield done
    yield packer.flush()


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; it is cancelled when the client goes away first. Raises RequestError (499) then."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        gone.cancel()
        await _ended(task)
    raise RequestError("nobody waits for the answer any more", status=499, code="ClientGone", do="ask again")


async def _ended(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
