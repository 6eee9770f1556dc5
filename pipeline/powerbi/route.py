"""/powerbi/goldfeed.pbip.zip: the project of the published version, with this feed's address in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.errors import RequestError, UsageError
from pipeline.feed.app import seen
from pipeline.feed.catalog import Catalog
from pipeline.powerbi.files import project_zip
from pipeline.project.project import Project
from pipeline.project.role import BUILT_IN

PATH = "/powerbi/goldfeed.pbip.zip"


def zip_route(project: Callable[[], Project]) -> Route:
    """The route, over the project as it is at the time of a request; `?mode=directquery` for the other kind.

    For the built-in roles only: roles and measures in it name tables that another role may not know of.
    """

    async def answer(request: Request) -> Response:
        if request.state.role_name not in BUILT_IN:
            raise RequestError(
                "the Power BI project is for the roles admin and reader", status=403, code="Forbidden", do="ask them"
            )
        version, data = await run_sync(_zip, request, project())
        headers = {"Goldfeed-Version": version, "Content-Disposition": 'attachment; filename="goldfeed.pbip.zip"'}
        return Response(data, media_type="application/zip", headers=headers)

    return Route(PATH, answer)


def _zip(request: Request, project: Project) -> tuple[str, bytes]:
    snapshot, catalog = seen(request, request.query_params.get("version"))
    url = f"{request.base_url}odata/v4/"
    try:
        data = project_zip(project, cut(snapshot.manifest, catalog), request.query_params.get("mode", "import"), url)
    except UsageError as error:
        raise RequestError(error.what, status=400, code="BadRequest", do=error.do) from error
    return snapshot.version, data


def cut(manifest: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The manifest with the tables and columns of the catalog, and no others."""
    tables = {
        name: {**entry, "columns": [one for one in entry["columns"] if catalog.tables[name].column(one["name"])]}
        for name, entry in manifest["tables"].items()
        if name in catalog.tables
    }
    return {**manifest, "tables": tables}
