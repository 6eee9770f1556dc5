"""The command that tests models."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, project_of_command


@app.command("test")
def test_models(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables, e.g. silver.orders or gold (default: all).")
    ] = None,
    json_out: Json = False,
) -> None:
    """Test models on the rows that their `<table>.test.yml` gives, in memory; the warehouse is not touched.

    Example: goldfeed test silver.orders
    """
    from pipeline.commands import proofs

    if not proofs.test(project_of_command(), tables or [], json_out=json_out):
        raise typer.Exit(1)
