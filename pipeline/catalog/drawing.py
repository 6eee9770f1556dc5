"""Lineage as a drawing: tables as boxes in layers from left to right, what reads what as lines; plain SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDE, HIGH, GAP, ROW = 190, 34, 80, 50  # pixels: a box, the space between two ranks, from box to box


def drawing(inputs: Mapping[str, Sequence[str]], focus: str | None) -> str:
    """An SVG of tables and what each is made of; every box links to its table's page. `focus` is drawn stronger."""
    ranks = _ranks(inputs)
    columns: dict[int, list[str]] = {}
    for name in inputs:
        columns.setdefault(ranks[name], []).append(name)
    places = _places(inputs, columns)
    width = (max(columns, default=0) + 1) * (WIDE + GAP) - GAP + 4
    height = max((len(names) for names in columns.values()), default=1) * ROW
    lines = [_line(places[above], places[name]) for name in inputs for above in inputs[name] if above in places]
    boxes = [_box(name, *places[name], strong=name == focus) for name in inputs]
    return (
        f'<svg class="lineage" role="img" aria-label="lineage" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" xmlns="http://www.w3.org/2000/svg">{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _ranks(inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest way from a table without inputs; `inputs` lists each table after those it reads."""
    ranks: dict[str, int] = {}
    for name, above in inputs.items():
        ranks[name] = max((ranks[one] + 1 for one in above if one in ranks), default=0)
    return ranks


def _places(inputs: Mapping[str, Sequence[str]], columns: Mapping[int, list[str]]) -> dict[str, tuple[float, float]]:
    """The corner of each box; within a rank tables stand near those they read (the barycenter method)."""
    tallest = max((len(names) for names in columns.values()), default=1)
    places: dict[str, tuple[float, float]] = {}
    for rank in sorted(columns):
        names = columns[rank]

        def middle(name: str) -> float:
            above = [places[one][1] for one in inputs[name] if one in places]
            return sum(above) / len(above) if above else 0.0

        ordered = sorted(names, key=middle) if rank else names
        top = (tallest - len(ordered)) * ROW / 2
        for place, name in enumerate(ordered):
            places[name] = (2 + rank * (WIDE + GAP), top + place * ROW + (ROW - HIGH) / 2)
    return places


def _line(one: tuple[float, float], other: tuple[float, float]) -> str:
    x1, y1, x2, y2 = one[0] + WIDE, one[1] + HIGH / 2, other[0], other[1] + HIGH / 2
    bend = (x2 - x1) / 2
    return f'<path d="M{x1:.0f},{y1:.0f} C{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"/>'


def _box(name: str, x: float, y: float, *, strong: bool) -> str:
    layer, _, bare = name.partition(".")
    text = bare if len(bare) <= 24 else bare[:23] + "…"
    kind = f"{escape(layer)}{' focus' if strong else ''}"
    return (
        f'<a href="{escape(name)}.html"><g class="{kind}"><title>{escape(name)}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDE}" height="{HIGH}" rx="6"/>'
        f'<text x="{x + WIDE / 2:.0f}" y="{y + HIGH / 2 + 4:.0f}">{escape(text)}</text></g></a>'
    )
