"""Who has failed too often: by name and address, by address, by name; and who asks too fast. All tables are bounded."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW = 900.0  # seconds in which failures count
_LOCK = 60.0  # seconds of the first lock; each next failure doubles it, up to the window
_PAIR, _ADDRESS, _NAME = 5, 30, 100  # failures of a name from an address; of an address; of a name from anywhere
_KEPT = 10_000  # entries of each table


@dataclass
class Failures:
    """Failures of one key since `since`; locked until `until`."""

    count: int = 0
    since: float = 0.0
    until: float = 0.0


class Guard:
    """Counts failed logins. A name is locked for an address, never for all addresses: its owner still gets in.

    A name under attack from everywhere leaves a new address one try instead of five.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._pairs: OrderedDict[str, Failures] = OrderedDict()
        self._addresses: OrderedDict[str, Failures] = OrderedDict()
        self._names: OrderedDict[str, Failures] = OrderedDict()

    def locked(self, name: str, address: str) -> float:
        """Seconds until this address may try this name again; 0 when it may."""
        place, now = network(address), self._seconds()
        with self._lock:
            ends = [self._pairs.get(f"{place} {name}"), self._addresses.get(place)]
            return max(0.0, *(one.until - now for one in ends if one is not None), 0.0)

    def failed(self, name: str, address: str) -> None:
        """Note a failure."""
        place, now = network(address), self._seconds()
        with self._lock:
            of_name = self._count(self._names, name, now)
            allowed = _PAIR if of_name.count <= _NAME else 1
            _punish(self._count(self._pairs, f"{place} {name}", now), allowed, now)
            _punish(self._count(self._addresses, place, now), _ADDRESS, now)

    def succeeded(self, name: str, address: str) -> None:
        """Forget what this name failed from this address."""
        with self._lock:
            self._pairs.pop(f"{network(address)} {name}", None)

    def sizes(self) -> tuple[int, int, int]:
        """Entries held, by table."""
        return len(self._pairs), len(self._addresses), len(self._names)

    def _count(self, table: OrderedDict[str, Failures], key: str, now: float) -> Failures:
        entry = table.setdefault(key, Failures(since=now))
        if now - entry.since > _WINDOW and now >= entry.until:
            entry.count, entry.since = 0, now
        entry.count += 1
        table.move_to_end(key)
        while len(table) > _KEPT:
            table.popitem(last=False)
        return entry


def _punish(entry: Failures, allowed: int, now: float) -> None:
    over = entry.count - allowed
    if over >= 0:
        entry.until = now + min(_LOCK * 2 ** min(over, 10), _WINDOW)


class Rates:
    """So many requests a minute for each reader, a tenth of them at once."""

    def __init__(self, per_minute: int, seconds: Callable[[], float]) -> None:
        self._speed, self._most = per_minute / 60, max(1.0, per_minute / 10)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """0 when the request may go on; else seconds to wait."""
        with self._lock:
            now = self._seconds()
            left, at = self._left.get(name, (self._most, now))
            left = min(self._most, left + (now - at) * self._speed)
            self._left[name] = (left - 1, now) if left >= 1 else (left, now)
            self._left.move_to_end(name)
            while len(self._left) > _KEPT:
                self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._speed


def network(address: str) -> str:
    """The address, of IPv6 its /64: who has one address of it has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_local(address: str) -> bool:
    """Whether a peer is on this very machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
