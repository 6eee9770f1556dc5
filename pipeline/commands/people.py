"""What the commands about users do."""

from __future__ import annotations

import secrets
import sys
from difflib import get_close_matches
from typing import Any

from pipeline import show
from pipeline.clock import Clock
from pipeline.errors import UsageError
from pipeline.feed.users import UserFile
from pipeline.project.project import ProjectFile
from pipeline.project.role import BUILT_IN
from pipeline.settings import Settings


def add(file: ProjectFile, settings: Settings, name: str, role: str, *, from_stdin: bool) -> None:
    """Add or change a user. Raises UsageError for a role that there is not, and for a bad name or password."""
    known = (*BUILT_IN, *file.roles)
    if role not in known:
        near = get_close_matches(role, known, 1, 0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise UsageError(f"there is no role {role!r}", where="user add", do=advice)
    password = sys.stdin.readline().rstrip("\r\n") if from_stdin else secrets.token_urlsafe(18)
    new = UserFile(settings.secrets).add(name, role, password, Clock().now())
    _say(f"{name} {'may now read' if new else 'has a new password, and reads'} as {role}.")
    if not from_stdin:
        _say(f"The password, shown this once: {password}")


def list_users(settings: Settings, *, json_out: bool) -> None:
    """Names, roles and tokens; never a hash."""
    held, now = UserFile(settings.secrets).read(), Clock().now()
    live = [token for token in held.tokens.values() if token.is_live(now)]
    facts: list[dict[str, Any]] = [
        {
            "user": user.name,
            "role": user.role,
            "since": user.created_at[:10],
            "tokens": [{"id": one.id, "until": one.expires_at[:10]} for one in live if one.user == user.name],
        }
        for user in held.users.values()
    ]
    if json_out:
        show.print_json(facts)
        return
    tokens = [", ".join(f"{one['id']} until {one['until']}" for one in row["tokens"]) for row in facts]
    rows = [[row["user"], row["role"], row["since"], text] for row, text in zip(facts, tokens, strict=True)]
    show.out().print(show.table(None, ("user", "role", "since", "tokens"), rows))


def remove(settings: Settings, name: str) -> None:
    """Raises UsageError when there is no such user."""
    UserFile(settings.secrets).remove(name)
    _say(f"{name} may read no more.")


def token(settings: Settings, name: str, days: float, revoke: str | None) -> None:
    """Make or revoke a token. Raises UsageError."""
    if revoke is not None:
        UserFile(settings.secrets).revoke(name, revoke)
        _say(f"The token {revoke} is worthless now.")
        return
    if not 0 < days <= 3660:
        raise UsageError(f"{days:g} days is no time a token can last", where="user token", do="take 1 to 3660")
    print(UserFile(settings.secrets).give_token(name, days, Clock().now()))


def _say(text: str) -> None:
    show.out().print(text, markup=False, highlight=False)
