"""Where the next page begins: version, first key, and what is left of $top. Checked when it comes back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from pipeline.errors import RequestError
from pipeline.feed.odata.refusals import wrong

_LONGEST = 20_000


@dataclass(frozen=True)
class Token:
    """`first`: the values by which the next page's first row is sorted, as texts. `left`: rows that $top still allows."""

    version: str
    first: tuple[str | None, ...]
    left: int | None = None


def written(token: Token, belongs: str) -> str:
    """The token as text for an address. `belongs`: what it is good for (table, options, what the reader may see)."""
    content = json.dumps([token.version, list(token.first), token.left], separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(_digest(content, belongs) + content.encode()).decode().rstrip("=")


def version_in(text: str) -> str:
    """The version a token names, before the rest of it can be checked. Raises RequestError (400)."""
    return _read(text)[1].version


def read(text: str, belongs: str) -> Token:
    """The token. Raises RequestError (400) for one that was changed, or made for another address or reader."""
    content, token, digest = _read(text)
    if digest != _digest(content, belongs):
        raise _foreign()
    return token


def _read(text: str) -> tuple[str, Token, bytes]:
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        content = whole[16:].decode("ascii")
        version, first, left = json.loads(content)
        if not (isinstance(version, str) and re.fullmatch("[0-9]{1,12}", version) and isinstance(first, list)):
            raise ValueError("not a token")
        if not all(isinstance(item, str | None) for item in first) or type(left) not in (int, type(None)):
            raise ValueError("not a token")
        return content, Token(version, tuple(first), left), whole[:16]
    except (ValueError, TypeError, RecursionError) as error:
        raise _foreign() from error


def _digest(content: str, belongs: str) -> bytes:
    return hashlib.sha256(f"{content}\n{belongs}".encode("utf-8", "surrogatepass")).digest()[:16]


def _foreign() -> RequestError:
    return wrong("$skiptoken does not belong to this address", "follow the @odata.nextLink as it came")
