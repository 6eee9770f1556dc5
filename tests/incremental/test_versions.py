"""scd2 from day to day: versions are made from the first new start on, and are those of a full rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ProjectError
from pipeline.runner import Order
from tests.conftest import Shop, tiny

PERSON = "files: 'people*.csv'\nkey: [person, city, since]\noperation: {{column: op, delete: [D]}}\ncolumns:\n  person: {{}}\n  city: {{}}\n  since: {{type: {}}}\n  op: {{}}\n"
LOG = "/* ---\ndescription: x\nkind: {}\n--- */\nSELECT person, city, since FROM bronze.people\n"
DIM = (
    "/* ---\ndescription: x\nkind: scd2\nkey: [person]\nvalid_from: valid_from\nsurrogate_key: person_key\n"
    "rules:\n  a_city: city IS DISTINCT FROM 'nowhere'\n--- */\nSELECT person, city, since AS valid_from FROM {}\n"
)
APPEND, UPSERT = "append", "upsert\nkey: [person]\nlatest_by: [since]"
rows = st.tuples(st.sampled_from("abc"), st.sampled_from(["Rome", "Bonn", "", "nowhere"]), st.integers(1, 9), st.sampled_from(["", "", "D"]))
days = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=2, max_size=4)


def people(folder: Path, since: str = "timestamp", log: str = APPEND, above: str = "silver.log") -> Shop:
    shop = tiny(folder)
    shop.write("sql/bronze/people.yml", PERSON.format(since))
    shop.write("sql/silver/log.sql", LOG.format(log))
    shop.write("sql/gold/dim_people.sql", DIM.format(above))
    return shop


def day(shop: Shop, number: int, told: list[tuple[Any, ...]]) -> None:
    """One day's file, taken in: (person, city, the day of January it began, D if the person is gone)."""
    lines = (f"{person},{city},2024-01-{began:02}" + f",{op[0] if op else ''}" for person, city, began, *op in told)
    shop.drop(f"people_{number}.csv", "person,city,since,op\n" + "\n".join(lines) + "\n")
    assert shop.run().status == "succeeded"


def versions(shop: Shop) -> list[tuple[Any, ...]]:
    """Every version but that of the unknown person, with its surrogate key."""
    return shop.warehouse("SELECT * FROM gold.dim_people WHERE person_key > 0 ORDER BY ALL")


def cities(shop: Shop, person: str) -> list[tuple[str, int, bool]]:
    """(city, the day it began, whether it is so today)"""
    return shop.warehouse(
        f"SELECT city, day(valid_from), is_current FROM gold.dim_people WHERE person = '{person}' ORDER BY valid_from"
    )


@settings(max_examples=25, deadline=None)
@given(days=days, since=st.sampled_from(["timestamp", "date", "varchar"]), above=st.sampled_from(["silver.log", "bronze.people"]))
def test_versions_from_day_to_day_are_those_of_a_full_rebuild(
    tmp_path_factory: pytest.TempPathFactory, days: list[Any], since: str, above: str
) -> None:
    shop = people(tmp_path_factory.mktemp("shop"), since, above=above)
    for number, told in enumerate(days):
        day(shop, number, told)
    before = versions(shop)
    shop.run(Order(full_refresh=True))
    assert versions(shop) == before


@pytest.mark.parametrize("model", ["gold.dim_people", "gold.last", "gold.all"])
def test_rows_are_not_taken_one_by_one_from_a_table_that_forgets_older_ones(tmp_path: Path, model: str) -> None:
    shop = people(tmp_path / "shop", log=UPSERT)
    if model != "gold.dim_people":
        (shop.folder / "sql/gold/dim_people.sql").unlink()
        kind = UPSERT if model == "gold.last" else APPEND
        shop.write(f"sql/{model.replace('.', '/')}.sql", LOG.format(kind).replace("bronze.people", "silver.log"))
    with pytest.raises(ProjectError) as refused:
        shop.project()
    assert "takes rows one by one, but silver.log of kind upsert does not keep its rows" in refused.value.what
    assert refused.value.what.startswith(model) and refused.value.where.endswith(f"{model.partition('.')[2]}.sql:{line_of_from(shop, model)}")


def line_of_from(shop: Shop, model: str) -> int:
    text = (shop.folder / f"sql/{model.replace('.', '/')}.sql").read_text()
    return text[: text.index("FROM silver.log")].count("\n") + 1


def test_rows_are_taken_one_by_one_from_a_view_that_shows_them_all(tmp_path: Path) -> None:
    shop = people(tmp_path / "shop", log="view")
    shop.write("sql/silver/log.sql", "/* ---\ndescription: x\nkind: view\n--- */\nSELECT * FROM bronze.people\n")
    day(shop, 1, [("a", "Rome", 1), ("b", "Rome", 2)])
    day(shop, 2, [("a", "Bonn", 5)])
    before = versions(shop)
    assert cities(shop, "a") == [("Rome", 1, False), ("Bonn", 5, True)]
    shop.run(Order(full_refresh=True))
    assert versions(shop) == before


def test_a_day_does_not_read_what_ended_before_it(tmp_path: Path) -> None:
    shop = people(tmp_path / "shop")
    day(shop, 1, [("a", "Rome", 1), ("a", "Bonn", 3), ("b", "Rome", 2)])
    shop.warehouse("UPDATE silver.log SET city = 'unread'")
    day(shop, 2, [("a", "Oslo", 5), ("b", "Rome", 5)])
    assert cities(shop, "a") == [("Rome", 1, False), ("Bonn", 3, False), ("Oslo", 5, True)]
    assert cities(shop, "b") == [("Rome", 2, True)]


def test_a_late_row_lands_among_those_that_changed_nothing(tmp_path: Path) -> None:
    shop = people(tmp_path / "shop")
    day(shop, 1, [("a", "Rome", 1), ("a", "Rome", 5), ("a", "Bonn", 8)])
    assert cities(shop, "a") == [("Rome", 1, False), ("Bonn", 8, True)]
    day(shop, 2, [("a", "Oslo", 3)])
    assert cities(shop, "a") == [("Rome", 1, False), ("Oslo", 3, False), ("Rome", 5, False), ("Bonn", 8, True)]


@pytest.mark.parametrize("began", [3, 5])
def test_a_person_who_was_gone_comes_back_with_a_version_that_begins_then(tmp_path: Path, began: int) -> None:
    shop = people(tmp_path / "shop")
    day(shop, 1, [("a", "Rome", 1), ("a", "Rome", 3, "D")])
    day(shop, 2, [("a", "Rome", began)])
    came = [("Rome", 1, False), ("Rome", began, True)] if began > 3 else [("Rome", 1, True)]
    assert cities(shop, "a") == came


def test_a_later_delivery_of_a_version_replaces_it(tmp_path: Path) -> None:
    shop = people(tmp_path / "shop")
    day(shop, 1, [("a", "Rome", 1), ("a", "Rome", 3)])
    day(shop, 2, [("a", "Bonn", 1)])
    assert cities(shop, "a") == [("Bonn", 1, False), ("Rome", 3, True)]
