"""How often a process turns from its work: for other threads, and for objects that nobody uses any more."""

from __future__ import annotations

import gc
import sys

# seconds of Python until another thread may go on: one whose statement has ended has but its next to begin. A day takes 2 to 3% less.
# The service, whose readers would make its runs wait, stays at 0.005 (docs/decisions.md)
_TURN = 0.0005
_SELDOM = 100_000  # new objects until unused ones are looked for: imports make 50,000 that all stay. A day takes 3% less, an idle run 8%
_USUAL = gc.get_threshold()


def of_a_command() -> None:
    """Of a process that ends soon."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])


def of_work_done_here() -> None:
    """Of one that does its work itself, and nothing beside it."""
    sys.setswitchinterval(_TURN)


def of_what_goes_on() -> None:
    """Of one that goes on and on: what it has begun with stays, and is not looked at again."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
