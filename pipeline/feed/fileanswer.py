"""A file as an answer: opened before anything is sent, so that it is whole even when it is removed meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.errors import RequestError
from pipeline.feed.protocol import SENDFILE

CHUNK = 1_048_576  # bytes
STALL = 60.0  # seconds that a reader may take for one chunk
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class FileAnswer(Response):
    """GET and HEAD of a file: Range (one), If-Range, ETag, If-None-Match, Content-Length.

    Raises RequestError: 410 when the file is gone, 416 for a range that begins behind its end.
    """

    def __init__(self, request: Request, path: Path, *, etag: str, media_type: str, headers: Mapping[str, str]) -> None:
        self._file = _opened(path)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            super().__init__(None, 200, {**headers, "ETag": etag, "Accept-Ranges": "bytes"}, media_type)
            self._first, self._last = 0, self._size - 1
            if _matches(request.headers.get("if-none-match", ""), etag):
                self._not_modified()
            else:
                self._choose_range(request, etag)
        except BaseException:
            self._file.close()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            if scope["method"] != "HEAD" and self.status_code != 304:
                await self._send_bytes(scope, receive, send)
            await send({"type": "http.response.body", "body": b""})
        except ConnectionError:
            return  # the reader has gone
        finally:
            self._file.close()

    async def _send_bytes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By the kernel where the connection can, else in chunks, until the reader has all or goes."""
        by_kernel = (scope.get("extensions") or {}).get(SENDFILE)
        if by_kernel is not None:
            for place, count in self._chunks():
                with anyio.fail_after(STALL):
                    await by_kernel(self._file, place, count)
                scope["state"]["by_kernel"] = scope["state"].get("by_kernel", 0) + count
            return
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            for place, count in self._chunks():
                chunk = await run_sync(partial(os.pread, self._file.fileno(), count, place))
                with anyio.fail_after(STALL):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            group.cancel_scope.cancel()

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """(offset, bytes) of each."""
        for place in range(self._first, self._last + 1, CHUNK):
            yield place, min(CHUNK, self._last + 1 - place)

    def _choose_range(self, request: Request, etag: str) -> None:
        found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
        if found and request.headers.get("if-range", etag) == etag and (found[1] or found[2]):
            self._first, self._last = _bounds(found[1], found[2], self._size)
            self.status_code = 206
            self.headers["Content-Range"] = f"bytes {self._first}-{self._last}/{self._size}"
        self.headers["Content-Length"] = str(self._last - self._first + 1)

    def _not_modified(self) -> None:
        self.status_code = 304
        for name in ("Content-Length", "Content-Type"):
            if name in self.headers:
                del self.headers[name]


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise RequestError(
            "the version was removed meanwhile", status=410, code="VersionGone", do="start again without a version"
        ) from error


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    begin = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if begin >= size or end < begin:
        raise RequestError(
            f"the file has {size} bytes", status=416, code="RangeNotSatisfiable", do="ask for bytes within it"
        )
    return begin, end


def _matches(asked: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return etag in tags or "*" in tags
