"""The service: what arrives and what is due is run; stopped, killed and edited while it works."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipeline.clock import Clock
from pipeline.errors import PermanentError, TransientError
from pipeline.failpoints import NAMES
from pipeline.log import logger
from pipeline.runner import Order, execute, open_warehouse
from pipeline.service import Service
from pipeline.steps.context import Policy
from tests.conftest import GOLD_TOTALS, HEADER, ROOT, Shop

ONE_SECOND = "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *', on_arrival: 0.2}\n"
SLOW = "/* ---\ndescription: x\nkey: [n]\n--- */\nSELECT count(*) AS n FROM silver.orders o CROSS JOIN range(60000) a(i) CROSS JOIN range(60000) b(j) WHERE hash(i + j) % 7 = 3\n"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Served:
    """`goldfeed serve` in a process of its own."""

    def __init__(self, shop: Shop, **environ: str) -> None:
        self.shop, self.port = shop, free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "--project", str(shop.folder), "--home", str(shop.home), "serve"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **shop.environ, "PYTHONPATH": str(ROOT), "GOLDFEED_HTTP_PORT": str(self.port), **environ},
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line) if line.startswith("{") else {"event": line.strip()})

    def until(self, found: Callable[[], Any], seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = found()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"it did not come: {self.lines}")

    def said(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("event") == event and all(line.get(k) == v for k, v in facts.items())]

    def page(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def one(shop: Shop, **environ: str) -> Served:
        made.append(Served(shop, **environ))
        return made[-1]

    yield one
    for served in made:
        served.process.kill()
        served.process.wait()


def test_files_that_arrive_are_run_and_health_tells(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", ONE_SECOND)
    served = serve(shop)
    served.until(lambda: served.said("serving"))
    served.until(lambda: served.page("/health/live")[0] == 200)
    assert served.page("/health/ready") == (503, {"status": "nothing is published yet", "running": None})
    assert served.page("/nothing")[0] == 401  # who is not known learns of no address
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served.until(lambda: served.said("run", status="succeeded", because="arrival"))
    assert shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]
    assert served.page("/health/ready")[0] == 200 and served.page("/health") == (200, {"status": "well"})
    told = [line for line in served.lines if line.get("event") in ("task", "run")]
    assert [line.get("task", "run") for line in told] == [
        "ingest bronze.orders", "build silver.orders", "build gold.totals", "publish gold", "run",
    ]
    assert {(line["run"], line["flow"], line["because"]) for line in told} == {(1, "tiny", "arrival")}
    assert shop.cli("status").returncode == 0  # between runs others may look
    shop.drop_orders("orders_2.csv", "2,c,paid,1.00,2024-01-01")
    served.until(lambda: len(served.said("run", status="succeeded")) == 2)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0
    served._reader.join(5)
    assert served.said("stopped")


@pytest.mark.slow
def test_two_flows_that_share_tables_take_turns_and_each_row_counts_once(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("sql/gold/others.sql", GOLD_TOTALS)
    shop.write("goldfeed.yml", "name: tiny\nflows:\n" + "".join(
        f"  {name}: {{select: [bronze, silver, {name}], schedule: '0 2 * * *', on_arrival: 0.2}}\n" for name in ("totals", "others")
    ))
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,paid,1.00,2024-01-01")
    served = serve(shop)
    for number in (3, 4):
        served.until(lambda: {run["flow"] for run in served.said("run", status="succeeded")} == {"totals", "others"})
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,paid,1.00,2024-01-01")
        served.until(lambda number=number: shop.ask("SELECT orders FROM totals UNION ALL SELECT orders FROM others") == [(number,)] * 2)
    overlapping = "SELECT count(*) FROM ledger.runs a JOIN ledger.runs b ON a.run_id < b.run_id AND b.started_at < a.finished_at"
    assert shop.warehouse(overlapping) == [(0,)]
    assert shop.warehouse("SELECT count(*), count(DISTINCT order_id) FROM bronze.orders") == [(4, 4)]


@pytest.mark.slow
def test_k6_sigterm_ends_a_long_statement_within_ten_seconds_and_the_next_start_goes_on(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", ONE_SECOND)
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served = serve(shop)
    served.until(lambda: served.page("/health/ready")[1]["running"] == "tiny" if served.said("serving") else None)
    time.sleep(1.5)
    began = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0 and time.monotonic() - began < 10
    assert shop.warehouse("SELECT status FROM ledger.runs") == [("interrupted",)]
    (shop.folder / "sql/gold/slow.sql").unlink()
    again = serve(shop)
    again.until(lambda: again.said("resuming the run that was cut off"))
    again.until(lambda: again.said("run", status="succeeded", because="resumed"))
    assert shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]


def test_a_run_cut_off_by_sigkill_is_resumed_at_the_next_start(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", ONE_SECOND)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served = serve(shop, GOLDFEED_CRASH_AT="build.before_commit")
    assert served.process.wait(30) == -signal.SIGKILL
    again = serve(shop)
    again.until(lambda: again.said("run", status="succeeded", because="resumed"))
    assert shop.warehouse("SELECT status FROM ledger.runs ORDER BY run_id") == [("interrupted",), ("succeeded",)]
    assert shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]


def test_a_broken_edit_keeps_what_was_there_and_says_so_and_a_good_one_is_taken(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", ONE_SECOND)
    served = serve(shop)
    served.until(lambda: served.said("serving"))
    shop.write("goldfeed.yml", ONE_SECOND.replace("0 2 * * *", "0 99 * * *"))
    refused = served.until(lambda: served.said("the edit is refused; what was there before goes on"))
    assert "goldfeed.yml:3: flows.tiny.schedule: '0 99 * * *' is no cron expression: the hour '99' cannot be read" in refused[0]["error"]
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served.until(lambda: served.said("run", status="succeeded"))
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  other: {on_arrival: 0.2}\n")
    served.until(lambda: served.said("the project was read again", flows=["other"]))
    served.process.send_signal(signal.SIGHUP)
    served.until(lambda: len(served.said("the project was read again")) == 2)
    shop.drop_orders("orders_2.csv", "2,c,paid,1.00,2024-01-01")
    served.until(lambda: served.said("run", status="succeeded", flow="other"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flows:\n  a: {schedul: '0 2 * * *'}\n", "goldfeed.yml:3: there is no key 'flows.a.schedul' here; did you mean 'schedule'?"),
        ("flows:\n  a: {schedule: '0 2 * *'}\n", "goldfeed.yml:3: flows.a.schedule: '0 2 * *' is no cron expression: it takes minute"),
        ("flows:\n  a: {time_zone: Europe/Berln}\n", "goldfeed.yml:3: flows.a.time_zone: 'Europe/Berln' is no time zone; did you mean Europe/Berlin?"),
        ("flows:\n  a: {select: [gold.totls]}\n", "goldfeed.yml:3: gold.totls means no table; did you mean gold.totals?"),
        ("flows:\n  a: {catch_up: never}\n", "goldfeed.yml:3: flows.a.catch_up"),
        ("flows:\n  a: {time_limit: soon}\n", "goldfeed.yml:3: flows.a.time_limit: 'soon' is no length of time such as 90s, 10m or 2h"),
        ("flows:\n  a: {retries: -1}\n", "goldfeed.yml:3: flows.a.retries"),
        ("flows:\n  a: {schedule: '0 2 * * mun'}\n", "goldfeed.yml:3: flows.a.schedule: '0 2 * * mun' is no cron expression: the day of week 'mun' cannot be read"),
        ("flows:\n  a: {select: [bronze, silver, gold]}\n  b: {schedule: '@daily'}\n", "goldfeed.yml:4: the flow b has no tables"),
        ("flows:\n  a: {tables: {gold.totls: {sla: 2m}}}\n", "goldfeed.yml:3: the flow a has no table gold.totls; did you mean gold.totals?"),
        ("flows:\n  a: {tables: {gold.totals: {deadlin: x}}}\n", "did you mean 'deadline'?"),
        ("flows:\n  a: {tables: {gold.totals: {deadline: by seven}}}\n", "goldfeed.yml:3: flows.a.tables.gold.totals.deadline: 'by seven' is no deadline"),
        (
            "flows:\n  a:\n    tables:\n      gold.totals: {deadline: {by: 07:00, column: statu}}\n",
            "goldfeed.yml:5: gold.totals has no column statu; did you mean status?",
        ),
        ("notify:\n  a: {url_env: X, on: [failur]}\n", "goldfeed.yml:3: notify.a.on.0: Input should be 'failure', "),
        ("notify:\n  a: {url_evn: X}\n", "goldfeed.yml:3: there is no key 'notify.a.url_evn' here; did you mean 'url_env'?"),
        ("flow:\n  a: {}\n", "goldfeed.yml:2: there is no key 'flow' here; did you mean 'flows'?"),
        ("retention: {bronz: 1d}\n", "goldfeed.yml:2: there is no key 'retention.bronz' here; did you mean 'bronze'?"),
    ],
)
def test_a_wrong_flow_is_refused_at_start_with_file_line_and_advice(shop: Shop, text: str, message: str) -> None:
    shop.write("goldfeed.yml", "name: tiny\n" + text)
    done = shop.cli("serve")
    assert done.returncode == 1 and message in done.stderr, done.stderr


def test_a_port_that_is_taken_is_named(shop: Shop) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        done = shop.cli("serve", env={"GOLDFEED_HTTP_PORT": str(one.getsockname()[1])})
    assert done.returncode == 2 and "cannot be had" in done.stderr and "set GOLDFEED_HTTP_PORT" in done.stderr


PLACES = [name for name in NAMES if name.startswith(("ingest.", "build.", "publish.", "run."))]
PLACES.remove("publish.after_columns")  # columns of a version before, and this is the first


@pytest.mark.parametrize("place", PLACES)
def test_k6_stopped_at_any_step_the_next_start_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *'}\n")
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,lost,1.00,2024-01-01")
    monkeypatch.setenv("GOLDFEED_CRASH_AT", place)
    monkeypatch.setattr("pipeline.failpoints._reached", {})
    monkeypatch.setattr("pipeline.failpoints.os.kill", lambda *_: service.stop.set())  # what SIGTERM does
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    service.turn(hands.time)
    monkeypatch.undo()
    assert service.stop.is_set()
    service = by_hand(shop, hands)
    service.begin()
    service.turn(hands.time)
    assert shop.ask("SELECT * FROM totals") == [("paid", 1, 1)] and len(shop.quarantine()) == 1
    assert {status for (status,) in shop.warehouse("SELECT status FROM ledger.runs")} <= {"interrupted", "succeeded"}
    assert [state for _, _, state in states(shop)] == ["begun", "done"]


# ---------------------------------------------------------------- by the clock
class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time, self.slept = datetime(2024, 1, 1, 12), list[float]()

    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, seconds=lambda: (self.time - datetime(2024, 1, 1)).total_seconds(), sleep=self.slept.append)


MADE: list[Service] = []


def by_hand(shop: Shop, hands: Hands) -> Service:
    MADE.append(Service(shop.project, logger(), clock=hands.clock()))
    return MADE[-1]


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """No service sends its word to the tests after its own."""
    yield
    while MADE:
        MADE.pop().stop.set()


def states(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.warehouse("SELECT flow, strftime(due_at, '%d %H:%M'), state FROM ledger.due ORDER BY due_at, flow")


def test_a_run_is_done_when_it_is_due_and_only_once(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *'}\n")
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    service.turn(hands.time)
    assert service.runs == 0
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    service.turn(hands.time)
    service.turn(hands.time)
    assert service.runs == 1 and shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]
    assert states(shop) == [("tiny", "01 12:00", "begun"), ("tiny", "02 02:00", "done")]


@pytest.mark.parametrize(("catch_up", "runs", "skipped"), [("skip", 0, 7), ("latest", 1, 6), ("all", 7, 0)])
def test_t3_a_week_of_downtime_is_caught_up_at_the_next_start(shop: Shop, catch_up: str, runs: int, skipped: int) -> None:
    shop.write("goldfeed.yml", f"name: tiny\nflows:\n  tiny: {{schedule: '0 2 * * *', catch_up: {catch_up}}}\n")
    hands = Hands()
    by_hand(shop, hands).begin()
    hands.time += timedelta(days=7)
    service = by_hand(shop, hands)
    service.begin()
    service.turn(hands.time)
    assert service.runs == runs
    assert sum(state == "skipped" for *_, state in states(shop)) == skipped
    assert not [state for *_, state in states(shop) if state == "waiting"]


def test_a_due_run_that_was_cut_off_stays_due(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *'}\n")
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    service.stop.set()
    service.turn(hands.time)
    assert states(shop)[-1] == ("tiny", "02 02:00", "waiting")
    service = by_hand(shop, hands)
    service.begin()
    hands.time = datetime(2024, 1, 3, 2, 0, 1)
    service.turn(hands.time)
    assert {state for *_, state in states(shop)} == {"begun", "done"} and shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]


class Ears:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **_: object) -> Ears:
        return self

    def info(self, event: str, **facts: Any) -> None:
        self.heard.append((event, facts))

    warning = error = info

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for said, facts in self.heard if said == event]


@pytest.mark.parametrize(("jump", "runs"), [(timedelta(hours=-1), 1), (timedelta(days=1), 2)], ids=["back", "forward"])
def test_t2_when_the_clock_jumps_nothing_runs_twice_and_it_is_said(shop: Shop, jump: timedelta, runs: int) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *'}\n")
    wall, steady, ears = [datetime(2024, 1, 2, 1, 59)], [0.0], Ears()
    service = Service(shop.project, ears, clock=Clock(lambda: wall[0], lambda: steady[0], lambda _: None))
    service.begin()

    def passes(seconds: float, jumped: timedelta = timedelta()) -> None:
        wall[0] += timedelta(seconds=seconds) + jumped
        steady[0] += seconds
        service.turn(wall[0])

    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    for _ in range(4):
        passes(60)
    passes(60, jump)
    assert ears.of("the clock has jumped") == [{"seconds": round(jump.total_seconds())}]
    for _ in range(80):
        passes(60)
    assert service.runs == runs and len(ears.of("the clock has jumped")) == 1
    assert shop.warehouse("SELECT count(*) FROM ledger.publications") == [(1,)]
    assert len({due for _, due, state in states(shop) if state == "done"}) == runs


def test_t2_a_run_during_which_the_clock_is_set_back_takes_no_negative_time(shop: Shop) -> None:
    times = iter([datetime(2024, 1, 2, 3) - timedelta(minutes=number) for number in range(1000)])
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    assert shop.run(clock=Clock(now=lambda: next(times))).status == "succeeded"
    assert shop.warehouse("SELECT finished_at >= started_at FROM ledger.runs") == [(True,)]
    assert shop.warehouse("SELECT count(*) FROM ledger.tasks WHERE seconds < 0") == [(0,)]


@pytest.mark.parametrize("gap", [0.5, 3, 100])
@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_t3_after_downtime_of_so_many_intervals_the_runs_are_those_of_the_table(shop: Shop, gap: float, catch_up: str) -> None:
    shop.write("goldfeed.yml", f"name: tiny\nflows:\n  tiny: {{schedule: '0 * * * *', catch_up: {catch_up}}}\n")
    hands = Hands()
    hands.time = datetime(2024, 1, 1, 12, 15)
    by_hand(shop, hands).begin()
    hands.time += timedelta(hours=gap)
    service = by_hand(shop, hands)
    service.begin()
    service.turn(hands.time)
    due = {0.5: 0, 3: 3, 100: 100}[gap]
    runs = {"skip": 0, "latest": min(due, 1), "all": due}[catch_up]
    assert service.runs == runs
    assert sum(state == "skipped" for *_, state in states(shop)) == due - runs


def test_t4_a_run_longer_than_its_interval_does_not_overlap_and_is_caught_up_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '* * * * *'}\n")
    hands, ears = Hands(), Ears()
    service = Service(shop.project, ears, clock=hands.clock())
    service.begin()
    work, began = service.run, list[datetime]()

    def slowly(*asked: Any, **more: Any) -> Any:
        began.append(hands.time)
        done = work(*asked, **more)
        hands.time += timedelta(minutes=5)
        return done

    monkeypatch.setattr(service, "run", slowly)
    for _ in range(3):
        hands.time += timedelta(minutes=1)
        service.turn(hands.time)
    assert [time.minute for time in began] == [1, 7, 13]
    assert ears.of("missed runs were skipped") == [{"flow": "tiny", "skipped": 5, "catch_up": "latest"}] * 2
    assert len([state for *_, state in states(shop) if state == "done"]) == 3


def test_each_layer_may_have_a_flow_of_its_own(shop: Shop) -> None:
    shop.write(
        "goldfeed.yml",
        "name: tiny\nflows:\n  take: {select: bronze, schedule: '0 1 * * *'}\n  clean: {select: silver, schedule: '0 2 * * *'}\n  rest: {schedule: '0 3 * * *'}\n",
    )
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    for hour, table in ((1, "bronze.orders"), (2, "silver.orders"), (3, "gold.totals")):
        hands.time = datetime(2024, 1, 2, hour, 0, 1)
        service.turn(hands.time)
        assert shop.warehouse(f"SELECT count(*) FROM {table}") == [(1,)]
    assert shop.warehouse("SELECT flow FROM ledger.runs ORDER BY run_id") == [("take",), ("clean",), ("rest",)]


# ---------------------------------------------------------------- limits and retries
def run_with(shop: Shop, policy: Policy, clock: Clock | None = None) -> Any:
    database = open_warehouse(shop.project(), Clock())
    try:
        return execute(shop.project(), database, Order(), clock=clock, policy=policy)
    finally:
        database.close()


def test_a_task_over_its_time_limit_is_interrupted_and_the_others_go_on(shop: Shop) -> None:
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    began = time.monotonic()
    result = run_with(shop, Policy(time_limit=3.0))
    assert time.monotonic() - began < 20 and result.status == "failed"
    tasks = {task.task: task for task in result.tasks}
    assert tasks["build gold.slow"].error == (
        "build gold.slow: it was interrupted: the task took longer than its limit of 3 s; see why it is slow, or raise the limit in goldfeed.yml."
    )
    assert tasks["build gold.slow"].attempts == 1 and tasks["build gold.totals"].status == "succeeded"
    assert tasks["publish gold"].status == "skipped"


def test_retry_does_again_what_failed_and_what_was_skipped(shop: Shop) -> None:
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    run_with(shop, Policy(limits={"gold.slow": 0.5}))
    shop.write("sql/gold/slow.sql", SLOW.replace("60000", "60"))
    done = shop.cli("retry", "1")
    assert done.returncode == 0, done.stderr
    tasks = shop.warehouse("SELECT task, status FROM ledger.tasks WHERE run_id = 2 ORDER BY 1")
    assert tasks == [("build gold.slow", "succeeded"), ("publish gold", "succeeded")]
    assert "run 2 succeeded: there is nothing to do again" in shop.cli("retry", "2").stderr
    assert "there is no run 9" in shop.cli("retry", "9").stderr


def test_t6_errors_that_may_pass_are_retried_with_growing_waits_and_others_never(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import runner

    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    build, seen = runner.build, list[str]()

    def shaky(run: Any, model: Any, **rest: Any) -> Any:
        seen.append(model.name)
        if model.name == "silver.orders" and seen.count("silver.orders") < 4:
            raise TransientError("the disk is full")
        if model.name == "gold.totals":
            raise PermanentError("it can never work")
        return build(run, model, **rest)

    monkeypatch.setattr(runner, "build", shaky)
    hands = Hands()
    real = Clock()
    result = run_with(shop, Policy(retries=3, retry_wait=2.0, retry_cap=7.0), Clock(real.now, real.seconds, hands.slept.append))
    tasks = {task.table: task for task in result.tasks}
    assert (tasks["silver.orders"].status, tasks["silver.orders"].attempts) == ("succeeded", 4)
    assert (tasks["gold.totals"].status, tasks["gold.totals"].attempts) == ("failed", 1)
    for waited, (low, high) in zip(hands.slept, ((2, 4), (4, 6), (7, 7)), strict=True):
        assert low <= waited <= high


def test_a_run_over_its_sla_says_so(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", f"1,c,paid,1.00,2024-01-01\n{HEADER.replace('order_id', '2')}")
    result = run_with(shop, Policy(sla=0.001))
    assert [note for note in result.notes if "longer than its SLA of 0 s" in note]
