"""The pages of the report. A visual whose fields the model lacks is left out, and its neighbours take its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.powerbi.catalog import TRUST_TABLES, Catalog
from pipeline.powerbi.measures import measures_of
from pipeline.powerbi.visuals import Field, Visual


@dataclass(frozen=True)
class Page:
    """A page: rows of visuals from top to bottom, in the order in which the Tab key visits them."""

    name: str
    slicers: Sequence[Visual]
    cards: Sequence[Visual]
    charts: Sequence[Visual]


class Fields:
    """The fields of a model by the names of gold. A name that is not there gives None."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._measures = {measure.name: measure for measure in measures_of(catalog)}

    def measure(self, name: str) -> Field | None:
        """A measure by its name."""
        found = self._measures.get(name)
        table = self.catalog.table(found.table) if found else None
        return Field(table.name, name, is_measure=True) if table else None

    def column(self, place: str) -> Field | None:
        """A column by its place in gold: `dim_date.date`."""
        source, _, name = place.partition(".")
        table = self.catalog.table(source)
        column = table.column(name) if table else None
        return Field(table.name, column.name) if table and column else None

    def found(self, names: Sequence[str]) -> list[Field]:
        """Measures (`[Revenue]`) and columns (`dim_date.date`) that are there."""
        fields = [self.measure(n.strip("[]")) if n.startswith("[") else self.column(n) for n in names]
        return [field for field in fields if field is not None]


def _first(fields: Fields, *names: str) -> list[str]:
    """The first of these that is there, as a list."""
    return next(([name] for name in names if fields.found([name])), [])


def _made(
    fields: Fields, type_: str, title: str, alt: str, mode: str | None = None, **wells: Sequence[str]
) -> list[Visual]:
    """The visual, or nothing if a well would be empty."""
    filled = {well: fields.found(names) for well, names in wells.items()}
    if not all(filled.values()):
        return []
    hovers = type_ not in ("cardVisual", "slicer", "tableEx") and not _of_the_feed(filled)
    return [Visual(type_, title, dict(filled), alt, mode, tooltip=hovers)]


def _of_the_feed(wells: Mapping[str, Sequence[Field]]) -> bool:
    """Whether a visual is about the tables themselves: there a tooltip of revenue would say nothing of the point."""
    return any(field.table in TRUST_TABLES for fields in wells.values() for field in fields)


def _card(fields: Fields, name: str, title: str | None = None) -> list[Visual]:
    shown, measure = title or name, fields.measure(name)
    dated = measure is not None and measure.table not in TRUST_TABLES
    mode = "Moment" if name == "Published At" else None
    return _made(fields, "cardVisual", shown, f"Card: {shown}{' of the chosen days' if dated else ''}", mode, Data=[f"[{name}]"])


def _slicer(fields: Fields, title: str, *places: str) -> list[Visual]:
    found = fields.found(_first(fields, *places))
    mode = "Between" if title == "Days" else "Dropdown"
    return [Visual("slicer", title, {"Values": found}, f"Filter of the page: {title.lower()}", mode)] if found else []


def pages_of(catalog: Catalog) -> list[Page]:
    """The four pages, each with what the model has for it."""
    fields = Fields(catalog)
    return [_overview(fields), _sales(fields), _customers(fields), _trust(fields)]


def _overview(fields: Fields) -> Page:
    place = _first(fields, "dim_customers.country", "dim_customers.state", "dim_customers.city")
    group = _first(fields, "dim_products.category", "dim_products.category_english", "dim_products.description")
    return Page(
        "Executive overview",
        [
            *_slicer(fields, "Days", "dim_date.date"),
            *_slicer(fields, "Place", "dim_customers.country", "dim_customers.state"),
            *_slicer(fields, "Status", "fact_orders.status"),
        ],
        [
            *_card(fields, "Revenue"), *_card(fields, "Orders"), *_card(fields, "Average Order Value"),
            *_card(fields, "Customers"), *_card(fields, "Revenue Growth MTD %", "Growth, month to date"), *_card(fields, "Published At"),
        ],
        [
            *_made(
                fields, "lineChart", "Revenue by day", "Lines: revenue of each day, and on the right axis of the 28 days up to it",
                Category=["dim_date.date"], Y=["[Revenue]"], Y2=["[Revenue Rolling 28 Days]"],
            ),
            *_made(
                fields, "clusteredBarChart", "Revenue by place", "Bars: revenue by where the customers live",
                Category=place, Y=["[Revenue]"],
            ),
            *_made(
                fields, "clusteredColumnChart", "Orders by month", "Columns: number of orders in each month",
                Category=["dim_date.month"], Y=["[Orders]"],
            ),
            *_made(
                fields, "clusteredBarChart", "Revenue by kind of product", "Bars: revenue of the products by kind",
                Category=group, Y=["[Product Revenue]"],
            ),
        ],
    )  # fmt: skip


