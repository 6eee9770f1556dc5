"""The service's log: JSON lines in a container, readable lines in a terminal; names and numbers, never a value of the data."""

from __future__ import annotations

import sys
from typing import Any

import structlog


def logger() -> Any:
    """A structlog logger on standard output; bind `flow`, `run` and `task` to it."""
    readable = sys.stdout.isatty()
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stdout),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(),
        ],
    )
