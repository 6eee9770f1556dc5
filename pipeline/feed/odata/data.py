"""Answers with data: rows page by page, one row, one value, a number of rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import duckdb
from starlette.responses import Response

from pipeline.feed.odata.address import Target
from pipeline.feed.odata.applies import applied
from pipeline.feed.odata.ask import Ask
from pipeline.feed.odata.chosen import compute
from pipeline.feed.odata.contexts import context_of
from pipeline.feed.odata.expands import expanded, rows_brought
from pipeline.feed.odata.jsontext import Format, json_text, value_text
from pipeline.feed.odata.layout import Layout, Layouts
from pipeline.feed.odata.negotiation import check_text, json_format, page_size
from pipeline.feed.odata.refusals import absent, unsupported, wrong
from pipeline.feed.odata.rows import Page, counting, fitting, paging
from pipeline.feed.odata.scope import Context, Scope, Shape
from pipeline.feed.odata.skiptoken import Token, read, written
from pipeline.feed.streams import Stream, cut, while_connected
from pipeline.feed.texts import Batch
from pipeline.feed.watch import note_read
from pipeline.feed.work import Ahead, Job

PAGE, LARGEST = 50_000, 500_000  # rows of a page: unless asked otherwise, and at most
NESTED, FEWEST = 1_000, 20  # at most and at least, where rows bring rows with them
_LAYOUTS = Layouts()


@dataclass(frozen=True)
class Plan:
    """The page to send. `rows` of it; one more is read, which says where the next page begins. `left`: of $top."""

    style: Format
    rows: int
    left: int | None
    first: tuple[str | None, ...] | None

    @property
    def last(self) -> bool:
        """Whether no page can follow."""
        return self.left is not None and self.left <= self.rows

    def page(self, skip: int) -> Page:
        """What to read: one row more than is sent, where a page may follow."""
        rows = self.left if self.left is not None and self.last else self.rows + 1
        return Page(rows, skip, self.first)


# ---------------------------------------------------------------- rows
async def rows_answer(ask: Ask, target: Target) -> Response:
    """A page of rows, streamed. Raises RequestError before anything is sent."""
    plan = _plan(ask, target)
    ask.check_only(
        "filter", "orderby", "select", "expand", "compute", "search", "apply", "top", "skip", "count", "skiptoken"
    )
    holds = AsyncExitStack()
    try:
        sent = await while_connected(ask.request, _begun(ask, target, plan, holds))
    except BaseException:
        await holds.aclose()
        raise
    kind = f"application/json;odata.metadata={plan.style.metadata};odata.streaming=true"
    kind += f"{';IEEE754Compatible=true' if plan.style.ieee else ''};charset=utf-8"
    headers = ask.standing() | {"Content-Type": kind} | _applied_preference(ask, plan)
    if ask.request.method == "HEAD":
        await holds.aclose()
        return _without_length(Response(headers=headers))
    return Stream(sent, holds, headers, ask.encoding())


def _without_length(answer: Response) -> Response:
    """The answer to HEAD where GET would stream: nobody knows yet how long that will be, and 0 it is not."""
    del answer.headers["Content-Length"]
    return answer


def _plan(ask: Ask, target: Target) -> Plan:
    style = json_format(ask.headers, ask.query.given.get("format"))
    asked = page_size(ask.headers)
    rows = min(asked or PAGE, LARGEST)
    if brought := rows_brought(ask.model, target.entity, ask.query.options):
        rows = min(rows, NESTED, max(FEWEST, PAGE // brought))
    text = ask.query.given.get("skiptoken")
    if text is None:
        return Plan(style, rows, ask.query.options.top, None)
    token = read(text, ask.belongs)
    return Plan(style, rows, token.left, token.first)


def _applied_preference(ask: Ask, plan: Plan) -> dict[str, str]:
    return {"Preference-Applied": f"odata.maxpagesize={plan.rows}"} if page_size(ask.headers) else {}


async def _begun(ask: Ask, target: Target, plan: Plan, holds: AsyncExitStack) -> AsyncIterator[bytes]:
    """The text of the answer; its first batch has been read, so what can go wrong mostly has."""
    job = await holds.enter_async_context(ask.feed.work.job(ask.snapshot))
    await _check_way(ask, job, target)
    layout = await _layout(job, ask, target)
    head = await _head(ask, job, target, plan)
    context = ask.context()
    shape = _shape(ask, context, target, layout)
    sql, keys = _paging(ask, context, shape, plan, layout)
    await _check_singles(ask, job, context)
    batches = Ahead(job, *context.statement(sql))
    holds.push_async_callback(batches.end)
    return _pieces(ask, plan, head, batches, await batches.next(), keys)


async def _layout(job: Job, ask: Ask, target: Target) -> Layout | None:
    """How the rows lie; of no interest for those of $apply, which groups."""
    if any(step.name in ("groupby", "aggregate") for step in ask.query.apply):
        return None
    version, entity = ask.snapshot.version, target.entity
    return _LAYOUTS.known(version, entity) or await job.do(partial(_LAYOUTS.of, version=version, entity=entity))


def _shape(ask: Ask, context: Context, target: Target, layout: Layout | None) -> Shape:
    shape = target.shape(context)
    if layout is not None:
        shape = fitting(shape, layout)
    return applied(context, shape, ask.query.apply)


def _paging(ask: Ask, context: Context, shape: Shape, plan: Plan, layout: Layout | None) -> tuple[str, int]:
    skip = ask.query.options.skip if plan.first is None else 0
    return paging(context, shape, ask.query.options, plan.page(skip), plan.style, layout)


async def _head(ask: Ask, job: Job, target: Target, plan: Plan) -> bytes:
    members = list[str]()
    if plan.style.metadata != "none":
        members.append(f'"@odata.context":{json.dumps(context_of(ask, target))}')
    if ask.query.options.count:
        context = ask.context()
        sql = counting(context, _shape(ask, context, target, None), ask.query.options)
        members.append(f'"@odata.count":{await _number(ask, job, sql, context)}')
    return ("{" + "".join(f"{member}," for member in members) + '"value":[').encode()


async def _check_singles(ask: Ask, job: Job, context: Context) -> None:
    """501 where a link should lead to one row but the key of the table at its end is not unique: rows would double."""
    for name in sorted(context.singles):
        entity = ask.model.entities[name]
        version = ask.snapshot.version
        layout = _LAYOUTS.known(version, entity) or await job.do(partial(_LAYOUTS.of, version=version, entity=entity))
        if layout is Layout.LOOSE:
            raise unsupported(f"going to {name}, whose key is not unique in this version,")


async def _number(ask: Ask, job: Job, sql: str, context: Context) -> int:
    await _check_singles(ask, job, context)
    rows = await job.do(lambda cursor: cursor.execute(*context.statement(sql)).fetchall())
    return int(rows[0][0])


async def _pieces(
    ask: Ask, plan: Plan, head: bytes, batches: Ahead, batch: Batch | None, keys: int
) -> AsyncIterator[bytes]:
    """The whole text. Each row ends with a comma: the last one's is left out."""
    yield head
    sent, following = 0, None
    while batch is not None:
        batches.begin()  # the next is made while this one is sent
        room = plan.rows - sent
        if batch.rows > room:
            following = batch.values(room)[:keys]
        text = batch.text(min(batch.rows, room))
        if len(text):
            for piece in _with_comma(text, sent):
                yield piece
        sent += batch.rows
        note_read(ask.request, ask.set_name, min(sent, plan.rows))
        batch = await batches.next()
    yield b"]" + _next_link(ask, plan, following) + b"}"


