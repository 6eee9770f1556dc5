"""Laws of masks and of lineage: the token is HMAC, a mask shows first letters at most, lineage never misses what shows."""

from __future__ import annotations

import re

import duckdb
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from pipeline.project.masks import MASKS
from pipeline.project.uses import uses_of
from pipeline.warehouse.masks import install
from tests.conftest import SAME_KEY, token

ENGINE = duckdb.connect(config={"threads": 1})
install(ENGINE, bytes.fromhex(SAME_KEY))
ENGINE.execute("CREATE SCHEMA bronze; CREATE TABLE bronze.people (id INTEGER, name VARCHAR, email VARCHAR)")
ENGINE.execute("INSERT INTO bronze.people VALUES (1, 'plain', 'zqzqzq@zqzqzq.zqzqzq'), (2, 'other', NULL)")
COLUMNS = {"bronze.people": ["id", "name", "email"]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=30))
def test_tokens_are_hmac_and_masks_show_first_letters_at_most(texts: list[str]) -> None:
    ask = "SELECT pii_token(t), mask_name(t), mask_email(t), mask_phone(t), mask_text(t) FROM (SELECT unnest(?) AS t)"
    for text, shown in zip(texts, ENGINE.execute(ask, [texts]).fetchall(), strict=True):
        tokened, name, email, phone, anything = shown
        assert tokened == token(text) and anything == "***"
        assert all(len(word) == 4 and word.endswith("***") for word in re.split(r"[ \t\n\f\r]+", name) if word)
        assert len(email.replace("***", "").partition(".")[0]) <= 3 and len(email) <= 22
        assert phone == "***" or (phone[:3] == "***" and phone[3:].isdigit() and len(phone) == 5)


def test_every_mask_that_lineage_knows_is_one_that_the_engine_has() -> None:
    held = ENGINE.execute("SELECT function_name FROM duckdb_functions() WHERE database_name = 'temp'").fetchall()
    assert {name for (name,) in held} == set(MASKS)


# ---------------------------------------------------------------- lineage against the engine
LEAVES = ["{a}.email", "{a}.name", "{a}.id", "'x'", "NULL"]
SHAPES = [
    "lower({0})", "({0} || {1})", "concat({0}, {1})", "coalesce({0}, {1})", "CASE WHEN {0} IS NULL THEN {1} ELSE {2} END",
    "CASE {0} WHEN {1} THEN {2} ELSE {1} END", "nullif({0}, {1})", "mask_text({0})", "pii_token({0})", "CAST({0} AS VARCHAR)",
    "list_value({0}, {1})[1]", "struct_pack(k := {0}).k", "replace({0}, 'a', {1})", "max({0}) OVER ()", "lag({0}) OVER (ORDER BY {1})",
    "count({0}) OVER ()", "({0} = {1})", "(SELECT max(s.email) FROM bronze.people AS s WHERE s.name = {0})", "(SELECT {0})",
    "first_value({0}) OVER (ORDER BY {1})", "to_json({a})", "array_to_string([{0}, {1}], '-')", "if({0} IS NULL, {1}, {2})",
]
FROMS = [
    "SELECT {x} AS x, {a}.name AS name, {a}.email AS email, {a}.id AS id FROM {t} AS {a}",
    "SELECT {x} AS x, {a}.* FROM (SELECT * FROM {t}) AS {a}",
    "WITH c AS (SELECT * FROM {t}) SELECT {x} AS x, {a}.name, {a}.email, {a}.id FROM c AS {a}",
    "SELECT {x} AS x, 'n' AS name, {a}.email AS email, 1 AS id FROM {t} AS {a} UNION ALL SELECT 'y', {a}.email, 'm', 2 FROM {t} AS {a}",
    "SELECT {x} AS x, b.name, b.email, b.id FROM {t} AS b JOIN {t} AS {a} ON {a}.id = b.id",
    "SELECT max({g}) AS x, min({a}.name) AS name, any_value({a}.email) AS email, 1 AS id FROM {t} AS {a} GROUP BY {a}.id",
    "SELECT {x} AS x, {a}.name AS email, {a}.email AS name, {a}.id AS id FROM {t} AS {a}",
]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return f"CAST({draw(st.sampled_from(LEAVES))} AS VARCHAR)"
    shape = draw(st.sampled_from(SHAPES)).replace("{a}", "{{a}}")
    parts = [f"CAST({draw(expressions(depth - 1))} AS VARCHAR)" for _ in range(3)]
    return shape.format(*parts).replace("{{a}}", "{a}")


@st.composite
def queries(draw: st.DrawFn) -> str:
    table = "bronze.people"
    for number in range(draw(st.integers(1, 3))):
        alias, form = f"p{number}", draw(st.sampled_from(FROMS))
        x = draw(expressions()).replace("{a}", alias)
        plain = f"CAST({draw(st.sampled_from(LEAVES))} AS VARCHAR)".replace("{a}", alias)
        query = form.replace("{x}", x).replace("{g}", plain).replace("{a}", alias).replace("{t}", table)
        table = f"({query})"
    return query


@settings(max_examples=150, deadline=None)
@given(queries())
def test_what_shows_of_a_value_in_a_column_is_never_missed_by_its_lineage(sql: str) -> None:
    query = sqlglot.parse_one(sql, read="duckdb")
    assert isinstance(query, exp.Query)
    try:
        found = ENGINE.execute(query.sql("duckdb"))
        names, rows = [column[0] for column in found.description or []], found.fetchall()
    except duckdb.Error:
        return  # types that do not fit, or a name twice
    if len(set(names)) < len(names):
        return
    lineage = uses_of(query, COLUMNS).columns
    for place, name in enumerate(names):
        if any("zqzqzq" in str(row[place]) for row in rows):
            assert lineage[name].get(("bronze.people", "email")) in ("copy", "transform"), (name, sql)
