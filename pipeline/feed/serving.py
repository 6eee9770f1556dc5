"""The one HTTP application on uvicorn, in a thread: beside the service, or alone for tests and benches."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.clock import Clock
from pipeline.errors import UsageError
from pipeline.feed.access import Access, Gate
from pipeline.feed.app import Feed, build_app
from pipeline.feed.audit import Audit
from pipeline.feed.exports import Exports, give_way
from pipeline.feed.files import Files
from pipeline.feed.guard import Guard, Rates, is_local
from pipeline.feed.library import Library
from pipeline.feed.odata.routes import routes as odata_routes
from pipeline.feed.passwords import Passwords
from pipeline.feed.protocol import options
from pipeline.feed.users import UserFile, first_users
from pipeline.feed.watch import Counters, NoCounters, Watch
from pipeline.feed.work import Limits, Work
from pipeline.project.role import RoleFile
from pipeline.settings import Settings, bytes_of

Health = Callable[[], tuple[bool, dict[str, Any]]]
# a reader who never stops slows a run by 44% at 0, 27% at 7 and 18% at 10; a page beside a run takes 65, 141, 206 ms (p95)
_NICE = 7


@dataclass(frozen=True)
class Parts:
    """What the feed is given by those who start it.

    Args:
        roles: the declared roles as they are now; the project may be read again while it serves.
        live, well, ready: what /health/live, /health and /health/ready answer: whether it is so, and the body.
        more: routes of other rooms, behind the same login.
    """

    roles: Callable[[], Mapping[str, RoleFile]] = dict
    live: Health = lambda: (True, {"status": "alive"})
    well: Health = lambda: (True, {"status": "well"})
    ready: Health = lambda: (True, {"status": "ready"})
    more: Iterable[BaseRoute] = ()
    counters: Counters = field(default_factory=NoCounters)
    clock: Clock = field(default_factory=Clock)


def make_app(settings: Settings, parts: Parts, log: Any) -> Watch:
    """Everything that answers: health, files, feed, and around them access, limits and the audit."""
    limits = Limits(seconds=settings.query_seconds, at_once=settings.queries_at_once)
    feed = Feed(settings, Library(settings, parts.counters.found_damaged), Work(limits))
    exports = Exports(settings)
    files = Files(exports, feed.freshness)
    app = build_app(feed, [*_health(parts), *odata_routes(), *files.routes(), *parts.more])
    clock = parts.clock
    gate = Gate(
        UserFile(settings.secrets),
        parts.roles,
        clock,
        Passwords(clock.seconds),
        Guard(clock.seconds),
        Rates(settings.requests_per_minute, clock.seconds),
        settings.allow_plain_http,
    )
    keep = bytes_of(settings.audit_bytes)
    reads, refusals = Audit(settings.audit, "reads", keep), Audit(settings.audit, "refusals", keep // 4)
    return Watch(Access(app, gate, feed.library), log, clock, reads, refusals, parts.counters, exports.close)


def _health(parts: Parts) -> list[BaseRoute]:
    def answer(health: Health) -> Callable[[Request], Response]:
        def one(_: Request) -> Response:
            good, body = health()
            return JSONResponse(body, 200 if good else 503)

        return one

    answers = {"/health": parts.well, "/health/live": parts.live, "/health/ready": parts.ready}
    return [Route(path, answer(health)) for path, health in answers.items()]


class Server:
    """uvicorn in a thread. Raises UsageError when the port or the certificate cannot be had."""

    def __init__(self, settings: Settings, parts: Parts, log: Any) -> None:
        self._socket = _bound(settings)
        self._app = make_app(settings, parts, log)
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_graceful_shutdown=3,
            **options(),
            **_tls(settings),
        )
        _quiet()
        _announce(settings, log)
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                "the certificate or its key cannot be read", where=settings.tls_certificate, do="check both files"
            ) from error
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port in force, also when 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """No new requests; those under way have three seconds."""
        self._uvicorn.should_exit = True
        self._app.at_end()
        self._thread.join(6)
        self._socket.close()

    def _run(self) -> None:
        give_way(_NICE)
        self._uvicorn.run(sockets=[self._socket])


def start(settings: Settings, parts: Parts, log: Any) -> Server:
    """Make the first users if there are none, then serve."""
    for name, password in first_users(UserFile(settings.secrets), parts.clock.now()).items():
        kept = str(settings.secrets / f"{name}.password")
        log.warning("a user was made; its password is shown this once", user=name, password=password, kept=kept)
    server = Server(settings, parts, log)
    server.start()
    return server


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        made = socket.create_server((settings.http_host, settings.http_port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(
            f"the port {settings.http_port} on {settings.http_host} cannot be had: {error.strerror}",
            where="serve",
            do="set GOLDFEED_HTTP_PORT",
        ) from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio leaves it off here: 40 ms an answer
    return made


def _tls(settings: Settings) -> dict[str, Any]:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise UsageError("tls_certificate and tls_key go together", where="settings", do="set both or neither")
    if not settings.tls_certificate:
        return {}
    return {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}


def _announce(settings: Settings, log: Any) -> None:
    if settings.tls_certificate or is_local(settings.http_host):
        return
    if settings.allow_plain_http:
        log.warning("passwords cross the network unencrypted", setting="allow_plain_http", host=settings.http_host)
    else:
        log.warning("other machines are refused until TLS is set", setting="tls_certificate", host=settings.http_host)


def _quiet() -> None:
    """uvicorn's own log could hold a path, and with it a value: Watch tells what goes wrong."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False
