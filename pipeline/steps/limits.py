"""Time limits: a statement that runs too long is interrupted in the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from pipeline.errors import PermanentError, TransientError
from pipeline.steps.context import Run


@contextmanager
def within(run: Run, task: str, table: str) -> Iterator[None]:
    """Interrupt the engine when the task is over its limit, or the run over its own. Raises PermanentError then."""
    left = run.policy.run_time_limit - (run.clock.seconds() - run.began)
    done, over = Event(), Event()
    own = run.policy.limit_of(table)
    limit = min(own, left)
    watcher = Thread(target=_watch, args=(run, max(limit, 0.0), done, over), daemon=True)
    watcher.start()
    try:
        yield
    except TransientError as error:
        if not over.is_set():
            raise
        what, most = ("task", own) if left > limit else ("run", run.policy.run_time_limit)
        raise PermanentError(
            f"it was interrupted: the {what} took longer than its limit of {most:g} s",
            where=task,
            do="see why it is slow, or raise the limit in goldfeed.yml",
        ) from error
    finally:
        done.set()
        watcher.join()  # or its last interrupt would end the statement that records the task


def _watch(run: Run, limit: float, done: Event, over: Event) -> None:
    """Interrupt again and again: between two statements there is nothing to interrupt."""
    if done.wait(limit):
        return
    over.set()
    while not done.wait(0.05):
        run.database.interrupt()
