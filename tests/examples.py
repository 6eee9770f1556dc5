"""How many examples a law is tried on: few in `make test`, as many as `make soak` says there."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def examples(few: int) -> settings:
    """Settings for a law whose example is a run of the pipeline: no limit of time."""
    number = max(few, int(os.environ.get("GOLDFEED_SOAK_EXAMPLES", "0")))
    return settings(max_examples=number, deadline=None, suppress_health_check=CALM)
