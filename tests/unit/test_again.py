"""Flows that met an error that may pass: when there is room again, else a few times, later and later."""

from __future__ import annotations

from pathlib import Path

from pipeline.again import Again
from pipeline.results import RunResult, TaskResult

HOME = Path("home")


def ended(*, may_pass: bool) -> RunResult:
    task = TaskResult("build gold.x", "gold", "gold.x", "failed", 0, 0, 0, 3, 0.1, "no room", may_pass)
    return RunResult(1, "shop", "failed", None, 1.0, (task,))


def test_an_error_that_may_pass_is_tried_again_soon_then_later_and_in_the_end_no_more() -> None:
    again, now, tried = Again(lambda _: 100), 0.0, list[float]()
    again.heard("shop", ended(may_pass=True), HOME, now)
    while now < 20_000:
        now += 1.0
        if again.due(HOME, now):
            tried.append(now)
            again.heard("shop", ended(may_pass=True), HOME, now)
    assert tried == [15.0, 75.0, 375.0, 1275.0] and again.owes("shop")


def test_room_on_the_disk_has_it_tried_within_seconds_however_often_it_failed() -> None:
    free = [5_000_000]
    again = Again(lambda _: free[0])
    for number in range(9):
        again.heard("shop", ended(may_pass=True), HOME, number)
    assert again.due(HOME, 50.0) == []
    free[0] += 7_000_000
    assert again.due(HOME, 50.0) == []
    free[0] += 1_000_000
    assert again.due(HOME, 10.0) == [] and again.due(HOME, 13.0) == ["shop"]


def test_room_that_was_made_before_the_failed_run_had_ended_is_found_by_the_first_try() -> None:
    free = [5_000_000]
    again = Again(lambda _: free[0])
    free[0] += 100_000_000  # between the error and the end of the run
    again.heard("shop", ended(may_pass=True), HOME, 0.0)
    assert again.due(HOME, 14.0) == [] and again.due(HOME, 15.0) == ["shop"]


def test_what_cannot_get_better_and_what_is_well_is_not_tried_again() -> None:
    again = Again(lambda _: 100)
    again.heard("shop", ended(may_pass=False), HOME, 0.0)
    assert not again.owes("shop")
    again.heard("shop", None, HOME, 0.0)
    assert again.owes("shop")
    again.heard("shop", RunResult(2, "shop", "succeeded", "000001", 1.0), HOME, 60.0)
    assert not again.owes("shop") and again.due(HOME, 1e6) == []
