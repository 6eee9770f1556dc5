"""The feed's own tables: what is shown, and whether it can be trusted."""

from __future__ import annotations

from dataclasses import replace

from pipeline.powerbi.catalog import TRUST_TABLES, Catalog, Column, Table

FEED, FRESHNESS = "_feed", "_freshness"
_WAY = "in it and in all that it is made of: what two tables share stands in both, so the column does not add up"


def with_trust(catalog: Catalog) -> Catalog:
    """The catalog with `Last Refresh` (one row: the version) and `Freshness` (a row for each table)."""
    return replace(catalog, tables=(*catalog.tables, _feed(), _freshness()))


def _feed() -> Table:
    return Table(
        source=FEED,
        name=TRUST_TABLES[0],
        description="The version that is shown, and when it was published",
        columns=(
            Column("version", "Version", "VARCHAR", "The published version"),
            Column("published_at", "Published", "TIMESTAMP", "When it was published (UTC)"),
            Column(
                "contract_status", "Contract Status", "VARCHAR", "kept, or withheld: a newer state failed its checks"
            ),
            Column("last_run", "Last Run", "VARCHAR", "How the last run ended"),
            Column("last_good_run_at", "Last Good Run", "TIMESTAMP", "When the last good run ended (UTC)"),
            Column("checks_failed", "Failed Checks", "BIGINT", "Checks that failed when they were last made, in all tables"),
            Column("rows_quarantined", "Quarantined Rows", "BIGINT", "Rows set aside, each counted once"),
        ),
        key=("version",),
    )


def _freshness() -> Table:
    return Table(
        source=FRESHNESS,
        name=TRUST_TABLES[1],
        description="Each table: how fresh it is, and how its checks went",
        columns=(
            Column("table", "Table", "VARCHAR", "The table of gold"),
            Column("version", "Version", "VARCHAR", "The published version"),
            Column("built_at", "Built", "TIMESTAMP", "When it was built (UTC)"),
            Column("data_through", "Data Through", "VARCHAR", "The last day or time its rows speak of (UTC)"),
            Column("last_good_run", "Last Good Run", "TIMESTAMP", "When the last good run that held it ended (UTC)"),
            Column("checks_failed", "Failed Checks", "BIGINT", f"Checks that failed {_WAY}"),
            Column("rows_quarantined", "Quarantined Rows", "BIGINT", f"Rows that were set aside {_WAY}"),
        ),
        key=("table",),
    )


def own_columns(name: str) -> list[dict[str, str]]:
    """The columns of one of these tables, as a manifest lists them."""
    table = _feed() if name == FEED else _freshness()
    return [{"name": column.source, "type": column.type} for column in table.columns]
