"""Passwords: argon2id, sized so that one try costs about 50 ms; what was right lately is known by a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_HASHER = PasswordHasher(time_cost=3, memory_cost=19_456, parallelism=1)  # KiB: at most two at a time, so 40 MB
_REMEMBERED = 1024
_SECONDS = 120.0


def hash_password(password: str) -> str:
    """argon2's text form, with its own salt."""
    return _HASHER.hash(password)


@cache
def _nobody() -> str:
    """A hash that no password fits, to be tried for names that nobody has."""
    return hash_password(secrets.token_urlsafe(32))


class Passwords:
    """Checks passwords. A wrong one, or a name that nobody has, costs a whole hash; a right one costs it every two minutes.

    Args:
        seconds: a monotonic clock.
        verify: (hash, password) -> whether it is right; tests count its calls.
    """

    def __init__(self, seconds: Callable[[], float], verify: Callable[[str, str], bool] | None = None) -> None:
        self._seconds = seconds
        self._verify = verify or verify_password
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: OrderedDict[bytes, float] = OrderedDict()
        _nobody()  # made now, so that the first unknown name takes no longer than others

    def remembers(self, stored: str | None, password: str) -> bool:
        """Whether this password was found right for this hash lately; costs next to nothing."""
        if stored is None:
            return False
        with self._lock:
            until = self._right.get(self._mark(stored, password))
        return until is not None and self._seconds() < until

    def check(self, stored: str | None, password: str) -> bool:
        """Whether it is right. Without a stored hash as slow as a wrong password."""
        right = self._verify(stored or _nobody(), password) and stored is not None
        if right and stored is not None:
            with self._lock:
                self._right[self._mark(stored, password)] = self._seconds() + _SECONDS
                while len(self._right) > _REMEMBERED:
                    self._right.popitem(last=False)
        return right

    def _mark(self, stored: str, password: str) -> bytes:
        return hmac.new(self._key, f"{stored}\0{password}".encode(), hashlib.sha256).digest()


def verify_password(stored: str, password: str) -> bool:
    """argon2's own answer, as yes or no."""
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
