"""The customers: compact arrays, their rows, their sign-ups and moves."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from random import Random

from pipeline.demo import people
from pipeline.demo.times import DAY_SECONDS, clock, minutes

_MOVES_PER_DAY = 0.002


class Crowd:
    """All customers so far, numbered from 0; rows are made when they are written."""

    def __init__(self, seed: int, dates: list[str]) -> None:
        self.last_order = array("i")
        self.loaded = bytearray()
        self._salt = Random(f"{seed}:crowd").getrandbits(32)
        self._dates = dates
        self._signed_up = array("q")
        self._city = array("B")
        self._segment = array("B")

    def __len__(self) -> int:
        return len(self.last_order)

    def sign_up(self, day: int, second: int, roll: float) -> str:
        """Add a customer who signed up then; their first row."""
        self.last_order.append(-1)
        self.loaded.append(0)
        self._signed_up.append(day * DAY_SECONDS + second)
        self._city.append(int(roll * len(people.CITIES)))
        self._segment.append(int(roll * 977) % len(people.SEGMENTS))
        number = len(self.last_order) - 1
        return self._line(number, f"{self._dates[day]} {clock()[second]}")

    def moves(self, day: int, rng: Random, settled: int) -> Iterator[tuple[int, str]]:
        """New rows of some of the first `settled` customers, each at most once."""
        expected = settled * _MOVES_PER_DAY
        count = int(expected) + (rng.random() < expected % 1)
        for number in rng.sample(range(settled), count):
            self._move(number, rng)
            at = f"{self._dates[day]} {rng.choice(minutes())}"
            yield number, self._line(number, at)

    def _move(self, number: int, rng: Random) -> None:
        if rng.random() < 0.7:
            step = rng.randrange(1, len(people.CITIES))
            self._city[number] = (self._city[number] + step) % len(people.CITIES)
        else:
            step = rng.randrange(1, len(people.SEGMENTS))
            self._segment[number] = (self._segment[number] + step) % len(people.SEGMENTS)

    def _line(self, number: int, updated_at: str) -> str:
        mixed = (number * 2_654_435_761 + self._salt) & 0xFFFFFFFF
        first = (mixed >> 7) % len(people.FIRST_NAMES)
        last = (mixed >> 15) % len(people.LAST_NAMES)
        city, country = people.CITIES[self._city[number]]
        day, second = divmod(self._signed_up[number], DAY_SECONDS)
        return (
            f"C{number + 1:06d},{people.FIRST_NAMES[first]},{people.LAST_NAMES[last]},"
            f"{people.FIRST_MAIL[first]}.{people.LAST_MAIL[last]}.{number + 1}"
            f"@example.com,{city},{country},{people.SEGMENTS[self._segment[number]]},"
            f"{self._dates[day]} {clock()[second]},{updated_at}"
        )
