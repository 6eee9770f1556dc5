"""/files/: tables as Parquet, CSV and Arrow, whole or by month; what the role sees of them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.errors import RequestError
from pipeline.feed.app import Feed, seen
from pipeline.feed.catalog import Catalog, Table, catalog_of
from pipeline.feed.exports import Exports, Wanted
from pipeline.feed.fileanswer import FileAnswer
from pipeline.feed.freshness import Freshness, date_column
from pipeline.feed.partitions import Month, month_of, months
from pipeline.feed.snapshot import Snapshot
from pipeline.feed.watch import note_read
from pipeline.published import table_files

MEDIA = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}


@dataclass(frozen=True)
class Files:
    """The routes' handlers."""

    exports: Exports
    freshness: Freshness

    def routes(self) -> list[BaseRoute]:
        """All of them, in the order in which they are tried."""
        return [
            Route("/files/", self.index),
            Route("/files/_freshness", self.fresh),
            Route("/files/{table}/", self.listing),
            Route("/files/{table}/{year}/{file}", self.one_month),
            Route("/files/{file}", self.whole),
        ]

    async def index(self, request: Request) -> Response:
        """What there is, with its sizes; HTML for a browser."""
        snapshot, catalog = await self._seen(request)
        tables = [_entry(snapshot, table) for table in catalog.tables.values()]
        body = {"version": snapshot.version, "published_at": catalog.published_at, "tables": tables}
        headers = _headers(snapshot)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_page(body), headers=headers)
        return JSONResponse(body, headers=headers)

    async def fresh(self, request: Request) -> Response:
        """Whether the numbers can be trusted."""
        snapshot, catalog = await self._seen(request)
        rows = await run_sync(self.freshness.tables, snapshot, catalog)
        body = {"version": snapshot.version, **self.freshness.word(), "tables": [row.as_dict() for row in rows]}
        return JSONResponse(body, headers=_headers(snapshot) | {"Cache-Control": "no-cache"})

    async def listing(self, request: Request) -> Response:
        """The months of a table."""
        snapshot, catalog = await self._seen(request)
        table = _table(catalog, request.path_params["table"])
        found = await run_sync(_months, snapshot, table)
        files = [
            {"path": f"/files/{table.name}/{month.place}.{kind}", "rows": month.rows}
            for month in found
            for kind in ("parquet",)
        ]
        return JSONResponse(
            {"version": snapshot.version, "table": table.name, "files": files}, headers=_headers(snapshot)
        )

    async def whole(self, request: Request) -> Response:
        """A whole table."""
        snapshot, catalog = await self._seen(request)
        name, format = _split(request.path_params["file"])
        return await self._answer(request, snapshot, _table(catalog, name), format, None)

    async def one_month(self, request: Request) -> Response:
        """One month of a table."""
        snapshot, catalog = await self._seen(request)
        name, format = _split(request.path_params["file"])
        table = _table(catalog, request.path_params["table"])
        month = month_of(f"{request.path_params['year']}/{name}")
        return await self._answer(request, snapshot, month.of(table), format, month)

    async def _seen(self, request: Request) -> tuple[Snapshot, Catalog]:
        """Opening a version reads its files once, to verify them: in a thread."""
        return await run_sync(seen, request, request.query_params.get("version"))

    async def _answer(
        self, request: Request, snapshot: Snapshot, table: Table, format: str, month: Month | None
    ) -> Response:
        entry = snapshot.manifest["tables"][table.name]
        stem = table.name if month is None else f"{table.name}-{month.year:04d}-{month.month:02d}"
        headers = _headers(snapshot) | {
            "Content-Disposition": f'attachment; filename="{stem}.{format}"',
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization",
        }
        if format == "parquet" and _is_raw(snapshot, table):
            feed: Feed = request.app.state.feed
            path, etag = feed.settings.published / snapshot.version / entry["file"], f'"{entry["sha256"][:32]}"'
            rows = entry["rows"]
        else:
            wanted = Wanted(table.name, entry["sha256"], table.relation, table.columns, format)
            export = await self.exports.get(snapshot, wanted)
            path, etag, rows = export.path, export.etag, export.rows
        answer = FileAnswer(request, path, etag=etag, media_type=MEDIA[format], headers=headers)
        sent = request.method == "GET" and answer.status_code == 200
        note_read(request, table.name, rows if sent else None)
        return answer


def _is_raw(snapshot: Snapshot, table: Table) -> bool:
    """Whether the published file is just what the reader sees: every column, every row, in one file."""
    entry = snapshot.manifest["tables"][table.name]
    whole = catalog_of(snapshot.manifest, snapshot.filled).tables[table.name]
    return len(table_files(entry)) == 1 and table.condition is None and table.columns == whole.columns


def _months(snapshot: Snapshot, table: Table) -> list[Month]:
    cursor = snapshot.connection.cursor()
    try:
        return months(cursor, table)
    finally:
        cursor.close()


def _entry(snapshot: Snapshot, table: Table) -> dict[str, Any]:
    raw = _is_raw(snapshot, table)
    return {
        "table": table.name,
        "description": table.description,
        "rows": table.rows if table.rows >= 0 else None,
        "bytes": snapshot.manifest["tables"][table.name]["bytes"] if raw else None,
        "columns": [{"name": column.name, "type": column.type} for column in table.columns],
        "files": [f"/files/{table.name}.{format}" for format in MEDIA],
        "months": f"/files/{table.name}/" if date_column(table) else None,
    }


def _table(catalog: Catalog, name: str) -> Table:
    table = catalog.tables.get(name)
    if table is None:
        raise RequestError("there is no such table", status=404, code="NotFound", do="/files/ lists the tables")
    return table


def _split(file: str) -> tuple[str, str]:
    stem, _, format = file.rpartition(".")
    if format not in MEDIA:
        raise RequestError(
            "there is no such file", status=404, code="NotFound", do=f"the kinds are .{', .'.join(MEDIA)}"
        )
    return stem, format


def _headers(snapshot: Snapshot) -> dict[str, str]:
    return {"Goldfeed-Version": snapshot.version}


def _page(body: dict[str, Any]) -> str:
    rows = "".join(_row(table) for table in body["tables"])
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>goldfeed: files</title>"
        f"<h1>Version {html.escape(body['version'])}</h1><p>Published {html.escape(body['published_at'])}</p>"
        f"<table><tr><th>table<th>rows<th>files<th>about</tr>{rows}</table></html>"
    )


def _row(table: dict[str, Any]) -> str:
    links = " ".join(f"<a href='{html.escape(path)}'>{path.rpartition('.')[2]}</a>" for path in table["files"])
    name, about = html.escape(table["table"]), html.escape(table["description"])
    count = "" if table["rows"] is None else f"{table['rows']:,}"
    if table["months"] is not None:
        links += f" <a href='{html.escape(table['months'])}'>by month</a>"
    return f"<tr><td>{name}<td>{count}<td>{links}<td>{about}</tr>"
