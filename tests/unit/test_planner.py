"""The planner is pure: a situation gives the tasks, each with its reason; nothing is opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.landing.scan import FoundFile
from pipeline.planner import Situation, plan
from pipeline.project.graph import Graph
from pipeline.warehouse.ledger import TableState
from tests.conftest import Shop

FILE = FoundFile(Path("orders.csv"), "orders.csv", 1234, 0)


@pytest.fixture
def graph(shop: Shop) -> Graph:
    return shop.project().graph


def settled(graph: Graph) -> Situation:
    """Everything is built and published, and nothing waits."""
    prints = {name: graph.models[name].fingerprint if name in graph.models else "" for name in graph.order}
    return Situation(
        files={},
        states={name: TableState(name, version=1, fingerprint=prints[name]) for name in graph.order},
        inputs={"silver.orders": {"bronze.orders": 1}, "gold.totals": {"silver.orders": 1}},
        published={"gold.totals": 1},
    )


def reasons(graph: Graph, now: Situation) -> dict[str, str]:
    return {task.name: task.reason for task in plan(graph, now)}


def test_where_all_is_settled_there_is_nothing_to_do(graph: Graph) -> None:
    assert plan(graph, settled(graph)) == []


def test_a_new_file_is_taken_in_and_what_reads_it_is_built_in_order(graph: Graph) -> None:
    assert reasons(graph, replace(settled(graph), files={"orders": [FILE]})) == {
        "ingest bronze.orders": "1 new file, 1,234 bytes",
        "build silver.orders": "bronze.orders gets new rows",
        "build gold.totals": "silver.orders is built first",
        "publish gold": "1 of 1 gold tables are built",
    }


def test_an_empty_folder_asks_for_nothing(graph: Graph) -> None:
    assert plan(graph, Situation({}, {}, {}, None)) == []


def with_state(now: Situation, state: TableState) -> Situation:
    return replace(now, states={**now.states, state.name: state})


@pytest.mark.parametrize(
    ("fingerprint", "reason"), [("older", "its model has changed"), ("", "files below it were read again")]
)
def test_a_changed_model_is_built_and_what_stands_on_it(graph: Graph, fingerprint: str, reason: str) -> None:
    found = reasons(graph, with_state(settled(graph), TableState("silver.orders", 1, fingerprint)))
    assert (
        found["build silver.orders"] == reason and "build gold.totals" in found and "ingest bronze.orders" not in found
    )


def test_a_table_whose_input_went_on_without_it_is_built(graph: Graph) -> None:
    fingerprint = graph.models["silver.orders"].fingerprint
    found = reasons(graph, with_state(settled(graph), TableState("silver.orders", 2, fingerprint)))
    assert found["build gold.totals"] == "silver.orders has changed"


@pytest.mark.parametrize(
    ("published", "reason"),
    [(None, "nothing is published"), ({"gold.totals": 0}, "gold has changed since the last publication")],
)
def test_what_readers_do_not_have_is_published(graph: Graph, published: dict[str, int] | None, reason: str) -> None:
    assert reasons(graph, replace(settled(graph), published=published)) == {"publish gold": reason}


def test_only_what_is_selected_is_done(graph: Graph) -> None:
    found = reasons(graph, replace(settled(graph), files={"orders": [FILE]}, selected={"bronze.orders"}))
    assert list(found) == ["ingest bronze.orders"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stale=st.sets(st.sampled_from(["silver.orders", "gold.totals"])), files=st.booleans())
def test_law_a_plan_is_in_order_and_names_a_reason_for_each_task(graph: Graph, stale: set[str], files: bool) -> None:
    now = replace(settled(graph), files={"orders": [FILE]} if files else {})
    for name in stale:
        now = with_state(now, TableState(name, version=1, fingerprint="older"))
    tasks = plan(graph, now)
    places = [graph.order.index(task.table) if task.table in graph.order else len(graph.order) for task in tasks]
    assert places == sorted(places) and all(task.reason for task in tasks)
    assert bool(tasks) == bool(stale or files)
