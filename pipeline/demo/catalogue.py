"""The products and their prices, which change over time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pipeline.demo.times import minutes, money

_KINDS = (
    ("Küchenwaage", "kitchen"),
    ("Café-Kanne", "kitchen"),
    ("Piñata", "party"),
    ("Crème brûlée Set", "kitchen"),
    ("Fußmatte", "home"),
    ("Lamp, small", "home"),
    ("Desk, oak", "office"),
    ('Monitor 24" curved', "office"),
    ("Chair", "office"),
    ("Notebook", "office"),
    ("Señorita Doll", "toys"),
    ("Puzzle 1000", "toys"),
    ("Räucherkerze", "home"),
    ("Headphones", "audio"),
    ("Speaker", "audio"),
    ("Tent", "outdoor"),
)
_CHANGES_PER_DAY = 0.01


def quoted(value: str) -> str:
    """A CSV field with commas, quotes in quotes."""
    if "," in value or '"' in value:
        return '"' + value.replace('"', '""') + '"'
    return value


class Catalogue:
    """Every product with its price of today, in cents and as text."""

    def __init__(self, seed: int, orders: int, dates: list[str]) -> None:
        rng = Random(f"{seed}:catalogue")
        count = min(5000, max(20, orders // 200))
        self._dates = dates
        self.loaded = bytearray(count)
        self.ids = [f"P{number + 1:05d}" for number in range(count)]
        self.prices = [_first_price(rng) for _ in range(count)]
        self.texts = [money(price) for price in self.prices]

    def opening(self) -> Iterator[tuple[int, str]]:
        """The row of every product on the first day."""
        for number in range(len(self.ids)):
            yield number, self._line(number, f"{self._dates[0]} 00:00:00")

    def changes(self, day: int, rng: Random) -> Iterator[tuple[int, str]]:
        """New rows of the products whose price changes in the night of the day."""
        expected = len(self.ids) * _CHANGES_PER_DAY
        count = int(expected) + (rng.random() < expected % 1)
        for number in rng.sample(range(len(self.ids)), count):
            price = self.prices[number]
            self.prices[number] = max(100, price * rng.randint(85, 118) // 100)
            self.texts[number] = money(self.prices[number])
            at = f"{self._dates[day]} {minutes()[rng.randrange(60)]}"
            yield number, self._line(number, at)

    def _line(self, number: int, updated_at: str) -> str:
        name, category = _KINDS[number * 7 % len(_KINDS)]
        full = quoted(f"{name} {number // len(_KINDS) + 1}")
        return f"{self.ids[number]},{full},{category},{self.texts[number]},{updated_at}"


def _first_price(rng: Random) -> int:
    """Mostly small prices, now and then one over a thousand."""
    return 100 + int(rng.random() ** 4 * 250_000)
