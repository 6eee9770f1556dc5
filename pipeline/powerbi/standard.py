"""The measures every shop gets, as far as its tables have the columns: DAX with the names of gold in braces.

`{fact_orders}` is a table, `{fact_orders.status}` a column, `{customer}` the column that names a customer and `{day}`
the date of the date table. A measure is made if all of these are there, and every measure it names in brackets.
"""

from __future__ import annotations

from dataclasses import dataclass

MONEY, COUNT, RATIO, SHARE, TIME = "#,0.00", "#,0", "#,0.00", "0.0%", "yyyy-mm-dd hh:nn"
_KEPT = 'KEEPFILTERS({fact_orders.status} <> "canceled")'
_CUSTOMERS = "FILTER(CALCULATETABLE(VALUES({customer}), {fact_orders}), NOT ISBLANK({customer}))"
_BEFORE = f"CALCULATETABLE({_CUSTOMERS}, DATEADD({{day}}, -1, MONTH))"
# tables above share what went wrong below them: their numbers do not add up
_ONE_OR_ALL = "IF(HASONEVALUE({{_freshness.table}}), SUM({{_freshness.{0}}}), MAX({{_feed.{0}}}))"


@dataclass(frozen=True)
class Standard:
    """A measure: its name, the gold table it stands in, its DAX, how it is shown and where."""

    name: str
    table: str
    dax: str
    format: str
    folder: str
    description: str


