"""The feed as an ASGI application: the read side over published/, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from pipeline.errors import GoldfeedError, RequestError
from pipeline.feed.answers import error_answer, internal_error, on_error
from pipeline.feed.catalog import Catalog, Role, catalog_of
from pipeline.feed.freshness import Freshness
from pipeline.feed.library import Library
from pipeline.feed.snapshot import Snapshot
from pipeline.feed.work import Work
from pipeline.settings import Settings


@dataclass(frozen=True)
class Feed:
    """What the routes share; `request.app.state.feed`."""

    settings: Settings
    library: Library
    work: Work = field(default_factory=Work)
    freshness: Freshness = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "freshness", Freshness(self.settings))


def build_app(feed: Feed, routes: Iterable[BaseRoute]) -> Starlette:
    """The application. Access (who asks, what they may see) is a middleware that sets `request.state.role`."""
    handlers = {GoldfeedError: on_error, HTTPException: _on_http_exception, Exception: _on_surprise}
    app = Starlette(routes=list(routes), exception_handlers=handlers)
    app.state.feed = feed
    return app


def seen(request: Request, version: str | None = None) -> tuple[Snapshot, Catalog]:
    """The version asked for (default: the current one) and what this request's role may see of it.

    Raises RequestError: 410 for a version that is gone, 503 when nothing is published.
    """
    feed: Feed = request.app.state.feed
    snapshot = feed.library.version(version) if version else feed.library.current()
    role: Role = request.state.role
    return snapshot, role(catalog_of(snapshot.manifest, snapshot.filled))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405), in the one shape."""
    assert isinstance(error, HTTPException)
    what = {404: "there is no such address", 405: "this method is not offered here"}.get(
        error.status_code, error.detail
    )
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest")
    answer = error_answer(RequestError(what, status=error.status_code, code=code, do="see docs/odata.md"))
    answer.headers.update(error.headers or {})
    return answer


async def _on_surprise(request: Request, error: Exception) -> Response:
    """A mistake of ours: the reader learns that it is, and nothing of what it was; the log has its kind."""
    return error_answer(internal_error())
