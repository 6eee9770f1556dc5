"""What scrapes keep from one to the next is never older than the ledger: whatever was written, they say what a new start says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.ask import Done
from pipeline.metrics.ledger import LedgerPage
from pipeline.warehouse.audits import CheckRecord, add_checks
from pipeline.warehouse.database import Database, open_in_memory
from pipeline.warehouse.dues import note_dues, settle_due, waiting_dues
from pipeline.warehouse.history import forget_history, note_retention
from pipeline.warehouse.ledger import (
    TableState,
    TaskRecord,
    close_open_runs,
    finish_run,
    record_delivery,
    record_publication,
    record_task,
    save_table,
    start_run,
)
from pipeline.warehouse.migrations import migrate
from pipeline.warehouse.promises import Miss, mend, note_misses, open_misses
from tests.conftest import Shop
from tests.examples import examples

TABLES = ("bronze.orders", "silver.orders", "gold.totals", "gold.gone")  # the last one is no longer in the project
BEGAN = datetime(2024, 1, 1)
REASONS = ("id is missing", "amount is no number")


class Ledger:
    """A ledger that is written as runs, the schedule, retention and people do it."""

    def __init__(self, database: Database) -> None:
        self.database, self.now, self.run = database, BEGAN, 0
        migrate(database, BEGAN)

    def write(self, what: str, number: int) -> None:
        """One thing; `number` says how."""
        self.now += timedelta(hours=1)
        self.run = self.run or start_run(self.database, "tiny", self.now)
        steps: dict[str, Callable[[int], None]] = {"task": self.task, "run": self.end, "retention": self.forget, "promise": self.promise, "publication": self.publish}
        with self.database.transaction():
            steps[what](number)

    def task(self, number: int) -> None:
        """A table was built and checked, and rows of it set aside or let go."""
        table, status, failed = TABLES[number % 4], ("succeeded", "failed", "skipped")[number % 3], number % 5 == 0
        layer = table.partition(".")[0]
        record_task(self.database, TaskRecord(self.run, f"build {table}", layer, table, status, 1 + number % 3, number, number, 1, 0, number / 7, self.now, None))
        save_table(self.database, TableState(table, number, "x", 1, number, number, 0, number % 2, self.run), {}, self.now)
        name = "unusual.rows" if number % 2 else "rows"
        check = CheckRecord(name, "missing", "accuracy", "error", "failed" if failed else "passed", 1.0, "x", None, 0.01)
        add_checks(self.database, self.run, table, [check] * (number % 3), self.now)
        self.aside(table, REASONS[number % 2], keep=not failed)
        if layer == "bronze":
            record_delivery(self.database, self.run, "x", None, ("loaded", "duplicate", "rejected")[number % 3], self.now)

    def aside(self, table: str, reason: str, *, keep: bool) -> None:
        row = "INSERT INTO ledger.quarantine (quarantine_id, source, reason, run_id, quarantined_at) VALUES (1, ?, ?, ?, ?)"
        self.database.run(*((row, [table, reason, self.run, self.now]) if keep else ("DELETE FROM ledger.quarantine WHERE source = ?", [table])))

    def end(self, number: int) -> None:
        """The run has ended; or it was cut off, which is seen sooner or later."""
        run, self.run = self.run, 0
        if number % 5 == 0:
            close_open_runs(self.database, self.now)
        if number % 4 == 0:
            return
        status, version = (("succeeded", "000001"), ("failed", None), ("withheld", None))[number % 3]
        finish_run(self.database, run, status, self.now, version, None)

    def forget(self, number: int) -> None:
        forget_history(self.database, self.now - timedelta(hours=number % 8), ["000009"])
        note_retention(self.database, [], self.now)

    def promise(self, number: int) -> None:
        """A run was due, or done; a table is late, or came."""
        for flow, due in waiting_dues(self.database):
            settle_due(self.database, flow, due, self.run)
        note_dues(self.database, [("tiny", self.now, ("waiting", "skipped")[number % 2])], self.now)
        misses = [Miss(("freshness", "deadline")[number % 2], "tiny", "gold.totals", self.now, "x")]
        note_misses(self.database, misses, self.now) if number % 3 else mend(self.database, open_misses(self.database), self.now)

    def publish(self, number: int) -> None:
        record_publication(self.database, "000001", ("publish", "rollback")[number % 2], self.run, '{"gold.totals": 1}', self.now)


STEPS = st.tuples(st.sampled_from(["task", "task", "task", "run", "run", "retention", "promise", "publication"]), st.integers(0, 60), st.booleans())


@examples(40)
@given(st.lists(STEPS, min_size=1, max_size=40))
def test_o1_a_scrape_says_what_a_new_start_says_whatever_was_written_since_the_last_one(shop: Shop, steps: list[tuple[str, int, bool]]) -> None:
    project = shop.project()
    published = project.settings.published
    published.mkdir(parents=True, exist_ok=True)
    (published / "current").unlink(missing_ok=True)
    (published / "current").symlink_to("000001")
    database = open_in_memory(project.settings)
    ledger, page = Ledger(database), LedgerPage(project)
    for what, number, looked in [*steps, ("task", 1, True), ("run", 0, True)]:
        ledger.write(what, number)
        if looked:
            found, new = page.text(database).splitlines(), LedgerPage(project).text(database).splitlines()
            assert sorted(found) == sorted(new)
            assert not any("gold.gone" in line for line in found)
    database.close()


def test_rows_count_as_new_only_if_they_follow_all_that_were_there() -> None:
    one, other = (1, "build a"), (1, "build b")
    assert Done([one, other], [one]).after(Done([one], [one])) == Done([other], [])
    assert Done([other, one], []).after(Done([one], [])) is None
    assert Done([one], [other]).after(Done([one], [one])) is None
    assert Done([], []).after(Done([one], [])) is None
