"""Commands for Power BI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.base import Json, app, project_of_command

powerbi_app = typer.Typer(no_args_is_help=True, help="Files for Power BI.\n\nExample: goldfeed powerbi export report")
app.add_typer(powerbi_app, name="powerbi")


@powerbi_app.command("export")
def powerbi_export(
    folder: Annotated[
        Path, typer.Argument(help="Where to write the project: a new or empty folder, or an older export.")
    ],
    mode: Annotated[str, typer.Option(help="import (from the feed) or directquery (from PostgreSQL).")] = "import",
    url: Annotated[
        str | None, typer.Option(help="Address of the feed; for directquery host:port/database of PostgreSQL.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Write a Power BI project: a semantic model and a report over the published gold tables.

    Example: goldfeed powerbi export report --url http://localhost:8080/odata/v4/
    """
    from pipeline.commands.powerbi import export

    export(project_of_command(), folder, mode, url, json_out=json_out)


@app.command("export")
def export_connections(
    folder: Annotated[Path, typer.Argument(help="Where to write the files.")],
    kind: Annotated[str, typer.Option("--format", help="odc (Excel, a file for each table) or pbids (Power BI).")],
    url: Annotated[str | None, typer.Option(help="Address of the feed.")] = None,
    json_out: Json = False,
) -> None:
    """Write connection files for the feed: opened by a double click, they ask for the password.

    Example: goldfeed export connections --format odc
    """
    from pipeline.commands.powerbi import connections

    connections(project_of_command(), folder, kind, url, json_out=json_out)
