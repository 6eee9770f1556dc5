"""The exposition as text, format 0.0.4: as prometheus_client writes it, without an object for each sample.

Its `generate_latest` takes five times as long, and a wide project has thousands of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.utils import floatToGoString

from pipeline.metrics.families import BY_NAME, Family

Labels = tuple[str, ...]
_go_number: Callable[[float], str] = floatToGoString
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Starts:
    """What a line begins with, up to its value; kept from one page to the next, for labels seldom change."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Labels], dict[Labels, str]] = {}

    def of(self, name: str, labels: Labels) -> dict[Labels, str]:
        """The beginnings of the lines of one series, by the values of its labels."""
        return self._known.setdefault((name, labels), {})


class Sheet:
    """Samples by family, to be shown as one exposition."""

    def __init__(self, starts: Starts | None = None) -> None:
        self._starts = starts or Starts()
        self._plain: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, tuple[dict[str, float], float]]] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        """One sample of a counter or gauge; `name` without goldfeed_. Raises KeyError for a family not in the table."""
        self.many(name)[labels] = value

    def many(self, name: str) -> dict[Labels, float]:
        """All samples of a counter or gauge, by the values of its labels; add to them."""
        found = self._plain.get(name)
        if found is None:
            assert BY_NAME[f"goldfeed_{name}"].kind != "histogram"
            found = self._plain[name] = {}
        return found

    def histogram(self, name: str, bounds: Sequence[float], counts: Sequence[int], total: float, *labels: str) -> None:
        """One histogram: `counts` of each bucket alone, the last one for what is above all bounds."""
        assert BY_NAME[f"goldfeed_{name}"].kind == "histogram"
        running, buckets = 0, {}
        for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
            running += count
            buckets[bound] = float(running)
        self._histograms.setdefault(name, {})[labels] = buckets, total

    def text(self) -> str:
        """All of it."""
        plain = [(BY_NAME[f"goldfeed_{name}"], values) for name, values in self._plain.items() if values]
        texts = [family_text(family, values, self._starts) for family, values in plain]
        return "".join([*texts, *map(self._histogram, self._histograms)])

    def lines(self, labels: int) -> dict[str, dict[Labels, str]]:
        """The lines of counters and gauges: by family, and by the values of so many labels."""
        return {
            name: self._grouped(BY_NAME[f"goldfeed_{name}"], values, labels) for name, values in self._plain.items()
        }

    def _grouped(self, family: Family, values: Mapping[Labels, float], labels: int) -> dict[Labels, str]:
        found: dict[Labels, str] = {}
        for of, line in zip(values, _lines(family.name, family.labels, values, self._starts), strict=True):
            found[of[:labels]] = found.get(of[:labels], "") + line
        return found

    def _histogram(self, name: str) -> str:
        family, found = BY_NAME[f"goldfeed_{name}"], self._histograms[name]
        buckets = {(*labels, le): many for labels, (of, _) in found.items() for le, many in of.items()}
        counts = {labels: of["+Inf"] for labels, (of, _) in found.items()}
        sums = {labels: total for labels, (_, total) in found.items()}
        lines = [
            *_lines(f"{family.name}_bucket", (*family.labels, "le"), buckets, self._starts),
            *_lines(f"{family.name}_count", family.labels, counts, self._starts),
            *_lines(f"{family.name}_sum", family.labels, sums, self._starts),
        ]
        return heading(family) + "".join(lines)


def family_text(family: Family, values: Mapping[Labels, float], starts: Starts) -> str:
    """One counter or gauge: its help, its kind and its samples."""
    return heading(family) + "".join(_lines(family.name, family.labels, values, starts))


def heading(family: Family) -> str:
    """Its help and its kind."""
    said = family.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {family.name} {said}\n# TYPE {family.name} {family.kind}\n"


def _lines(name: str, labels: Labels, values: Mapping[Labels, float], starts: Starts) -> Iterable[str]:
    known = starts.of(name, labels)
    for of, value in values.items():
        start = known.get(of)
        if start is None:
            start = known[of] = _start(name, labels, of)
        number = float(value)
        # the library's own form from where Go writes an exponent; below, it is Python's
        yield f"{start}{number!r}\n" if 0 <= number < 1e6 else f"{start}{_go_number(number)}\n"


def _start(name: str, labels: Labels, values: Labels) -> str:
    pairs = sorted(zip(labels, values, strict=True))
    shown = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in pairs)
    return f"{name}{{{shown}}} " if shown else f"{name} "
