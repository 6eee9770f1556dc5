"""Commands about the way of a column."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, project_of_command


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(help="A column, gold.fact_orders.total_amount, or a table, gold.fact_orders.")],
    down: Annotated[bool, typer.Option("--down", help="What is made of it, instead of what it is made of.")] = False,
    json_out: Json = False,
) -> None:
    """Show what a column is made of, back to the source files, and where personal data is masked.

    Example: goldfeed lineage gold.fact_orders.total_amount
    """
    from pipeline.commands import ways

    ways.show_lineage(project_of_command(), name, down=down, json_out=json_out)
