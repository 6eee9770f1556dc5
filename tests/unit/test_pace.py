"""A command that ends looks for unused objects seldom; what goes on looks as often as Python does."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from pipeline.cli import pace


def test_a_command_looks_for_unused_objects_seldom_and_the_service_as_usual() -> None:
    code = (
        "import gc, sys; usual = gc.get_threshold()\n"
        "from pipeline.cli import pace, program\n"
        "import pipeline.serve\n"
        "goes_on = pace.of_what_goes_on\n"
        "pace.of_what_goes_on = lambda: (print('as a command', gc.get_threshold()[0]), goes_on())\n"
        "pipeline.serve.serve = lambda load: print('in the service', gc.get_threshold() == usual, gc.get_freeze_count() > 0)\n"
        "sys.argv = ['goldfeed', 'serve']\nprogram()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "as a command 100000\nin the service True True\n"


def test_turns_and_looks_are_set_and_set_back() -> None:
    usual, turn = gc.get_threshold(), sys.getswitchinterval()
    try:
        pace.of_a_command()
        assert gc.get_threshold()[0] == 100_000
        pace.of_work_done_here()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        pace.of_what_goes_on()
        assert gc.get_threshold() == usual
    finally:
        gc.unfreeze()
        sys.setswitchinterval(turn)
        gc.set_threshold(*usual)
