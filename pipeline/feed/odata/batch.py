"""$batch in JSON: requests are answered one after the other, each streamed into the one answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import GoldfeedError, RequestError
from pipeline.feed.answers import error_answer
from pipeline.feed.odata.ask import ROOT
from pipeline.feed.odata.negotiation import check_versions, encoding
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.streams import Stream

_MOST, _LARGEST = 100, 1_000_000  # requests, and bytes of their text
_TAKEN = {"accept", "prefer", "odata-maxversion", "odata-version", "if-none-match"}
Answer = Callable[[Request], Awaitable[Response]]


async def batch_answer(request: Request, answer: Answer) -> Response:
    """Raises RequestError: 400 for a body that is not a batch, 501 for multipart, 413 for one too large."""
    check_versions(request.headers)
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise unsupported("$batch in other forms than JSON", "send application/json")
    requests = _requests(await _body(request))
    headers = {"OData-Version": "4.0", "Content-Type": "application/json;charset=utf-8", "Cache-Control": "no-store"}
    return Stream(_pieces(request, requests, answer), AsyncExitStack(), headers, encoding(request.headers))


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > _LARGEST:
            raise RequestError("the batch is too large", status=413, code="TooLarge", do="send fewer requests")
    return bytes(found)


def _requests(body: bytes) -> list[dict[str, Any]]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise wrong("the body is not JSON") from error
    found = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(_is_request(item) for item in found):
        raise wrong('a batch is {"requests": [{"id": ..., "method": "get", "url": ...}, ...]}')
    if len(found) > _MOST or len({item["id"] for item in found}) < len(found):
        raise wrong(f"a batch has at most {_MOST} requests, each with an id of its own")
    return found


def _is_request(item: Any) -> bool:
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("id", "method", "url")):
        return False
    headers = item.get("headers") or {}
    return isinstance(headers, dict) and all(isinstance(value, str) for value in headers.values())


async def _pieces(request: Request, requests: list[dict[str, Any]], answer: Answer) -> AsyncIterator[bytes]:
    done: dict[str, int] = {}
    for number, item in enumerate(requests):
        yield b'{"responses":[' if not number else b","
        response = await _answered(request, item, answer, done)
        done[item["id"]] = response.status_code
        headers = {name: value for name, value in response.headers.items() if name not in ("content-length", "vary")}
        start = json.dumps({"id": item["id"], "status": response.status_code, "headers": headers}, ensure_ascii=False)
        yield start[:-1].encode()
        async for piece in _content(request, response):
            yield piece
        yield b"}"
    yield b"]}" if requests else b'{"responses":[]}'


async def _content(request: Request, response: Response) -> AsyncIterator[bytes]:
    """The member `body`: JSON as it is, anything else as a text."""
    if response.status_code in (204, 304):
        return
    if isinstance(response, Stream):
        yield b',"body":'
        try:
            async for piece in response.body_iterator:
                yield piece if isinstance(piece, bytes) else str(piece).encode()
        finally:
            await response.let_go()
        return
    content = bytes(response.body)
    is_json = response.headers.get("content-type", "").startswith("application/json")
    yield b',"body":' + (content if is_json else json.dumps(content.decode()).encode())


async def _answered(request: Request, item: dict[str, Any], answer: Answer, done: dict[str, int]) -> Response:
    try:
        if item["method"].lower() != "get":
            raise RequestError(
                "only GET is offered here", status=405, code="MethodNotAllowed", do="this feed is for reading"
            )
        _check_order(item, done)
        return await answer(_inner(request, item))
    except GoldfeedError as error:
        return error_answer(error)


def _check_order(item: dict[str, Any], done: dict[str, int]) -> None:
    before = item.get("dependsOn") or []
    if not isinstance(before, list) or any(name not in done for name in before if isinstance(name, str)):
        raise wrong("dependsOn names a request that does not come before")
    if any(done.get(name, 0) >= 400 for name in before if isinstance(name, str)):
        raise RequestError(
            "a request that this one depends on failed", status=424, code="FailedDependency", do="see there"
        )


def _inner(request: Request, item: dict[str, Any]) -> Request:
    """The request with its own address and headers; who asks, and the connection, stay."""
    try:
        parts = urlsplit(item["url"])
    except ValueError as error:
        raise wrong("the url of the request is not one") from error
    path = parts.path
    if not path.startswith("/"):
        path = f"{ROOT}{path}"
    if not path.startswith(ROOT) or re.search(r"[^\x21-\x7e]", path + parts.query):
        raise wrong(f"the url of the request must begin with {ROOT} or be relative to it, and be encoded")
    own = {name.lower(): value for name, value in (item.get("headers") or {}).items() if name.lower() in _TAKEN}
    if any(re.search(r"[^\x20-\x7e]", value) for value in own.values()):
        raise wrong("the headers of the request are not plain text")
    kept = [(name, value) for name, value in request.scope["headers"] if name == b"host"]
    headers = kept + [(name.encode(), value.encode()) for name, value in own.items()]
    scope = {
        **request.scope, "method": "GET", "path": path, "raw_path": path.encode(), "query_string": parts.query.encode(),
        "headers": headers,
    }  # fmt: skip
    return Request(scope, request.receive)
