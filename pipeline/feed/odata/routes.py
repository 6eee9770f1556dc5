"""The addresses under /odata/v4/."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pipeline.feed.odata.address import target_of
from pipeline.feed.odata.ask import ROOT, Ask, ask_of
from pipeline.feed.odata.batch import batch_answer
from pipeline.feed.odata.data import count_answer, entity_answer, property_answer, rows_answer
from pipeline.feed.odata.metadata import csdl_json, csdl_xml
from pipeline.feed.odata.negotiation import json_format, wants_json
from pipeline.feed.odata.refusals import absent
from pipeline.feed.watch import note_read


def routes() -> list[BaseRoute]:
    """For `build_app`. Who asks, and what they may see, is `request.state.role`."""
    return [
        Route(ROOT.rstrip("/"), answer, methods=["GET"]),
        Route(f"{ROOT}$batch", batch, methods=["POST"]),
        Route(f"{ROOT}{{rest:path}}", answer, methods=["GET"]),
    ]


async def answer(request: Request) -> Response:
    """Any GET or HEAD. Raises RequestError."""
    ask = ask_of(request)
    if ask.unchanged():
        return Response(status_code=304, headers=ask.standing())
    if not ask.segments:
        return _service(ask)
    if ask.segments == ("$metadata",):
        return _metadata(ask)
    if ask.segments == ("$batch",):
        raise absent("$batch is asked with POST")
    ask = await ask.informed()
    target = target_of(ask.model, ask.segments, ask.query.aliases)
    note_read(request, ask.set_name, None)
    if target.tail == "$count":
        return await count_answer(ask, target)
    if target.property is not None:
        return await property_answer(ask, target)
    return await (rows_answer if target.many else entity_answer)(ask, target)


async def batch(request: Request) -> Response:
    """Several requests in one. Raises RequestError."""
    return await batch_answer(request, answer)


def _service(ask: Ask) -> Response:
    style = json_format(ask.headers, ask.query.given.get("format"))
    ask.check_only()
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in ask.model.entities]
    content: dict[str, Any] = {"value": sets}
    if style.metadata != "none":
        content = {"@odata.context": f"{ask.root}$metadata"} | content
    kind = f"application/json;odata.metadata={style.metadata};charset=utf-8"
    return _whole(ask, json.dumps(content, ensure_ascii=False).encode(), kind)


def _metadata(ask: Ask) -> Response:
    ask.check_only()
    if wants_json(ask.headers, ask.query.given.get("format")):
        content = json.dumps(csdl_json(ask.model), ensure_ascii=False).encode()
        return _whole(ask, content, "application/json;charset=utf-8")
    return _whole(ask, csdl_xml(ask.model), "application/xml;charset=utf-8")


def _whole(ask: Ask, content: bytes, kind: str) -> Response:
    return Response(content, headers=ask.standing() | {"Content-Type": kind})