def _with_comma(text: memoryview, sent: int) -> Iterator[bytes]:
    if sent:
        yield b","
    yield from cut(text[:-1])


def _next_link(ask: Ask, plan: Plan, following: list[str | None] | None) -> bytes:
    if following is None or plan.last:
        return b""
    left = None if plan.left is None else plan.left - plan.rows
    token = written(Token(ask.snapshot.version, tuple(following), left), ask.belongs)
    return b',"@odata.nextLink":' + json.dumps(ask.following(token), ensure_ascii=False).encode()


async def _check_way(ask: Ask, job: Job, target: Target) -> None:
    """404 where an address leads on from a row that is not there."""
    for number, step in enumerate(target.steps):
        if step.link is not None and number:
            context = ask.context()
            sql = f"SELECT count(*) FROM {Scope(context, target.shape(context, number)).source}"
            if not await _number(ask, job, sql, context):
                raise absent("there is no such row")


# ---------------------------------------------------------------- one row, one value, a number
async def entity_answer(ask: Ask, target: Target) -> Response:
    """One row by its key. 404 where there is none; 204 where a navigation property leads nowhere."""
    style = json_format(ask.headers, ask.query.given.get("format"))
    ask.check_only("select", "expand", "compute")

    def statement(context: Context) -> str:
        scope = Scope(context, target.shape(context))
        compute(scope, ask.query.options)
        return f"SELECT {expanded(scope, ask.query.options, style)} FROM {scope.source} LIMIT 2"

    text = await _one_text(ask, target, statement)
    if text is None:
        return _nothing(ask, target)
    start = "" if style.metadata == "none" else f'"@odata.context":{json.dumps(context_of(ask, target))}'
    comma = "," if start and text != "{}" else ""
    return _json_answer(ask, style, f"{{{start}{comma}{text[1:]}")


