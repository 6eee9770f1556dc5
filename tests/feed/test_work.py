"""The queue of queries: limits, turns, cancelling, and flat memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from pipeline.errors import RequestError
from pipeline.feed.snapshot import Snapshot
from pipeline.feed.work import Limits, Work

FOREVER = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE (a.range * b.range) % 7 = 11"


@pytest.fixture
def snapshot() -> Iterator[Snapshot]:
    connection = duckdb.connect(config={"threads": 2})
    yield Snapshot("000001", {}, connection)
    connection.close()


def ask(work: Work, snapshot: Snapshot, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    return asyncio.run(work.rows(snapshot, sql, values))


def test_values_are_bound(snapshot: Snapshot) -> None:
    assert ask(Work(), snapshot, "SELECT $1 || '!', $2 + 1", "'; DROP", 4) == [("'; DROP!", 5)]


def test_a_query_over_its_time_ends_with_504(snapshot: Snapshot) -> None:
    work = Work(Limits(seconds=0.2))
    with pytest.raises(RequestError) as refused:
        ask(work, snapshot, FOREVER)
    assert (refused.value.status, refused.value.code) == (504, "TimeLimit")
    assert ask(work, snapshot, "SELECT 1") == [(1,)]


def test_no_more_than_so_many_at_once_then_503(snapshot: Snapshot) -> None:
    async def crowd() -> list[Any]:
        work = Work(Limits(seconds=0.3, at_once=2, waiting=1, patience=5))
        return await asyncio.gather(*(work.rows(snapshot, FOREVER) for _ in range(4)), return_exceptions=True)

    assert sorted(error.status for error in asyncio.run(crowd())) == [503, 504, 504, 504]


def test_who_waits_too_long_gets_503(snapshot: Snapshot) -> None:
    async def pair() -> list[Any]:
        work = Work(Limits(seconds=0.5, at_once=1, patience=0.1))
        return await asyncio.gather(*(work.rows(snapshot, FOREVER) for _ in range(2)), return_exceptions=True)

    assert [error.status for error in asyncio.run(pair())] == [504, 503]


def test_a_query_nobody_waits_for_is_ended_and_its_place_is_free(snapshot: Snapshot) -> None:
    async def leave() -> list[tuple[Any, ...]]:
        work = Work(Limits(at_once=1))
        asked = asyncio.create_task(work.rows(snapshot, FOREVER))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return await work.rows(snapshot, "SELECT 1")

    assert asyncio.run(leave()) == [(1,)]


@pytest.mark.parametrize(
    ("sql", "status"),
    [("SELECT 'x'::INTEGER", 400), ("SELECT 9223372036854775807::BIGINT + 1", 400), ("SELECT error('x')", 400)],
    ids=["cast", "overflow", "raised"],
)
def test_values_that_do_not_fit_are_the_askers_fault(snapshot: Snapshot, sql: str, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        ask(Work(), snapshot, sql)
    assert refused.value.status == status


def test_texts_come_joined_batch_by_batch_with_the_values_beside_them(snapshot: Snapshot) -> None:
    async def read() -> tuple[bytes, list[Any], int]:
        text, last, batches = b"", [], 0
        beside: list[str | None] = []
        sql = "SELECT concat('ä', range, ';'), range::VARCHAR, nullif(range % 3, 2)::VARCHAR FROM range($1)"
        async for batch in Work().texts(snapshot, sql, [300_000]):
            text, last, batches = text + bytes(batch.text()), batch.values(batch.rows - 1), batches + 1
            assert bytes(batch.text(0)) == b""
            beside += [batch.values(row)[1] for row in range(3)]
        assert set(beside) == {"0", "1", None}
        return text, last, batches

    text, last, batches = asyncio.run(read())
    assert text == "".join(f"ä{n};" for n in range(300_000)).encode()
    assert last == ["299999", None]
    assert batches > 1


def test_no_rows_are_no_text(snapshot: Snapshot) -> None:
    async def read() -> list[bytes]:
        return [bytes(batch.text()) async for batch in Work().texts(snapshot, "SELECT 'x' WHERE $1", [False])]

    assert b"".join(asyncio.run(read())) == b""
