"""How much of a column shows in what is made of it, and how uses follow on each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Use = Literal["copy", "transform", "masked", "aggregate", "condition"]
Place = tuple[str, str]  # table, column
Uses = dict[Place, Use]

EVERY = "*"  # the name of columns nobody can name: those of a Polars model without `columns`, of an unknown star
_WEIGHT: dict[Use, int] = {"condition": 0, "aggregate": 1, "masked": 2, "copy": 3, "transform": 4}


@dataclass
class Found:
    """A query's output columns in order, and the columns that only decide which rows there are."""

    columns: dict[str, Uses]
    conditions: Uses = field(default_factory=dict)

    def get(self, name: str) -> Uses:
        """What a column is made of; of one that is not known, what any may be made of."""
        return self.columns.get(name, self.columns.get(EVERY, {}))


def after(first: Use, then: Use) -> Use:
    """The use of a column that goes through two steps: a mask or a count holds for all that follows."""
    both = (first, then)
    for use in ("condition", "aggregate", "masked", "transform"):
        if use in both:
            return use
    return "copy"


def merged(many: Iterable[Uses]) -> Uses:
    """Several ways side by side: of two for one column, the one that shows more of it."""
    found: Uses = {}
    for uses in many:
        for place, use in uses.items():
            if place not in found or _WEIGHT[use] > _WEIGHT[found[place]]:
                found[place] = use
    return found
