"""One request: whose it is, which version it is about, what it wants."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from pipeline.clock import utc_now
from pipeline.feed.app import Feed, seen
from pipeline.feed.catalog import Catalog
from pipeline.feed.odata.address import segments_of
from pipeline.feed.odata.model import Model, model_of
from pipeline.feed.odata.negotiation import check_versions, encoding
from pipeline.feed.odata.options import Query, query_of
from pipeline.feed.odata.own import FEED, FRESHNESS, own_entities, own_rows
from pipeline.feed.odata.refusals import absent, wrong
from pipeline.feed.odata.scope import Context
from pipeline.feed.odata.skiptoken import version_in
from pipeline.feed.snapshot import Snapshot

ROOT = "/odata/v4/"
_MODELS: dict[str, Model] = {}  # by the sight of readers: a millisecond for a shop of 13 tables
_MOST = 100


@dataclass(frozen=True)
class Ask:
    """`segments`: the decoded path behind the root. `root`: the address all links begin with, with the pin if there is one."""

    request: Request
    root: str
    path: str
    segments: tuple[str, ...]
    query: Query
    snapshot: Snapshot
    catalog: Catalog
    now: datetime
    own: tuple[str, str] = ("[]", "[]")

    async def informed(self) -> Ask:
        """With the rows of the feed's own tables, where they are asked for."""
        if not self.about_feed:
            return self
        rows = await run_in_threadpool(own_rows, self.feed.freshness, self.snapshot, self.catalog)
        return replace(self, own=rows)

    @property
    def set_name(self) -> str:
        """The entity set that the path begins with."""
        return self.segments[0].partition("(")[0]

    @property
    def about_feed(self) -> bool:
        """Whether it is about the feed's own tables, which change without a new version."""
        return bool(self.segments) and self.segments[0].startswith((FEED, FRESHNESS))

    @property
    def feed(self) -> Feed:
        feed: Feed = self.request.app.state.feed
        return feed

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @cached_property
    def model(self) -> Model:
        found = _MODELS.get(self.sight)
        if found is None:
            found = model_of(self.catalog)
            found = replace(found, entities={**found.entities, **own_entities()})
            if len(_MODELS) >= _MOST:
                _MODELS.clear()
            _MODELS[self.sight] = found
        return found

    @cached_property
    def sight(self) -> str:
        """What this reader may see of this version, as a short text."""
        return hashlib.sha256(repr(self.catalog).encode("utf-8", "replace")).hexdigest()[:32]

    def context(self) -> Context:
        """For a new statement."""
        return Context(self.model, self.now, [*self.own])

    @property
    def etag(self) -> str | None:
        """Changes with the version, the reader's sight and all that was asked; None where the time matters."""
        if self.about_feed or any("now" in text for text in self.query.given.values()):
            return None
        asked = [self.headers.get(name, "") for name in ("accept", "prefer", "odata-maxversion")]
        whole = repr((self.snapshot.version, self.sight, self.root, self.path, self.request.url.query, asked))
        return f'W/"{hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:24]}"'

    def standing(self) -> dict[str, str]:
        """The headers of every answer about a version."""
        found = {
            "OData-Version": "4.0",
            "Goldfeed-Version": self.snapshot.version,
            "Cache-Control": "private, no-cache",
            "Vary": "Accept, Accept-Encoding, Authorization, Prefer, OData-MaxVersion",
        }
        return found | ({"ETag": self.etag} if self.etag else {})

    def unchanged(self) -> bool:
        """Whether If-None-Match names this answer."""
        asked = self.headers.get("if-none-match", "")
        return bool(self.etag and asked) and (
            asked.strip() == "*" or any(self.etag == part.strip() for part in asked.split(","))
        )

    def check_only(self, *names: str) -> None:
        """Raises RequestError (400) for query options that make no sense here."""
        for name in self.query.given:
            if name not in (*names, "format"):
                raise wrong(f"${name} makes no sense at this address")

    def encoding(self) -> str:
        return encoding(self.headers)

    def following(self, token: str) -> str:
        """The address of the next page: this one, with the token."""
        options = {f"${name}": text for name, text in self.query.given.items() if name not in ("skiptoken", "skip")}
        pairs = {**options, **self.query.aliases, "$skiptoken": token}
        return f"{self.root}{self.path}?{urlencode(pairs, quote_via=quote, safe='$@(),:*/' + chr(39))}"

    @property
    def belongs(self) -> str:
        """What a token of this address is good for."""
        options = {name: text for name, text in self.query.given.items() if name not in ("skiptoken", "skip", "format")}
        return repr((self.path, sorted(options.items()), sorted(self.query.aliases.items()), self.sight))


def ask_of(request: Request) -> Ask:
    """Reads a request. Raises RequestError: 400 for what is wrong, 410 for a version that is gone, 501, 503."""
    check_versions(request.headers)
    raw = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = raw.decode("ascii", "replace").partition("?")[0]
    behind = path.partition(ROOT.rstrip("/"))[2].lstrip("/")
    query = query_of(request.scope.get("query_string", b"").decode("ascii", "replace"))
    pin, behind = _pinned(behind)
    told = version_in(query.given["skiptoken"]) if "skiptoken" in query.given else None
    if pin and told and told != pin:
        raise wrong("$skiptoken is of another version than the address")
    snapshot, catalog = seen(request, pin or told)
    root = f"{request.url.scheme}://{_host(request)}{ROOT}" + (f"@{pin}/" if pin else "")
    return Ask(request, root, behind, tuple(segments_of(behind)), query, snapshot, catalog, utc_now())


def _pinned(path: str) -> tuple[str | None, str]:
    first, _, rest = path.partition("/")
    first = first.replace("%40", "@")
    if not first.startswith("@"):
        return None, path
    if not re.fullmatch(r"@[0-9]{1,12}", first):
        raise absent("there is no such version")
    return first[1:], rest


def _host(request: Request) -> str:
    """The host as the reader wrote it, if it is one."""
    host = request.headers.get("host", "")
    if host and all(letter.isalnum() or letter in ".-:[]_" for letter in host):
        return host
    return request.url.netloc or "localhost"
