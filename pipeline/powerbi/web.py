"""/powerbi/: the project and the connection file to download, cut to what the reader's role sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pipeline.errors import ProjectError, RequestError, UsageError
from pipeline.feed.app import seen
from pipeline.feed.catalog import Catalog
from pipeline.powerbi.connections import pbids
from pipeline.powerbi.files import project_zip
from pipeline.project.project import Project
from pipeline.project.role import BUILT_IN

PLACE = "/powerbi/goldfeed"


def routes(project: Callable[[], Project]) -> list[BaseRoute]:
    """`goldfeed.pbip.zip?mode=import|directquery` and `goldfeed.pbids`. `project` gives it as it is now."""

    async def download(request: Request) -> Response:
        snapshot, catalog = await run_sync(seen, request, request.query_params.get("version"))
        mode = request.query_params.get("mode", "import")
        url = _feed_url(request) if mode == "import" else None
        roles = getattr(request.state, "role_name", "") in BUILT_IN
        data = await run_sync(_zipped, project(), manifest_for(snapshot.manifest, catalog), mode, url, roles)
        return _answer(request, data, "application/zip", "pbip.zip", snapshot.version)

    async def connection(request: Request) -> Response:
        return _answer(request, pbids(_feed_url(request)).encode(), "application/json", "pbids", None)

    return [Route(f"{PLACE}.pbip.zip", download), Route(f"{PLACE}.pbids", connection)]


def manifest_for(manifest: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The manifest of a version with the tables and columns of one reader's catalog, and no others."""
    tables = {}
    for name, table in catalog.tables.items():
        entry = manifest["tables"][name]
        columns = [column for column in entry["columns"] if table.column(column["name"])]
        tables[name] = {**entry, "columns": columns, "key": list(table.key)}
    whole = tables == {name: {**entry, "key": list(entry["key"])} for name, entry in manifest["tables"].items()}
    return {**manifest, "tables": tables, "cut": not whole}


def _zipped(project: Project, manifest: Mapping[str, Any], mode: str, url: str | None, roles: bool) -> bytes:
    try:
        return project_zip(project, manifest, mode, url, roles=roles)
    except UsageError as error:
        raise RequestError(error.what, status=400, code="BadRequest", do=error.do) from error
    except ProjectError as error:
        raise RequestError(error.what, status=501, code="NotImplemented", do=error.do) from error


def _feed_url(request: Request) -> str:
    """The feed's address as this reader reaches it."""
    return f"{str(request.base_url).rstrip('/')}/odata/v4/"


def _answer(request: Request, data: bytes, media: str, ending: str, version: str | None) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if version:
        headers["Goldfeed-Version"] = version
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="goldfeed.{ending}"'
    return Response(data, media_type=media, headers=headers)
