"""Rows that change far apart move to the table's end: all else of their groups stays packed as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runner import Order
from pipeline.steps.kinds import rows as kind
from pipeline.warehouse.connections import GROUP_ROWS
from tests.conftest import Shop, tiny

PEOPLE = "files: 'people*.csv'\nkey: [person]\nlatest_by: [since]\ncolumns:\n  person: {type: integer}\n  city: {}\n  since: {type: integer}\n"
SILVER = "/* ---\ndescription: x\nkind: upsert\nkey: [person]\n--- */\nSELECT person, city, since FROM bronze.people\n"
GROUPS = kind._NEAR + 1
told = st.tuples(st.integers(1, 9), st.sampled_from(["Rome", "Bonn", ""]), st.integers(1, 5))


def shop_of(folder: Path) -> Shop:
    shop = tiny(folder)
    shop.write("sql/bronze/people.yml", PEOPLE)
    shop.write("sql/silver/people.sql", SILVER)
    return shop


def day(shop: Shop, number: int, people: list[tuple[int, str, int]]) -> None:
    lines = (f"{person},{city},{since}\n" for person, city, since in people)
    shop.drop(f"people_{number}.csv", "person,city,since\n" + "".join(lines))
    assert shop.run().status == "succeeded"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """People in more groups of rows than count as near."""
    shop = shop_of(tmp_path_factory.mktemp("shop"))
    day(shop, 1, [(person, "Rome", 1) for person in range(GROUPS * GROUP_ROWS)])
    return shop


def places(shop: Shop, condition: str) -> tuple[int, int]:
    """(rows, how many of them lie behind those of the first day)"""
    held = GROUPS * GROUP_ROWS
    return shop.warehouse(f"SELECT count(*), count(*) FILTER (rowid >= {held}) FROM silver.people WHERE {condition}")[0]


def test_a_table_lies_in_groups_of_half_the_engines_size(many: Shop) -> None:
    groups = "SELECT count(DISTINCT row_group_id), max(count) FROM pragma_storage_info('silver.people')"
    assert many.warehouse(groups) == [(GROUPS, GROUP_ROWS)]


def test_rows_that_change_side_by_side_stay_in_their_place(many: Shop) -> None:
    day(many, 2, [(person, "Bonn", 2) for person in range(100, 120)])
    assert places(many, "city = 'Bonn'") == (20, 0)


def test_rows_that_change_far_apart_move_to_the_end_and_nothing_else_is_changed(many: Shop) -> None:
    day(many, 3, [(group * GROUP_ROWS + 7, "Oslo", 3) for group in range(GROUPS)] + [(7, "late", 0), (-1, "new", 1)])
    assert places(many, "city = 'Oslo'") == (GROUPS, GROUPS)
    assert places(many, "city = 'new'") == (1, 1) and places(many, "city = 'late'") == (0, 0)
    before = many.warehouse("SELECT person, city, since FROM silver.people ORDER BY person")
    assert len(before) == GROUPS * GROUP_ROWS + 1
    many.run(Order(full_refresh=True))
    assert many.warehouse("SELECT person, city, since FROM silver.people ORDER BY person") == before


@settings(max_examples=15, deadline=None)
@given(days=st.lists(st.lists(told, min_size=1, max_size=6), min_size=2, max_size=4))
def test_a_table_whose_rows_move_from_day_to_day_is_that_of_a_full_rebuild(tmp_path_factory: pytest.TempPathFactory, days: Any) -> None:
    shop = shop_of(tmp_path_factory.mktemp("shop"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kind, "_NEAR", 0)
        patched.setattr(kind, "_FEW", 2)
        for number, people in enumerate(days):
            day(shop, number, people)
    before = shop.warehouse("SELECT * FROM silver.people ORDER BY person")
    shop.run(Order(full_refresh=True))
    assert shop.warehouse("SELECT * FROM silver.people ORDER BY person") == before
