"""What the benchmarks share: one measured process, medians, a table."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("GOLDFEED_BENCH_WORK", ROOT / "bench" / ".scratch"))
MEMORY_LIMIT, THREADS = "1GB", 2


_TOUCH = "import mmap, sys; m = mmap.mmap(-1, int(sys.argv[1]) << 20); [m.__setitem__(at, 1) for at in range(0, len(m), 4096)]"


def settle(megabytes: int = 2_000) -> None:
    """Leave nothing for a run to pay that is not its own: files that were copied are written, and memory is at hand.

    A virtual machine gives its host back what a deleted file or an ended process has freed, and then a page costs ten times
    as much (3 GB: 1.8 to 8 s, on 2026-11-28).
    """
    os.sync()
    subprocess.run([sys.executable, "-c", _TOUCH, str(megabytes)], check=True)


@dataclass(frozen=True)
class Measured:
    """Wall seconds, peak resident memory in MB, and seconds of CPU, of one process."""

    seconds: float
    memory: float
    output: str
    cpu: float = 0.0


def measured(words: Sequence[str], environ: dict[str, str] | None = None) -> Measured:
    """Run a Python module in a process of its own. Raises CalledProcessError if it fails."""
    began = time.monotonic()
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    done = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**given, "GOLDFEED_MEMORY_LIMIT": MEMORY_LIMIT, "GOLDFEED_THREADS": str(THREADS), **(environ or {})},
    )
    assert done.stdout is not None
    output = done.stdout.read()
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, output)
    return Measured(time.monotonic() - began, peak_megabytes(usage), output, usage.ru_utime + usage.ru_stime)


def peak_megabytes(usage: resource.struct_rusage) -> float:
    """Peak resident memory of a finished process."""
    return usage.ru_maxrss / 1024


def middle(runs: Sequence[Measured]) -> Measured:
    """Medians of seconds, memory and CPU."""
    numbers = ([getattr(run, name) for run in runs] for name in ("seconds", "memory", "cpu"))
    seconds, memory, cpu = (median(values) for values in numbers)
    return Measured(seconds, memory, runs[-1].output, cpu)
