"""Who asks: HTTP Basic and bearer tokens, before any route. What the reader's role sees is set for the routes behind."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.clock import Clock
from pipeline.errors import RequestError
from pipeline.feed.answers import error_answer
from pipeline.feed.guard import Guard, Rates, is_local
from pipeline.feed.library import Library
from pipeline.feed.passwords import Passwords
from pipeline.feed.roles import role_of
from pipeline.feed.users import User, UserFile, Users
from pipeline.project.role import RoleFile

OPEN = ("/health", "/health/live", "/health/ready")  # paths without a login
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="goldfeed", charset="UTF-8"'}


class Refused(Exception):
    """An answer instead of the route's. Never leaves this module."""

    def __init__(self, error: RequestError, headers: Mapping[str, str], known: str | None = None) -> None:
        self.error, self.headers, self.known = error, headers, known
        super().__init__(error.what)


@dataclass
class Gate:
    """Everything that is asked before a request is let in.

    Args:
        roles: the roles declared at this moment.
        allow_plain: whether a password may come unencrypted from another machine.
    """

    users: UserFile
    roles: Callable[[], Mapping[str, RoleFile]]
    clock: Clock
    passwords: Passwords
    guard: Guard
    rates: Rates
    allow_plain: bool

    def __post_init__(self) -> None:
        self._hashing: anyio.CapacityLimiter | None = None

    async def admit(self, scope: Scope) -> User:
        """The user who asks. Raises Refused."""
        address = scope["client"][0] if scope.get("client") else ""
        if scope["scheme"] != "https" and not self.allow_plain and not is_local(address):
            raise Refused(_plain(), {})
        kind, _, rest = _header(scope, b"authorization").partition(" ")
        users = self.users.read()
        if kind.lower() == "bearer":
            user = self._by_token(users, rest.strip())
        else:
            user = await self._by_password(users, *_basic(rest if kind.lower() == "basic" else ""), address)
        wait = self.rates.take(user.name)
        if wait:
            raise Refused(_too_many("you ask too often"), _later(wait), user.name)
        return user

    def _by_token(self, users: Users, text: str) -> User:
        """Tokens have 256 bits, nobody guesses one: a wrong one locks nothing, and a right one is let in from a locked address."""
        user = users.token_user(text, self.clock.now())
        if user is None:
            raise Refused(_unknown(), _CHALLENGE)
        return user

    async def _by_password(self, users: Users, name: str, password: str, address: str) -> User:
        if not name and not password:
            raise Refused(_unknown(), _CHALLENGE)
        user = users.users.get(name)
        self._not_locked(name, address)
        stored = user.hash if user else None
        if not self.passwords.remembers(stored, password):
            async with self._slot():
                self._not_locked(name, address)  # others may have failed while this one waited
                right = await run_sync(partial(self.passwords.check, stored, password))
                if not right:
                    self.guard.failed(name, address)
            if not right:
                raise Refused(_unknown(), _CHALLENGE, user.name if user else None)
        self.guard.succeeded(name, address)
        assert user is not None
        return user

    def _slot(self) -> anyio.CapacityLimiter:
        """Two hashes at a time: they cost 50 ms of a core and 20 MB each."""
        if self._hashing is None:
            self._hashing = anyio.CapacityLimiter(2)
        return self._hashing

    def _not_locked(self, name: str, address: str) -> None:
        wait = self.guard.locked(name, address)
        if wait:
            raise Refused(_too_many("there were too many wrong passwords from this address"), _later(wait))


class Access:
    """The middleware: `request.state.user` and `request.state.role` are set, or the request ends here."""

    def __init__(self, app: ASGIApp, gate: Gate, library: Library) -> None:
        self.app, self.gate, self.library = app, gate, library

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        try:
            user = await self.gate.admit(scope)
            state["user"], state["role_name"] = user.name, user.role
            state["role"] = role_of(user.role, user.name, self.gate.roles())
        except (Refused, RequestError) as refused:
            answer = error_answer(refused.error if isinstance(refused, Refused) else refused)
            if isinstance(refused, Refused):
                answer.headers.update(refused.headers)
                state.setdefault("user", refused.known)
            await answer(scope, receive, send)
            return
        await self._open_version()
        await self.app(scope, receive, send)

    async def _open_version(self) -> None:
        """A version that nobody has read yet is verified in a thread, so that others are answered meanwhile."""
        if not self.library.is_ready():
            with suppress(RequestError):  # the route will say it
                await run_sync(self.library.current)


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _basic(text: str) -> tuple[str, str]:
    """Name and password of an Authorization header; both empty when it cannot be read."""
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return (name, password) if colon else ("", "")


def _later(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(seconds + 0.5)))}


def _unknown() -> RequestError:
    """One answer for every way not to be known: no word on which it was."""
    return RequestError(
        "a user name and a password, or a token, are needed and must be right",
        status=401,
        code="Unauthorized",
        do="see docs/feed.md",
    )


def _too_many(what: str) -> RequestError:
    return RequestError(what, status=429, code="TooManyRequests", do="wait as long as Retry-After says")


def _plain() -> RequestError:
    return RequestError(
        "passwords are not taken over plain HTTP from another machine",
        status=403,
        code="HttpsRequired",
        do="use https, or set allow_plain_http: see docs/feed.md",
    )
