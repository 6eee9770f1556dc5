"""Commands that tell what the tables are: describe, docs."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, done

docs_app = typer.Typer(no_args_is_help=True, help="The data catalog.\n\nExample: goldfeed docs build")
app.add_typer(docs_app, name="docs")


@app.command()
def describe(
    table: Annotated[str, typer.Argument(help="A table, e.g. gold.fact_orders.")], json_out: Json = False
) -> None:
    """Show what a table is: columns, keys, personal data, profile, contract and lineage.

    Example: goldfeed describe gold.fact_orders
    """
    done("describe", table=table, json_out=json_out)


@docs_app.command("build")
def docs_build(json_out: Json = False) -> None:
    """Write the data catalog, a page a table, into published/catalog/.

    Example: goldfeed docs build
    """
    done("docs build", json_out=json_out)
