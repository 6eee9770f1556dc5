"""secrets/users.json: who may read, with which role; passwords and tokens only as hashes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.feed.passwords import hash_password
from pipeline.published import sync

SHORTEST = 10  # characters of a password
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_PREFIX = "gf"


@dataclass(frozen=True)
class User:
    """Someone who may read; `hash` is argon2's text form."""

    name: str
    role: str
    hash: str
    created_at: str


@dataclass(frozen=True)
class Token:
    """A bearer token: of a user, until `expires_at`; `hash` is SHA-256 of its secret half, which has 256 bits."""

    id: str
    user: str
    hash: str
    created_at: str
    expires_at: str

    def is_live(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return now < datetime.fromisoformat(self.expires_at)


@dataclass(frozen=True)
class Users:
    """The file as read."""

    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)

    def token_user(self, text: str, now: datetime) -> User | None:
        """The user a bearer token stands for; None when it is wrong, expired, revoked or its user is gone."""
        _, _, rest = text.partition("_")
        number, _, secret = rest.partition("_")
        token = self.tokens.get(number)
        same = hmac.compare_digest(_digest(secret), token.hash if token else _digest("no such token"))
        return self.users.get(token.user) if token and same and token.is_live(now) else None


class UserFile:
    """The file, read again when it has changed. Thread-safe."""

    def __init__(self, secrets_folder: Path) -> None:
        self.path = secrets_folder / "users.json"
        self._lock = threading.Lock()
        self._state: tuple[int, int, int] | None = None
        self._users = Users()

    def read(self) -> Users:
        """The users as they are now; none when there is no file."""
        try:
            info = self.path.stat()
        except FileNotFoundError:
            return Users()
        state = (info.st_mtime_ns, info.st_size, info.st_ino)
        with self._lock:
            if state != self._state:
                self._users, self._state = _read(self.path), state
            return self._users

    def add(self, name: str, role: str, password: str, now: datetime) -> bool:
        """Add a user, or give one another role and password. Returns whether it is new. Raises UsageError."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no user name", where="user add", do="use letters, digits and . _ @ -, at most 64"
            )
        if len(password) < SHORTEST:
            raise UsageError(f"the password has fewer than {SHORTEST} characters", where="user add", do="take longer")
        user = User(name, role, hash_password(password), now.isoformat())
        with self._writing() as users:
            new = name not in users.users
            users.users[name] = user
        return new

    def remove(self, name: str) -> None:
        """Remove a user and their tokens. Raises UsageError when there is none."""
        with self._writing() as users:
            if users.users.pop(name, None) is None:
                raise _no_user(name)
            for token in [token for token in users.tokens.values() if token.user == name]:
                del users.tokens[token.id]

    def give_token(self, name: str, days: float, now: datetime) -> str:
        """A new bearer token of a user; this text is the only copy. Raises UsageError when there is no such user."""
        number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._writing() as users:
            if name not in users.users:
                raise _no_user(name)
            for old in [token.id for token in users.tokens.values() if not token.is_live(now)]:
                del users.tokens[old]
            until = (now + timedelta(days=days)).isoformat()
            users.tokens[number] = Token(number, name, _digest(secret), now.isoformat(), until)
        return f"{_PREFIX}_{number}_{secret}"

    def revoke(self, name: str, number: str) -> None:
        """Make a token worthless. Raises UsageError when the user has no such token."""
        with self._writing() as users:
            token = users.tokens.get(number)
            if token is None or token.user != name:
                raise UsageError(f"{name} has no token {number}", where="user token", do="`goldfeed user list`")
            del users.tokens[number]

    @contextmanager
    def _writing(self) -> Iterator[Users]:
        """The users, to be changed; written when the block ends well. One writer at a time, over all processes."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.path.with_name(".users.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self.read()
            users = replace(held, users=dict(held.users), tokens=dict(held.tokens))
            yield users
            _write(self.path, users)


def write_secret(path: Path, text: str) -> None:
    """A file of mode 0600, there whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync(path.parent)


def first_users(file: UserFile, now: datetime) -> dict[str, str]:
    """On the first start: `admin` and `powerbi` with random passwords. Returns these, else nothing.

    They are also in secrets/<name>.password, readable by the owner alone.
    """
    if file.path.exists():
        return {}
    made = {"admin": "admin", "powerbi": "reader"}
    passwords = {name: secrets.token_urlsafe(18) for name in made}
    file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, password in passwords.items():
        write_secret(file.path.with_name(f"{name}.password"), password + "\n")
    with file._writing() as users:
        for name, role in made.items():
            users.users[name] = User(name, role, hash_password(passwords[name]), now.isoformat())
    return passwords


def _read(path: Path) -> Users:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        users = {name: User(**entry) for name, entry in held["users"].items()}
        return Users(users, {number: Token(**entry) for number, entry in held["tokens"].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "the file of users is damaged", where=str(path), do="put back a copy, or remove it to begin anew"
        ) from error


def _write(path: Path, users: Users) -> None:
    held = {
        "users": {name: asdict(user) for name, user in users.users.items()},
        "tokens": {number: asdict(token) for number, token in users.tokens.items()},
    }
    write_secret(path, json.dumps(held, indent=1) + "\n")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _no_user(name: str) -> UsageError:
    return UsageError(f"there is no user {name!r}", where="user", do="`goldfeed user list` shows them")