def _sales(fields: Fields) -> Page:
    group = _first(fields, "dim_products.category", "dim_products.category_english", "dim_products.description")
    product = _first(fields, "dim_products.name", "dim_products.description", "dim_products.category")
    return Page(
        "Sales",
        [
            *_slicer(fields, "Days", "dim_date.date"),
            *_slicer(fields, "Kind of product", *group),
            *_slicer(fields, "Status", "fact_orders.status"),
        ],
        [
            *_card(fields, "Items"), *_card(fields, "Items per Order"), *_card(fields, "Product Revenue"),
            *_card(fields, "Cancellation Rate"), *_card(fields, "Refunds"),
        ],
        [
            *_made(
                fields, "lineChart", "Revenue and last year's", "Line: revenue of each month and a year before",
                Category=["dim_date.month"], Y=["[Revenue]", "[Revenue Last Year]"],
            ),
            *_made(
                fields, "clusteredBarChart", "Pieces by product", "Bars: pieces sold of each product",
                Category=product, Y=["[Pieces Sold]"],
            ),
            *_made(
                fields, "pivotTable", "Products by month", "Table: revenue and pieces of each kind of product by month",
                Rows=group, Columns=["dim_date.month"], Values=["[Product Revenue]", "[Pieces Sold]"],
            ),
            *_made(
                fields, "lineChart", "Running total", "Line: revenue of all days up to each day",
                Category=["dim_date.date"], Y=["[Revenue Running Total]"],
            ),
        ],
    )  # fmt: skip


def _customers(fields: Fields) -> Page:
    place = _first(fields, "dim_customers.segment", "dim_customers.country", "dim_customers.state")
    return Page(
        "Customers and retention",
        [
            *_slicer(fields, "Days", "dim_date.date"),
            *_slicer(fields, "Place", "dim_customers.country", "dim_customers.state"),
        ],
        [
            *_card(fields, "Customers"), *_card(fields, "New Customers"), *_card(fields, "Returning Customers"),
            *_card(fields, "Retention %"),
        ],
        [
            *_made(
                fields, "clusteredColumnChart", "New and returning customers",
                "Columns: new and returning customers of each month",
                Category=["dim_date.month"], Y=["[New Customers]", "[Returning Customers]"],
            ),
            *_made(
                fields, "clusteredBarChart", "Customers by group", "Bars: customers and their revenue by group",
                Category=place, Y=["[Customers]"],
            ),
            *_cohorts(fields),
            *_made(
                fields, "lineChart", "Retention", "Line: share of last month's customers who ordered again, by month",
                Category=["dim_date.month"], Y=["[Retention %]"],
            ),
        ],
    )  # fmt: skip


def _cohorts(fields: Fields) -> list[Visual]:
    """Cohorts by month where there is such a mart, else customers by month."""
    mart = "mart_monthly_retention"
    cohorts = _made(
        fields, "pivotTable", "Retention by cohort", "Table: share of each month's new customers who came back later",
        "Plain", Rows=[f"{mart}.cohort_month"], Columns=[f"{mart}.months_since"], Values=["[Cohort Retention %]"],
    )  # fmt: skip
    return cohorts or _made(
        fields, "pivotTable", "Customers by month", "Table: customers, new and returning, and retention by month",
        Rows=["dim_date.month"], Values=["[Customers]", "[New Customers]", "[Returning Customers]", "[Retention %]"],
    )  # fmt: skip


def _trust(fields: Fields) -> Page:
    columns = [
        f"_freshness.{name}"
        for name in ("table", "data_through", "built_at", "last_good_run", "checks_failed", "rows_quarantined")
    ]
    return Page(
        "Data trust",
        [*_slicer(fields, "Table", "_freshness.table")],
        [
            *_card(fields, "Published At"), *_card(fields, "Hours Since Publication"), *_card(fields, "Contracts"),
            *_card(fields, "Checks Failed"),
            *_card(fields, "Rows Quarantined"),
        ],
        [
            *_made(
                fields, "tableEx", "Freshness of each table",
                "Table: how fresh each table is, its failed checks and its rows in quarantine", Values=columns,
            ),
            *_made(
                fields, "clusteredBarChart", "Failed checks by table", "Bars: failed checks of the contracts by table",
                Category=["_freshness.table"], Y=["[Checks Failed]"],
            ),
            *_made(
                fields, "clusteredBarChart", "Quarantine by table", "Bars: rows set aside on the way to each table",
                Category=["_freshness.table"], Y=["[Rows Quarantined]"],
            ),
        ],
    )  # fmt: skip


def tooltip_of(catalog: Catalog) -> list[Visual]:
    """The cards of the tooltip: figures of the point under the mouse."""
    fields = Fields(catalog)
    cards = ("Revenue", "Orders", "Average Order Value")
    return [visual for name in cards for visual in _card(fields, name)]
