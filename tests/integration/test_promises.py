"""What is promised of tables: SLAs, freshness, deadlines; judged by the clock, also when no run ever starts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.log import logger
from pipeline.notify import Notifier
from pipeline.outbox import Message, Outbox
from pipeline.project.channel import ChannelFile
from pipeline.project.promise import Deadline, last_due
from pipeline.results import RunResult, TaskResult
from pipeline.service import Service
from tests.conftest import Shop
from tests.integration.test_notify import Receiver, receiver, until
from tests.integration.test_service import MADE, SLOW, Hands, by_hand, free_port, run_with, silence

__all__ = ["receiver", "silence"]
HEAD = "name: tiny\nnotify:\n  team: {url_env: TEAM_URL}\nflows:\n  tiny:\n    schedule: '0 2 * * *'\n    retries: 0\n"
WITH_DAYS = "/* ---\ndescription: x\nkey: [day]\n--- */\nSELECT CAST(updated_at AS DATE) AS day, count(*) AS n FROM silver.orders GROUP BY 1\n"


def settled(shop: Shop, extra: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Hands, Service]:
    """A service by hand at noon of day 1 whose flow has run once; its messages stay in the outbox."""
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{free_port()}/hook")
    shop.write("goldfeed.yml", HEAD + extra)
    shop.write("sql/gold/days.sql", WITH_DAYS)
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    service.run(service.project.flows["tiny"], "test")
    return hands, service


def word(shop: Shop) -> list[tuple[str, str]]:
    """(event, body) of the messages that wait."""
    found = [json.loads(path.read_text()) for path in sorted((shop.home / "outbox").glob("*.json"))]
    return [(message["event"], message["body"]) for message in found]


def misses(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.warehouse(
        "SELECT kind, table_name, strftime(due_at, '%d %H:%M'), kept_at IS NOT NULL, told FROM ledger.misses ORDER BY due_at, kind, table_name"
    )


def test_a_table_that_grows_old_is_told_once_and_so_is_that_it_is_fresh_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    hands, service = settled(shop, "    tables: {gold.days: {freshness: 3d}}\n    catch_up: skip\n", monkeypatch)
    for hour in range(1, 30):
        hands.time = datetime(2024, 1, 1, 12, 30) + timedelta(hours=hour)
        service.turn(hands.time)
    assert misses(shop) == [("freshness", "gold.totals", "02 12:00", False, True)]
    assert word(shop) == [
        ("freshness", "gold.totals is as of 2024-01-01 12:00 UTC, older than 24 h.\nReaders see version 000001.\nSee whether files have come into landing/, and goldfeed history.")
    ]
    shop.drop_orders("orders_2.csv", "2,c,paid,1.00,2024-01-03")
    hands.time = datetime(2024, 1, 3, 2, 0, 1)
    service.turn(hands.time)
    assert misses(shop) == [("freshness", "gold.totals", "02 12:00", True, True)]
    assert [event for event, _ in word(shop)] == ["freshness", "recovered"]
    assert "gold.totals is fresh again." in word(shop)[1][1] and "gold.days" not in word(shop)[1][1]


def test_it_is_judged_when_no_run_ever_started_and_after_a_restart(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{free_port()}/hook")
    shop.write("goldfeed.yml", HEAD.replace("0 2 * * *", "0 2 1 * *") + "    tables: {gold.totals: {deadline: through yesterday by 07:00}}\n")
    hands = Hands()
    by_hand(shop, hands).begin()
    for day in (2, 3):
        hands.time = datetime(2024, 1, day, 12, 2)
        service = by_hand(shop, hands)
        service.begin()
        service.turn(hands.time)
    assert misses(shop) == [
        ("deadline", "gold.totals", "02 07:00", False, True),
        ("freshness", "gold.totals", "02 12:00", False, True),
        ("deadline", "gold.totals", "03 07:00", False, True),
    ]
    assert [event for event, _ in word(shop)] == ["freshness", "deadline", "deadline"]
    assert "gold.totals is not through yesterday by 07:00 UTC.\nNothing is published yet." in word(shop)[1][1]


def test_the_deadline_is_by_the_column_where_it_names_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = "    freshness: null\n    tables: {gold.days: {deadline: {through: yesterday, by: 07:00, column: day}}, gold.totals: {deadline: yesterday by 07:00}}\n"
    hands, service = settled(shop, extra, monkeypatch)
    shop.drop_orders("orders_2.csv", "2,c,paid,1.00,2024-01-01")
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    service.turn(hands.time)
    hands.time = datetime(2024, 1, 2, 7, 0, 1)
    service.turn(hands.time)
    assert misses(shop) == []  # new data came after the first of January, and the newest day is the first
    shop.drop_orders("orders_3.csv", "3,c,paid,1.00,2023-12-31")
    hands.time = datetime(2024, 1, 3, 2, 0, 1)
    service.turn(hands.time)
    hands.time = datetime(2024, 1, 3, 7, 0, 1)
    service.turn(hands.time)
    assert misses(shop) == [("deadline", "gold.days", "03 07:00", False, True)]
    shop.drop_orders("orders_4.csv", "4,c,paid,1.00,2024-01-02")
    service.run(service.project.flows["tiny"], "test")
    service.turn(hands.time)
    assert misses(shop) == [("deadline", "gold.days", "03 07:00", True, True)]
    assert word(shop)[-1][1].startswith("gold.days is there now, after its deadline.")


@pytest.mark.parametrize(
    ("now", "zone", "at", "counts", "day"),
    [
        ("2024-03-31 04:59", "Europe/Berlin", "2024-03-30 06:00", "2024-03-29 23:00", 29),
        ("2024-03-31 05:00", "Europe/Berlin", "2024-03-31 05:00", "2024-03-30 23:00", 30),
        ("2024-10-27 06:00", "Europe/Berlin", "2024-10-27 06:00", "2024-10-26 22:00", 26),
        ("2024-01-02 06:59", "UTC", "2024-01-01 07:00", "2024-01-01 00:00", 31),
        ("2024-01-02 07:00", "UTC", "2024-01-02 07:00", "2024-01-02 00:00", 1),
        ("2024-01-01 20:00", "Australia/Lord_Howe", "2024-01-01 20:00", "2024-01-01 13:00", 1),
    ],
)
def test_t1_a_deadline_is_of_the_wall_clock_in_its_zone(now: str, zone: str, at: str, counts: str, day: int) -> None:
    due = last_due(Deadline(through="yesterday", by="07:00"), zone, datetime.fromisoformat(now))
    assert (due.at, due.counts, due.day.day) == (datetime.fromisoformat(at), datetime.fromisoformat(counts), day)
    assert timedelta(hours=22) < due.next - due.at < timedelta(hours=26)


def test_deadlines_are_written_as_a_sentence_or_with_keys() -> None:
    long = Deadline.model_validate({"through": "3 days ago", "by": 1020, "time_zone": "Europe/Berlin"})
    assert long == Deadline.model_validate("through 3 days ago by 17:00 Europe/Berlin") and long.days_back == 3
    due = last_due(Deadline.model_validate("today by 23:00"), "UTC", datetime(2024, 1, 2, 23))
    assert due.counts == datetime(2024, 1, 2) and due.day.day == 2


def test_a_flow_that_has_failed_is_not_told_twice(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    hands, service = settled(shop, "", monkeypatch)
    shop.write("sql/gold/bad.sql", "/* ---\ndescription: x\n--- */\nSELECT CAST('x' || order_id AS INTEGER) AS n FROM silver.orders\n")
    for day in (2, 3, 4):
        shop.drop_orders(f"orders_{day}.csv", f"{day},c,paid,1.00,2024-01-0{day}")
        if day == 4:
            (shop.folder / "sql/gold/bad.sql").unlink()
        hands.time = datetime(2024, 1, day, 2, 0, 1)
        service.turn(hands.time)
    assert [event for event, _ in word(shop)] == ["failure", "recovered"]
    assert {row[0] for row in misses(shop)} == {"freshness"} and all(row[3] and not row[4] for row in misses(shop))


def test_a_deadline_is_judged_while_a_run_hangs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    hands, service = settled(shop, "    tables: {gold.totals: {deadline: today by 03:00}}\n", monkeypatch)
    shop.write("sql/gold/slow.sql", SLOW)
    loop = threading.Thread(target=service.serve, args=(0.05,))
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    loop.start()
    try:
        until(lambda: service.running == "tiny")
        hands.time = datetime(2024, 1, 2, 3, 0, 1)
        until(lambda: word(shop))
        assert service.running == "tiny" and word(shop)[0][1].startswith("gold.totals is not through today by 03:00 UTC.")
    finally:
        service.stop.set()
        until(lambda: service._database is None or service._database.interrupt())
        loop.join(20)
    assert not loop.is_alive()


# ---------------------------------------------------------------- limits of single tables
def test_a_table_may_have_a_limit_and_an_sla_of_its_own(shop: Shop) -> None:
    tables = "    tables: {gold.slow: {time_limit: 0.5s, sla: 0.1s}, silver.orders: {sla: 1h}}\n"
    shop.write("goldfeed.yml", HEAD + tables)
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    service = Service(shop.project, logger())
    MADE.append(service)
    service.begin()
    service.run(service.project.flows["tiny"], "test")
    rows = shop.warehouse("SELECT status, error FROM ledger.tasks WHERE table_name = 'gold.slow'")
    assert rows[0][0] == "failed" and "the task took longer than its limit of 0.5 s" in rows[0][1]
    late = shop.warehouse("SELECT table_name, run_id, details FROM ledger.misses WHERE kind = 'sla'")
    assert [row[:2] for row in late] == [("gold.slow", 1)] and "its SLA is 0.1 s" in late[0][2]


def test_a_task_over_its_sla_is_noted_in_the_run(shop: Shop) -> None:
    from pipeline.steps.context import Policy

    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    result = run_with(shop, Policy(slas={"bronze.orders": 0.0001}))
    assert [note for note in result.notes if note.startswith("ingest bronze.orders took 0 s, longer than its SLA")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gold.totls: {sla: 5m}", "goldfeed.yml:9: the flow tiny has no table gold.totls; did you mean gold.totals?"),
        ("gold.totals: {slo: 5m}", "goldfeed.yml:9: there is no key 'flows.tiny.tables.gold.totals.slo' here; did you mean 'sla'?"),
        ("gold.totals: {sla: soon}", "goldfeed.yml:9: flows.tiny.tables.gold.totals.sla: 'soon' is no length of time"),
        ("gold.totals: {deadline: tomorrow}", "'tomorrow' is no deadline such as 'through yesterday by 07:00 Europe/Berlin'"),
        ("gold.totals: {deadline: yesterday by 27:00}", "goldfeed.yml:9: flows.tiny.tables.gold.totals.deadline.by:"),
        ("gold.totals: {deadline: yesterday by 07:00 Berlin}", "'Berlin' is no time zone; did you mean Europe/Berlin?"),
        ("gold.totals: {deadline: {by: 07:00, trough: today}}", "did you mean 'through'?"),
        ("gold.totals: {deadline: monday by 07:00}", "'monday' is no day; write today, yesterday or 3 days ago"),
        ("silver.orders: {freshness: 1h}", "goldfeed.yml:9: silver.orders has no readers, so it has no freshness and no deadline"),
    ],
    ids=["table", "key", "length", "deadline", "time", "zone", "deadline-key", "day", "layer"],
)
def test_what_is_wrong_with_a_promise_is_refused_with_file_line_and_advice(shop: Shop, text: str, message: str) -> None:
    from pipeline.errors import ProjectError

    shop.write("goldfeed.yml", f"{HEAD}    tables:\n      {text}\n")
    with pytest.raises(ProjectError) as found:
        shop.project()
    assert message in found.value.sentence()


# ---------------------------------------------------------------- word of it
def test_t7_messages_survive_a_restart_and_a_dead_channel_holds_up_no_other(
    tmp_path: Path, receiver: Callable[[int], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = free_port(), free_port()
    monkeypatch.setenv("DEAD", f"json://127.0.0.1:{dead}/hook")
    monkeypatch.setenv("ALIVE", f"json://127.0.0.1:{alive}/hook")
    channels = {"a_dead": ChannelFile(url_env="DEAD"), "b_alive": ChannelFile(url_env="ALIVE")}
    hook, stop = receiver(alive), threading.Event()
    first = Notifier(logger(), stop, Outbox(tmp_path), lambda: channels, first_wait=0.1)
    for number in range(3):
        for name, channel in channels.items():
            first.put(name, channel, Message("failure", f"word {number}", "x"))
    until(lambda: hook.titles() == ["word 0", "word 1", "word 2"])
    stop.set()
    assert len(list(tmp_path.glob("*.json"))) == 3 and "DEAD" not in "".join(path.read_text() for path in tmp_path.iterdir())
    late, over = receiver(dead), threading.Event()
    Notifier(logger(), over, Outbox(tmp_path), lambda: channels, first_wait=0.1)
    until(lambda: late.titles() == ["word 0", "word 1", "word 2"])
    until(lambda: not list(tmp_path.iterdir()))
    over.set()


def test_a_publication_that_is_withheld_is_told_and_so_is_the_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{free_port()}/hook")
    channels, outbox, stop = {"team": ChannelFile(url_env="TEAM_URL")}, Outbox(tmp_path), threading.Event()
    notifier = Notifier(logger(), stop, outbox, lambda: channels, first_wait=60)
    task = TaskResult("check gold.x", "gold", "gold.x", "withheld", 0, 0, 0, 1, 0.1, "12 rows have no 'Anna'")
    for number, status in enumerate(("withheld", "withheld", "failed", "succeeded"), 1):
        notifier.hear(RunResult(number, "shop", status, None, 1.0, (task,)), channels, "000003")
    told = [waiting.message for waiting in outbox.waiting()]
    assert [message.title for message in told] == [
        "goldfeed: shop withheld its publication (run 1)", "goldfeed: shop failed (run 3)", "goldfeed: shop has recovered (run 4)",
    ]  # fmt: skip
    assert "Nothing new was published. Readers see version 000003." in told[0].body and "goldfeed retry 1" in told[0].body
    assert "Anna" not in told[0].body
    stop.set()


def test_word_of_a_channel_that_is_gone_and_broken_files_stop_nothing(tmp_path: Path, receiver: Callable[[int], Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    port, stop = free_port(), threading.Event()
    monkeypatch.setenv("ALIVE", f"json://127.0.0.1:{port}/hook")
    outbox, hook = Outbox(tmp_path), receiver(port)
    outbox.put("gone", Message("failure", "nobody hears this", "x"))
    outbox.put("here", Message("failure", "this arrives", "x"))
    (tmp_path / "0.json").write_text("{")
    Notifier(logger(), stop, outbox, lambda: {"here": ChannelFile(url_env="ALIVE")})
    until(lambda: hook.titles() == ["this arrives"])
    until(lambda: [path.name for path in tmp_path.iterdir()] == ["0.json"])
    stop.set()