STANDARD = (
    Standard("Orders", "fact_orders", "COUNTROWS({fact_orders})", COUNT, "Sales", "Number of orders"),
    Standard(
        "Orders Not Canceled", "fact_orders", f"CALCULATE([Orders], {_KEPT})", COUNT, "Sales",
        "Number of orders that are not canceled",
    ),
    Standard(
        "Revenue", "fact_orders", f"CALCULATE(SUM({{fact_orders.total_amount}}), {_KEPT})", MONEY, "Sales",
        "Money of the orders that are not canceled",
    ),
    Standard(
        "Average Order Value", "fact_orders", "DIVIDE([Revenue], [Orders Not Canceled])", MONEY, "Sales",
        "Revenue per order that is not canceled",
    ),
    Standard(
        "Items", "fact_orders", f"CALCULATE(SUM({{fact_orders.item_count}}), {_KEPT})", COUNT, "Sales",
        "Pieces in the orders that are not canceled",
    ),
    Standard(
        "Items per Order", "fact_orders", "DIVIDE([Items], [Orders Not Canceled])", RATIO, "Sales",
        "Pieces per order that is not canceled",
    ),
    Standard(
        "Product Revenue", "fact_order_items", f"CALCULATE(SUM({{fact_order_items.line_amount}}), {_KEPT})", MONEY,
        "Sales", "Quantity times price of the lines of orders that are not canceled; can be split by product",
    ),
    Standard(
        "Pieces Sold", "fact_order_items", f"CALCULATE(SUM({{fact_order_items.quantity}}), {_KEPT})", COUNT, "Sales",
        "Pieces in the lines of orders that are not canceled; can be split by product",
    ),
    Standard(
        "Cancellation Rate", "fact_orders",
        'DIVIDE(CALCULATE([Orders], KEEPFILTERS({fact_orders.status} = "canceled")), [Orders])', SHARE, "Sales",
        "Share of the orders that are canceled",
    ),
    Standard(
        "Refunds", "fact_payments",
        '-CALCULATE(SUM({fact_payments.amount}), KEEPFILTERS({fact_payments.payment_type} = "refund"), '
        "USERELATIONSHIP({fact_payments.paid_date}, {day}))", MONEY, "Sales",
        "Money paid back, on the day it was paid",
    ),
    Standard(
        "Refunds", "fact_payments",
        '-CALCULATE(SUM({fact_payments.amount}), KEEPFILTERS({fact_payments.payment_type} = "refund"))', MONEY, "Sales",
        "Money paid back",
    ),
    Standard(
        "Refunds", "fact_orders",
        '-CALCULATE(SUM({fact_orders.total_amount}), KEEPFILTERS({fact_orders.status} = "canceled"))', MONEY, "Sales",
        "Money of the canceled orders, as a positive number",
    ),
    Standard(
        "Customers", "fact_orders", f"COUNTROWS({_CUSTOMERS})", COUNT, "Customers",
        "Known customers with an order",
    ),
    Standard(
        "New Customers", "fact_orders",
        f"VAR Seen = {_CUSTOMERS}\n"
        'VAR Firsts = ADDCOLUMNS(Seen, "@First", CALCULATE(MIN({fact_orders.order_date}), '
        "REMOVEFILTERS({dim_date}), ALLEXCEPT({dim_customers}, {customer})))\n"
        "RETURN COUNTROWS(FILTER(Firsts, [@First] IN VALUES({day})))", COUNT, "Customers",
        "Known customers whose first order of all is of these days",
    ),
    Standard(
        "Returning Customers", "fact_orders", "[Customers] - [New Customers]", COUNT, "Customers",
        "Known customers with an order who had ordered before these days",
    ),
    Standard(
        "Customers Last Month", "fact_orders", f"COUNTROWS({_BEFORE})", COUNT, "Customers",
        "Known customers with an order in the same days one month before",
    ),
    Standard(
        "Retained Customers", "fact_orders", f"COUNTROWS(INTERSECT({_BEFORE}, {_CUSTOMERS}))", COUNT, "Customers",
        "Those of them who ordered in these days too",
    ),
    Standard(
        "Retention %", "fact_orders",
        "DIVIDE(SUMX(VALUES({dim_date.month}), [Retained Customers]), SUMX(VALUES({dim_date.month}), [Customers Last Month]))",
        SHARE, "Customers",
        "Share of the customers of the same days one month before who ordered again; over several months their average by customers",
    ),
    Standard(
        "Retention %", "fact_orders", "DIVIDE([Retained Customers], [Customers Last Month])", SHARE, "Customers",
        "Share of the customers of the same days one month before who ordered again",
    ),
    Standard(
        "Cohort Retention %", "mart_monthly_retention",
        "DIVIDE(SUM({mart_monthly_retention.active_customers}), SUM({mart_monthly_retention.cohort_size}))", SHARE,
        "Customers", "Share of the customers who first ordered in a month who ordered again so many months later",
    ),
    Standard(
        "Revenue Last Month", "fact_orders", "CALCULATE([Revenue], DATEADD({day}, -1, MONTH))", MONEY, "Over time",
        "Revenue of the same days one month before",
    ),
    Standard(
        "Revenue Last Year", "fact_orders", "CALCULATE([Revenue], SAMEPERIODLASTYEAR({day}))", MONEY, "Over time",
        "Revenue of the same days one year before",
    ),
    Standard(
        "Revenue Growth %", "fact_orders", "DIVIDE([Revenue] - [Revenue Last Month], [Revenue Last Month])", SHARE,
        "Over time", "Growth of the revenue against the same days one month before",
    ),
    Standard(
        "Revenue Growth on Last Year %", "fact_orders",
        "DIVIDE([Revenue] - [Revenue Last Year], [Revenue Last Year])", SHARE, "Over time",
        "Growth of the revenue against the same days one year before",
    ),
    Standard(
        "Revenue Growth MTD %", "fact_orders",
        "VAR LastDay = MAX({fact_orders.order_date})\n"
        "RETURN CALCULATE([Revenue Growth %], DATESBETWEEN({day}, DATE(YEAR(LastDay), MONTH(LastDay), 1), LastDay))",
        SHARE, "Over time",
        "Month to date: the month of the last day with an order, up to that day, against the same days one month before",
    ),
    Standard(
        "Revenue Running Total", "fact_orders",
        "VAR LastDay = MAX({day})\n"
        "RETURN CALCULATE([Revenue], REMOVEFILTERS({dim_date}), {day} <= LastDay)", MONEY, "Over time",
        "Revenue of all days up to the last one",
    ),
    Standard(
        "Revenue Rolling 28 Days", "fact_orders",
        "CALCULATE([Revenue], DATESINPERIOD({day}, MAX({day}), -28, DAY))", MONEY, "Over time",
        "Revenue of the last 28 days",
    ),
    Standard(
        "Published At", "_feed", "MAX({_feed.published_at})", TIME, "Data trust",
        "When the version that is shown was published (UTC)",
    ),
    Standard(
        "Contracts", "_feed", "MAX({_feed.contract_status})", "", "Data trust",
        "kept, or withheld: a newer state failed its checks and was not published",
    ),
    Standard(
        "Checks Failed", "_freshness", _ONE_OR_ALL.format("checks_failed"), COUNT, "Data trust",
        "Checks that failed when they were last made: of the chosen table and all it is made of, else of the whole shop",
    ),
    Standard(
        "Rows Quarantined", "_freshness", _ONE_OR_ALL.format("rows_quarantined"), COUNT, "Data trust",
        "Rows that were set aside: on the way to the chosen table, else of the whole shop, each counted once",
    ),
    Standard(
        "Hours Since Publication", "_feed", "DATEDIFF([Published At], UTCNOW(), HOUR)", COUNT, "Data trust",
        "Hours since the version that is shown was published",
    ),
)  # fmt: skip
