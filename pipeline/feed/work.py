"""SQL for requests: in threads, a few at once, each with a time limit, and ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from pipeline.errors import RequestError
from pipeline.feed.snapshot import Snapshot
from pipeline.feed.texts import Batch, Texts

T = TypeVar("T")
_NUDGE = 0.05  # seconds between interrupts: one that comes before the query has begun is lost


@dataclass(frozen=True)
class Limits:
    """seconds: of DuckDB's time for one request. at_once: queries open. waiting: others in the queue, patience: how long."""

    seconds: float = 120.0
    at_once: int = 8
    waiting: int = 64
    patience: float = 20.0


class Job:
    """One request's turn: a cursor of its own, and the seconds it has left. Reading slowly costs the reader no seconds."""

    def __init__(self, snapshot: Snapshot, pool: ThreadPoolExecutor, seconds: float) -> None:
        self._cursor = snapshot.connection.cursor()
        self._pool, self._limit, self._left = pool, seconds, seconds
        self._over = False

    async def do(self, function: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Call the function with the cursor, in a thread.

        Raises RequestError: 504 over the time limit, 413 out of memory, 410 when the files are gone, 400 for values
        that do not convert. When the caller is cancelled the query is interrupted, and has ended when this returns.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        running = self._pool.submit(function, self._cursor)
        timer = loop.call_later(max(self._left, 0), self._nudge, running)
        try:
            return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:
            await self._end(running)
            raise
        except duckdb.Error as error:
            raise self._refusal(error) from error
        finally:
            timer.cancel()
            self._left -= loop.time() - began

    def close(self) -> None:
        self._cursor.close()

    def _nudge(self, running: Future[Any]) -> None:
        self._over = True
        if not running.done():
            self._cursor.interrupt()
            asyncio.get_running_loop().call_later(_NUDGE, self._nudge, running)

    async def _end(self, running: Future[Any]) -> None:
        """Interrupt until it has ended; what it ends with is of no interest."""
        running.cancel()
        while not running.done():
            self._cursor.interrupt()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(_NUDGE / 10)

    def _refusal(self, error: duckdb.Error) -> Exception:
        if self._over and isinstance(error, duckdb.InterruptException):
            return _time_limit(self._limit)
        return refusal(error)


class Ahead:
    """The batches of a query, of which one is made while another is sent."""

    def __init__(self, job: Job, sql: str, values: Sequence[Any]) -> None:
        self._job, self._sql, self._values = job, sql, values
        self._texts: Texts | None = None
        self._made: asyncio.Future[Batch | None] | None = None

    def begin(self) -> None:
        """Make the next batch from now on; `next` waits for it."""
        if self._made is None:
            self._made = asyncio.ensure_future(self._job.do(self._next))

    async def next(self) -> Batch | None:
        """The next batch, or None after the last. Raises RequestError as `Job.do` does."""
        self.begin()
        assert self._made is not None
        found = await self._made
        self._made = None
        return found

    def _next(self, cursor: duckdb.DuckDBPyConnection) -> Batch | None:
        if self._texts is None:
            self._texts = Texts(cursor, self._sql, self._values)
        return self._texts.next()

    async def end(self) -> None:
        """What is being made is given up."""
        if self._made is not None:
            self._made.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._made


class Work:
    """The queue. One for the application; `job` gives a turn."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._pool = ThreadPoolExecutor(self.limits.at_once, thread_name_prefix="feed")
        self._free = asyncio.Semaphore(self.limits.at_once)
        self._waiting = 0

    @asynccontextmanager
    async def job(self, snapshot: Snapshot) -> AsyncIterator[Job]:
        """A turn on this version. Raises RequestError (503) when too many wait already, or the wait is too long."""
        await self._turn()
        job = Job(snapshot, self._pool, self.limits.seconds)
        try:
            yield job
        finally:
            job.close()
            self._free.release()

    async def rows(self, snapshot: Snapshot, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        async with self.job(snapshot) as job:
            return await job.do(lambda cursor: cursor.execute(sql, list(values)).fetchall())

    async def texts(self, snapshot: Snapshot, sql: str, values: Sequence[Any] = ()) -> AsyncIterator[Batch]:
        """The rows' first column, a text, in batches as DuckDB makes them; see `Batch`."""
        async with self.job(snapshot) as job:
            found = await job.do(lambda cursor: Texts(cursor, sql, values))
            while batch := await job.do(lambda _: found.next()):
                yield batch

    def close(self) -> None:
        """End the threads; the running queries come to their ends first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _turn(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._waiting >= self.limits.waiting:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.patience):
                await self._free.acquire()
        except TimeoutError as error:
            raise _busy() from error
        finally:
            self._waiting -= 1


def refusal(error: duckdb.Error) -> Exception:
    """What a request gets for an error of DuckDB's; one that is our own fault stays as it is."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return RequestError(
            "the answer needs more memory than there is", status=413, code="TooLarge", do="ask for less of it at a time"
        )
    if isinstance(error, duckdb.IOException):
        return RequestError(
            "the version was removed meanwhile", status=410, code="VersionGone", do="start again without a version"
        )
    if isinstance(error, duckdb.DataError | duckdb.InvalidInputException):
        return RequestError(
            "a value is out of range or does not convert", status=400, code="BadValue", do="correct the expression"
        )
    if isinstance(error, duckdb.BinderException | duckdb.InternalException) or type(error) is duckdb.Error:
        return RequestError(
            "this combination of types and operators is not supported",
            status=501, code="NotImplemented", do="ask without it, and do this part at your side",
        )  # fmt: skip
    return error


def _time_limit(seconds: float) -> RequestError:
    return RequestError(
        f"the answer took more than {seconds:g} seconds",
        status=504,
        code="TimeLimit",
        do="ask for less of it at a time",
    )


def _busy() -> RequestError:
    return RequestError(
        "too many questions are being answered now", status=503, code="Busy", do="ask again in some seconds"
    )
