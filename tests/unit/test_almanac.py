"""T1, T3: each time of a schedule exactly once, whatever the clocks do, and what a flow does after downtime."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.project.almanac import check_cron, due_after, trigger_of
from pipeline.project.duration import seconds_of
from pipeline.project.flow import Flow, FlowFile
from pipeline.terms import missed

CHANGES = {  # a day before and after each change of the clocks
    "Europe/Berlin": (datetime(2024, 3, 30), datetime(2024, 10, 26)),
    "America/New_York": (datetime(2024, 3, 9), datetime(2024, 11, 2)),
    "Australia/Lord_Howe": (datetime(2024, 4, 6), datetime(2024, 10, 5)),
    "UTC": (datetime(2024, 3, 30), datetime(2024, 10, 26)),
}


def local(zone: str, moment: datetime) -> datetime:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 3 * * *", "15 1 * * *", "0 0 * * *"])
def test_t1_a_daily_run_comes_once_a_day_also_when_the_clocks_change(zone: str, cron: str) -> None:
    for change in CHANGES[zone]:
        dues = list(islice(due_after(cron, zone, change - timedelta(days=3)), 7))
        days = [local(zone, due).date() for due in dues]
        assert days == [days[0] + timedelta(days=number) for number in range(7)]
        minute, hour = (int(part) for part in cron.split()[:2])
        late = [due for due in dues if (local(zone, due).hour, local(zone, due).minute) != (hour, minute)]
        assert len(late) <= 1 and all(local(zone, due).hour == hour + 1 or local(zone, due).minute == 0 for due in late)


def test_t1_a_run_at_half_past_two_is_the_first_of_the_two_and_as_late_as_the_clock_jumps() -> None:
    assert list(islice(due_after("30 2 * * *", "Europe/Berlin", datetime(2024, 10, 26, 12)), 2)) == [
        datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 28, 1, 30),
    ]
    assert list(islice(due_after("30 2 * * *", "Europe/Berlin", datetime(2024, 3, 30, 12)), 2)) == [
        datetime(2024, 3, 31, 1, 30), datetime(2024, 4, 1, 0, 30),
    ]


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 3 31 * *", ["2024-01-31", "2024-03-31", "2024-05-31"]),
        ("0 3 last * *", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("0 3 29 2 *", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("0 3 * * 0", ["2024-01-07", "2024-01-14", "2024-01-21"]),
        ("0 3 * * 7", ["2024-01-07", "2024-01-14", "2024-01-21"]),
        ("0 3 * * 1-5", ["2024-01-01", "2024-01-02", "2024-01-03"]),
        ("0 3 * * 0,6", ["2024-01-06", "2024-01-07", "2024-01-13"]),
        ("@weekly", ["2024-01-07", "2024-01-14", "2024-01-21"]),
        ("@monthly", ["2024-01-01", "2024-02-01", "2024-03-01"]),
    ],
)
def test_month_ends_leap_days_and_sundays(cron: str, first: list[str]) -> None:
    dues = islice(due_after(cron, "UTC", datetime(2023, 12, 31, 12)), 3)
    assert [due.date().isoformat() for due in dues] == first


@pytest.mark.parametrize("cron", ["", "1 2 3", "61 * * * *", "* 25 * * *", "* * * * mon-xyz", "* * * * 5-1", "a b c d e"])
def test_what_is_no_cron_is_refused(cron: str) -> None:
    for look in (trigger_of, check_cron):
        with pytest.raises(ValueError, match=r"is no cron expression|wrong way round"):
            look(cron)


@given(st.lists(st.one_of(st.just("*"), st.integers(0, 70).map(str), st.sampled_from(["*/5", "1-3", "mon", "٣", "007"])), min_size=5, max_size=5))
def test_what_is_plain_is_refused_without_a_look_exactly_where_the_trigger_refuses_it(fields: list[str]) -> None:
    cron = " ".join(fields)

    def refuses(look: Callable[[str], object]) -> bool:
        try:
            look(cron)
        except ValueError:
            return True
        return False

    assert refuses(check_cron) == refuses(trigger_of)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("5s", 5), ("10m", 600), ("2h", 7200), ("1.5d", 129600)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def flow(catch_up: str, cron: str = "0 2 * * *") -> Flow:
    return Flow("shop", FlowFile(schedule=cron, catch_up=catch_up), frozenset())


NOON = datetime(2024, 1, 8, 12)


@pytest.mark.parametrize(
    ("down", "catch_up", "waiting", "skipped"),
    [
        (timedelta(hours=5), "skip", 0, 0), (timedelta(hours=5), "latest", 0, 0), (timedelta(hours=5), "all", 0, 0),
        (timedelta(days=7), "skip", 0, 7), (timedelta(days=7), "latest", 1, 6), (timedelta(days=7), "all", 7, 0),
        (timedelta(days=1500), "skip", 0, 1500), (timedelta(days=1500), "latest", 1, 1499), (timedelta(days=1500), "all", 1000, 500),
    ],
)
def test_t3_after_downtime_a_flow_does_what_its_catch_up_says(down: timedelta, catch_up: str, waiting: int, skipped: int) -> None:
    dues = missed(flow(catch_up), NOON - down, NOON)
    assert sum(state == "waiting" for _, state in dues) == waiting
    assert sum(state == "skipped" for _, state in dues) == skipped
    assert [due for due, _ in dues] == sorted({due for due, _ in dues})
    assert waiting == 0 or dues[-1] == (datetime(2024, 1, 8, 2), "waiting")


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_a_run_that_is_noticed_on_time_is_done_whatever_catch_up_says(catch_up: str) -> None:
    now = datetime(2024, 1, 8, 2, 0, 1)
    assert missed(flow(catch_up), now - timedelta(hours=20), now) == [(datetime(2024, 1, 8, 2), "waiting")]


def test_t2_a_clock_that_jumps_back_makes_nothing_due_twice() -> None:
    done = datetime(2024, 1, 8, 2)
    assert missed(flow("all"), done, done + timedelta(minutes=30)) == []
    assert missed(flow("all"), done, done - timedelta(hours=1)) == []
    assert list(takewhile(lambda due: due <= NOON, due_after("0 2 * * *", "UTC", done))) == []
