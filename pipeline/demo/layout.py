"""The tables of the shop: their columns and what may happen to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """One kind of daily file; all but the first two fields are column positions.

    Args:
        texts: columns that may carry surrounding blanks.
        cased: columns that may come in another case.
        whole: columns that hold whole numbers.
        choices: columns that allow only listed words.
        positive: columns that may not be negative.
        optional: columns that may be empty.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[int, ...]
    times: tuple[int, ...]
    texts: tuple[int, ...]
    cased: tuple[int, ...] = ()
    decimals: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()
    choices: tuple[int, ...] = ()
    positive: tuple[int, ...] = ()
    optional: tuple[int, ...] = ()


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


TABLES = (
    Table(
        "customers",
        _columns("customer_id,first_name,last_name,email,city,country,segment,signed_up_at,updated_at"),
        keys=(0,),
        times=(7, 8),
        texts=(0, 1, 2, 3, 4, 5, 6),
        cased=(3, 5),
        optional=(4, 6),
    ),
    Table(
        "products",
        _columns("product_id,name,category,price,updated_at"),
        keys=(0,),
        times=(4,),
        texts=(0, 1, 2),
        decimals=(3,),
    ),
    Table(
        "orders",
        _columns("order_id,customer_id,status,ordered_at,updated_at"),
        keys=(0,),
        times=(3, 4),
        texts=(0, 1, 2),
        cased=(2,),
        choices=(2,),
    ),
    Table(
        "order_items",
        _columns("order_id,line_number,product_id,quantity,unit_price,freight_amount,updated_at"),
        keys=(0, 1),
        times=(6,),
        texts=(0, 2),
        decimals=(4, 5),
        whole=(1, 3),
        positive=(3, 4, 5),
    ),
    Table(
        "payments",
        _columns("order_id,payment_number,payment_type,amount,paid_at,updated_at"),
        keys=(0, 1),
        times=(4, 5),
        texts=(0, 2),
        cased=(2,),
        decimals=(3,),
        whole=(1,),
        choices=(2,),
    ),
)
CUSTOMERS, PRODUCTS, ORDERS, ITEMS, PAYMENTS = range(len(TABLES))
STATUSES = ("created", "paid", "shipped", "delivered", "canceled")
CREATED, PAID, SHIPPED, DELIVERED, CANCELED = range(len(STATUSES))
EMPLOYEE_HEADER = "Name,Team,Position,Height(inches),Weight(lbs),Age"
