"""Who may have the warehouse: one writes, others read beside; it is closed when nobody needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event

import pytest

from pipeline.clock import Clock
from pipeline.errors import WarehouseBusy
from pipeline.keeper import Keeper
from tests.conftest import Shop


def at_work(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_writers_take_turns_in_the_order_in_which_they_asked_and_readers_go_beside(shop: Shop) -> None:
    keeper, project, order = Keeper(Clock()), shop.project(), list[int]()

    def write(number: int, asked: Event) -> None:
        with keeper.writing(project, told=asked.set):
            order.append(number)

    with keeper.writing(project) as first:
        first.run("CREATE TABLE ledger.mine AS SELECT 1 AS n")
        threads = []
        for number in range(5):
            asked = Event()
            threads.append(at_work(lambda number=number, asked=asked: write(number, asked)))
            assert asked.wait(10)
        with keeper.reading(project) as beside:
            assert beside.value("SELECT n FROM ledger.mine") == 1 and order == []
        with pytest.raises(WarehouseBusy), keeper.writing(project, wait=0.1):
            pass
        stop = Event()
        stop.set()
        with pytest.raises(WarehouseBusy), keeper.writing(project, stop=stop):
            pass
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_the_file_is_closed_when_nobody_needs_it_so_that_others_may_have_it(shop: Shop) -> None:
    keeper, project = Keeper(Clock()), shop.project()
    with keeper.reading(project):
        assert keeper.memory() > 0
    assert keeper.memory() == 0
    assert shop.cli("run").returncode == 0  # another process


def test_many_runs_in_a_row_never_stand_in_the_way_of_who_wants_it_alone(shop: Shop) -> None:
    keeper, project, alone = Keeper(Clock()), shop.project(), Event()

    def replace_the_file() -> None:
        with keeper.alone():
            assert shop.cli("run").returncode == 0
            alone.set()

    with keeper.lingering():
        with keeper.writing(project):
            thread = at_work(replace_the_file)
        assert alone.wait(60)
        with keeper.writing(project) as again:
            assert again.value("SELECT count(*) FROM ledger.runs") == 0
    thread.join(10)
    assert not thread.is_alive() and keeper.memory() == 0