async def property_answer(ask: Ask, target: Target) -> Response:
    """One value, as JSON or (`$value`) as text. 204 for null, 404 where there is no such row."""
    assert target.property is not None
    raw, name, kind = target.tail == "$value", target.property.name, target.property.type
    style = Format() if raw else json_format(ask.headers, ask.query.given.get("format"))
    if raw:
        check_text(ask.query.given.get("format"))
    ask.check_only()

    def statement(context: Context) -> str:
        scope = Scope(context, target.shape(context))
        value = scope.value((name,))
        made = value_text(value.sql, kind) if raw else json_text(value.sql, kind, style)
        return f"SELECT coalesce('=' || CAST({made} AS VARCHAR), '') FROM {scope.source} LIMIT 2"

    text = await _one_text(ask, target, statement)
    if text is None:
        return _nothing(ask, target)
    if text == "":
        return Response(status_code=204, headers=ask.standing())
    if raw:
        return Response(text[1:], headers=ask.standing() | {"Content-Type": "text/plain;charset=utf-8"})
    start = "" if style.metadata == "none" else f'"@odata.context":{json.dumps(context_of(ask, target))},'
    return _json_answer(ask, style, f'{{{start}"value":{text[1:]}}}')


async def count_answer(ask: Ask, target: Target) -> Response:
    """The number of rows, as text."""
    check_text(ask.query.given.get("format"))
    ask.check_only("filter", "search", "apply", "compute")

    async def count() -> int:
        async with ask.feed.work.job(ask.snapshot) as job:
            await _check_way(ask, job, target)
            context = ask.context()
            return await _number(
                ask, job, counting(context, _shape(ask, context, target, None), ask.query.options), context
            )

    number = await while_connected(ask.request, count())
    return Response(str(number), headers=ask.standing() | {"Content-Type": "text/plain;charset=utf-8"})


async def _one_text(ask: Ask, target: Target, statement: Callable[[Context], str]) -> str | None:
    async def read() -> str | None:
        async with ask.feed.work.job(ask.snapshot) as job:
            await _check_way(ask, job, target)
            context = ask.context()
            sql = statement(context)
            await _check_singles(ask, job, context)
            rows = await job.do(partial(_fetched, sql, context))
            if len(rows) > 1:
                raise wrong(f"the key of {target.entity.name} names more than one row here", "use $filter")
            return rows[0] if rows else None

    return await while_connected(ask.request, read())


def _fetched(sql: str, context: Context, cursor: duckdb.DuckDBPyConnection) -> list[str]:
    return [str(row[0]) for row in cursor.execute(*context.statement(sql)).fetchall()]


def _nothing(ask: Ask, target: Target) -> Response:
    if target.steps and target.steps[-1].link is not None and target.property is None:
        return Response(status_code=204, headers=ask.standing())
    raise absent("there is no such row")


def _json_answer(ask: Ask, style: Format, text: str) -> Response:
    kind = f"application/json;odata.metadata={style.metadata}"
    kind += f"{';IEEE754Compatible=true' if style.ieee else ''};charset=utf-8"
    return Response(text, headers=ask.standing() | {"Content-Type": kind})
