"""A shop small enough to check by hand, with every kind of table and every shape of SQL that can be narrowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.runner import open_warehouse
from tests.conftest import Shop

SOURCES = {
    "orders": ("order_id, customer_id, status, day, changed, op", "order_id"),
    "items": ("order_id, line, product_id, amount, changed, op", "order_id, line"),
    "customers": ("customer_id, city, changed, op", "customer_id"),
}
TYPES = {"line": "integer", "amount": '"decimal(18,2)"', "day": "date", "changed": "timestamp"}

MODELS = {
    "silver/orders": (
        "kind: upsert\nkey: [order_id]\nrules:\n  known: status IN ('open', 'paid', 'lost')",
        "SELECT order_id, customer_id, status, day, changed FROM bronze.orders",
    ),
    "silver/items": (
        "kind: upsert\nkey: [order_id, line]\nrules:\n  positive: amount > 0",
        "SELECT order_id, line, product_id, amount, changed FROM bronze.items",
    ),
    "silver/customer_versions": ("kind: append", "SELECT customer_id, city, changed FROM bronze.customers"),
    "silver/customers": (
        "kind: upsert\nkey: [customer_id]",
        "SELECT customer_id, city, changed FROM silver.customer_versions",
    ),
    "silver/first_days": (
        "kind: incremental\nkey: [customer_id]",
        "SELECT customer_id, min(day) AS first_day FROM silver.orders WHERE customer_id IS NOT NULL GROUP BY customer_id",
    ),
    "gold/dim_customers": (
        "kind: scd2\nkey: [customer_id]\nvalid_from: valid_from\nsurrogate_key: customer_key",
        "SELECT customer_id, city, changed AS valid_from FROM silver.customer_versions",
    ),
    "gold/fact_items": (
        "kind: incremental\nkey: [order_id, line]",
        "SELECT i.order_id, i.line, o.day, coalesce(c.customer_key, -1) AS customer_key, i.product_id, i.amount "
        "FROM silver.items AS i JOIN silver.orders AS o ON o.order_id = i.order_id "
        "LEFT JOIN gold.dim_customers AS c ON c.customer_id = o.customer_id AND o.day >= c.valid_from AND o.day < c.valid_to",
    ),
    "gold/fact_orders": (
        "kind: incremental\nkey: [order_id]",
        "WITH sums AS (SELECT order_id, count(*) AS items, CAST(sum(amount) AS DECIMAL(18, 2)) AS amount FROM gold.fact_items GROUP BY order_id) "
        "SELECT o.order_id, o.customer_id, o.status, o.day, coalesce(s.items, 0) AS items, coalesce(s.amount, 0) AS amount "
        "FROM silver.orders AS o LEFT JOIN sums AS s ON s.order_id = o.order_id",
    ),
    "gold/days": (
        "kind: incremental\nkey: [day]",
        "WITH sold AS (SELECT x.day, count(*) AS orders, CAST(sum(x.amount) AS DECIMAL(18, 2)) AS amount, "
        "count(DISTINCT o.customer_id) FILTER (WHERE f.first_day = x.day) AS new_customers "
        "FROM gold.fact_orders AS x JOIN silver.orders AS o ON o.order_id = x.order_id "
        "LEFT JOIN silver.first_days AS f ON f.customer_id = o.customer_id GROUP BY x.day), "
        "lost AS (SELECT day, count(*) AS lost FROM silver.orders WHERE status = 'lost' GROUP BY day) "
        "SELECT coalesce(s.day, l.day) AS day, coalesce(s.orders, 0) AS orders, coalesce(s.amount, 0) AS amount, "
        "coalesce(s.new_customers, 0) AS new_customers, coalesce(l.lost, 0) AS lost FROM sold AS s FULL JOIN lost AS l ON l.day = s.day",
    ),
    "gold/products": (
        "kind: incremental\nkey: [product_id, month]",
        "SELECT i.product_id, date_trunc('month', i.day) AS month, count(DISTINCT i.order_id) AS orders, CAST(sum(i.amount) AS DECIMAL(18, 2)) AS amount "
        "FROM gold.fact_items AS i JOIN gold.fact_orders AS o ON o.order_id = i.order_id AND o.day = i.day "
        "WHERE o.status <> 'lost' AND i.product_id IS NOT NULL GROUP BY i.product_id, date_trunc('month', i.day)",
    ),
    "gold/months": (  # two tables of one day, and a range that says only what is so anyway
        "kind: incremental\nkey: [month, customer_id]",
        "SELECT o.customer_id, f.first_day, date_trunc('month', x.day) AS month, count(*) AS orders FROM silver.orders AS o "
        "JOIN silver.first_days AS f ON f.customer_id = o.customer_id AND o.day >= f.first_day "
        "JOIN gold.fact_orders AS x ON x.order_id = o.order_id AND x.day = o.day "
        "GROUP BY o.customer_id, f.first_day, date_trunc('month', x.day)",
    ),
    "gold/buyers": (  # the unknown customer's lines change too, and are nobody's
        "kind: incremental\nkey: [customer_id]",
        "SELECT c.customer_id, count(*) AS items, max(i.day) AS last_day FROM gold.fact_items AS i "
        "JOIN gold.dim_customers AS c ON c.customer_key = i.customer_key WHERE c.customer_id IS NOT NULL GROUP BY c.customer_id",
    ),
    "gold/cities": (
        "kind: incremental\nkey: [city]\nsurrogate_key: city_key",
        "SELECT coalesce(c.city, 'nowhere') AS city, count(*) AS items, CAST(sum(i.amount) AS DECIMAL(18, 2)) AS amount "
        "FROM gold.fact_items AS i JOIN gold.dim_customers AS c ON c.customer_key = i.customer_key GROUP BY coalesce(c.city, 'nowhere')",
    ),
    "gold/pairs": (  # a key of columns of two tables, which may both change at once
        "kind: incremental\nkey: [product_id, city]",
        "SELECT coalesce(i.product_id, '-') AS product_id, coalesce(c.city, '-') AS city, count(*) AS items FROM silver.items AS i "
        "JOIN silver.orders AS o ON o.order_id = i.order_id JOIN silver.customers AS c ON c.customer_id = o.customer_id "
        "GROUP BY coalesce(i.product_id, '-'), coalesce(c.city, '-')",
    ),
    "gold/last_orders": (
        "kind: incremental\nkey: [customer_id]",
        "SELECT customer_id, order_id, day FROM silver.orders WHERE customer_id IS NOT NULL "
        "QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY day DESC, order_id DESC) = 1",
    ),
    "gold/people": (
        "kind: incremental\nkey: [customer_id, what]",
        "SELECT customer_id, 'order' AS what, count(*) AS many FROM silver.orders WHERE customer_id IS NOT NULL GROUP BY customer_id "
        "UNION ALL SELECT c.customer_id, 'name' AS what, 1 AS many FROM silver.customers AS c "
        "ANTI JOIN silver.orders AS o ON o.customer_id = c.customer_id",
    ),
    "gold/shares": (  # every row depends on all: it cannot be narrowed, and is rebuilt
        "kind: incremental\nkey: [day]",
        "SELECT d.day, CAST(d.amount / nullif((SELECT sum(amount) FROM gold.fact_orders), 0) AS DECIMAL(9, 4)) AS share FROM gold.days AS d",
    ),
    "gold/scores": (  # which half of the buyers a value is in, for two measures
        "key: [measure, value]",
        "SELECT measure, value, CAST((2 * sum(buyers) OVER (PARTITION BY measure ORDER BY value) + n - 1) // n AS INTEGER) AS score "
        "FROM (SELECT *, sum(buyers) OVER (PARTITION BY measure) AS n FROM ("
        "SELECT 'often' AS measure, items // 2 AS value, count(*) AS buyers FROM gold.buyers GROUP BY ALL UNION ALL "
        "SELECT 'late', CAST(last_day - DATE '2024-01-01' AS BIGINT), count(*) FROM gold.buyers GROUP BY ALL) AS counted) AS known",
    ),
    "gold/rated": (  # a Polars function over joins by expressions; one table, joined twice under two conditions
        "kind: incremental\nkey: [customer_id]\nselect: |\n"
        "  SELECT b.customer_id, b.items, o.score AS often, l.score AS late FROM gold.buyers AS b\n"
        "  LEFT JOIN gold.scores AS o ON o.measure = 'often' AND o.value = b.items // 2\n"
        "  LEFT JOIN gold.scores AS l ON l.measure = 'late' AND l.value = CAST(b.last_day - DATE '2024-01-01' AS BIGINT)",
        "import polars as pl\ndef model(rated):\n    return rated.with_columns((pl.col('often') + pl.col('late')).alias('both'))\n",
    ),
    "gold/summary": ("key: [status]", "SELECT status, count(*) AS orders FROM gold.fact_orders GROUP BY status"),
}
OTHER_SQL = {  # the same tables said otherwise: a changed model
    "gold/fact_orders": MODELS["gold/fact_orders"][1].replace("o.status, o.day", "upper(o.status) AS status, o.day"),
    "gold/products": MODELS["gold/products"][1].replace("<> 'lost'", "<> 'LOST'"),
}


def little_shop(folder: Path, home: Path | None = None) -> Shop:
    """Write the shop's sources and models into a folder."""
    shop = Shop(folder, home)
    shop.write("goldfeed.yml", "name: little\nsettings:\n  keep_versions: 2\n  parts_above: 2\n  part_rows: 1\n")
    for name, (columns, key) in SOURCES.items():
        spec = "".join(f"  {c}: {{type: {TYPES.get(c, 'varchar')}}}\n" for c in columns.split(", "))
        shop.write(
            f"sql/bronze/{name}.yml",
            f"files: '{name}_*.csv'\nkey: [{key}]\nlatest_by: [changed]\noperation: {{column: op, delete: [D, d]}}\ncolumns:\n{spec}",
        )
    for name in MODELS:
        write_model(shop, name, MODELS[name][1])
    return shop


def write_model(shop: Shop, name: str, sql: str) -> None:
    if sql.startswith("import"):
        shop.write(f"sql/{name}.py", f'"""x\n---\ndescription: x\n{MODELS[name][0]}\n---\n"""\n{sql}')
        return
    shop.write(f"sql/{name}.sql", f"/* ---\ndescription: x\n{MODELS[name][0]}\n--- */\n{sql}\n")


def drop(shop: Shop, source: str, number: int, rows: list[str]) -> None:
    """One file of a source."""
    header = SOURCES[source][0].replace(" ", "")
    shop.drop(f"{source}_{number:04d}.csv", "\n".join([header, *rows]) + "\n")


def content(shop: Shop) -> dict[str, Any]:
    """Every silver and gold table, row by row, lineage and surrogate keys included."""
    database = open_warehouse(shop.project(), Clock())
    try:
        tables = {name: database.rows(f"SELECT * FROM {name.replace('/', '.')} ORDER BY ALL") for name in MODELS}
        tables["quarantine"] = database.rows("SELECT source, file_id, line, reason, raw FROM ledger.quarantine ORDER BY ALL")
    finally:
        database.close()
    return tables
