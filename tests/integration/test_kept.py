"""What is read of the project's SQL is kept for the next process, which then need not have the parser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ProjectError
from pipeline.project import select
from tests.conftest import ROOT, SILVER_ORDERS, Shop
from tests.incremental.little import drop, little_shop

LOOK = "import sys\nfrom pipeline.cli import app\ntry: app(['--home', {home!r}, 'run', '--json'])\nfinally: print('parser' if 'sqlglot' in sys.modules else 'none')"


def process(shop: Shop) -> tuple[str, str]:
    """(status of a run in a process of its own, whether it imported the parser)."""
    code = LOOK.format(home=str(shop.home))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shop.folder, env={**os.environ, **shop.environ}, capture_output=True, text=True, check=False
    )
    text, _, parser = done.stdout.strip().rpartition("\n")
    return json.loads(text)["status"], parser


def test_only_the_process_that_reads_sql_anew_has_the_parser(tmp_path: Path) -> None:
    shop = little_shop(tmp_path)
    drop(shop, "orders", 1, ["o1,c1,open,2024-01-01,2024-01-01 00:00:00,"])
    drop(shop, "items", 1, ["o1,1,p1,5.00,2024-01-01 00:00:00,"])
    drop(shop, "customers", 1, ["c1,Rome,2024-01-01 00:00:00,"])
    assert process(shop) == ("succeeded", "parser")
    drop(shop, "orders", 2, ["o2,c1,open,2024-01-02,2024-01-02 00:00:00,"])
    assert process(shop) == ("succeeded", "parser")  # what changes touch is read the first time that it is asked
    drop(shop, "orders", 3, ["o3,c1,open,2024-01-03,2024-01-03 00:00:00,", "o1,c1,open,2024-01-01,2024-01-03 00:00:00,D"])
    drop(shop, "customers", 3, ["c1,Oslo,2024-01-03 00:00:00,"])
    assert process(shop)[0] == "succeeded"
    drop(shop, "orders", 4, ["o4,c1,open,2024-01-04,2024-01-04 00:00:00,"])
    assert process(shop) == ("succeeded", "none")
    assert process(shop) == ("nothing_to_do", "none")
    path = shop.folder / "sql/gold/days.sql"
    path.write_text(path.read_text().replace("count(*) AS orders", "count(*) + 0 AS orders"))
    assert process(shop) == ("succeeded", "parser")


def test_a_project_is_the_same_whether_it_was_kept_or_not(tmp_path: Path) -> None:
    shop = Shop(ROOT, tmp_path)
    first = shop.project()
    assert (tmp_path / "tmp/read/models.json").exists()
    again = shop.project()
    assert again.graph == first.graph and again.personal == first.personal and again.personal["gold.dim_customers"]


@pytest.mark.parametrize(("was", "becomes"), [(".*", ""), ("orders", "ordres"), ("$", " "), ("^.", "-"), ("\n.*", "")])
@pytest.mark.parametrize("name", ["models", "personal"])
def test_what_is_damaged_is_read_anew(shop: Shop, name: str, was: str, becomes: str) -> None:
    first = shop.project()
    path = shop.home / f"tmp/read/{name}.json"
    kept = path.read_text()
    damaged = re.sub(was, becomes, kept, count=1, flags=re.S)
    assert damaged != kept or (name, was) == ("personal", "orders")
    path.write_text(damaged)
    assert shop.project().graph == first.graph and path.read_text() == kept


def test_an_edit_is_seen_and_an_error_is_not_kept(shop: Shop) -> None:
    before = shop.project().graph.models["silver.orders"]
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("'shipped'", "'shipped', 'lost'"))
    after = shop.project().graph.models["silver.orders"]
    assert "'lost'" in after.said.rules[0] and after.fingerprint != before.fingerprint
    for _ in range(2):
        shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("status IN (", "status IN (("))
        with pytest.raises(ProjectError, match="the rule known_status cannot be read"):
            shop.project()
    shop.write("sql/silver/orders.sql", SILVER_ORDERS)
    assert shop.project().graph.models["silver.orders"] == before


def test_a_column_that_becomes_personal_is_seen_though_no_model_has_changed(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: x\nkey: [customer_id]\n--- */\nSELECT customer_id, count(*) AS n FROM silver.orders GROUP BY customer_id\n")
    shop.project()
    path = shop.folder / "sql/bronze/orders.yml"
    path.write_text(path.read_text().replace("customer_id: {type: varchar,", "customer_id: {type: varchar, pii: name,"))
    with pytest.raises(ProjectError, match="shows personal data"):
        shop.project()


def test_where_nothing_can_be_kept_it_is_read_each_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.home / "tmp").write_text("a file where the folder belongs")
    asked: list[str] = []
    read = select.read_select
    monkeypatch.setattr(select, "read_select", lambda *given: asked.append(given[0]) or read(*given))
    assert shop.project().graph == shop.project().graph and len(asked) == 4
