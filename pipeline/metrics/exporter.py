"""The page that Prometheus scrapes, on a port of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, UsageError
from pipeline.metrics.business import Business
from pipeline.metrics.families import Sheet
from pipeline.metrics.ledger import read_ledger
from pipeline.metrics.live import Pulse, Sizes, read_live
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.settings import Settings
from pipeline.warehouse.database import Database

Reading = Callable[[], AbstractContextManager[Database]]


class Exporter:
    """Renders the metrics. The part of the ledger is rendered anew when its file has changed, the rest each time.

    Args:
        project: the project as it is now.
        reading: lends a connection to the warehouse.
        pulse: what the service tells of itself.
        patience: seconds a scrape waits for the ledger; then the last values stand.
    """

    def __init__(
        self,
        project: Callable[[], Project],
        reading: Reading,
        pulse: Pulse,
        clock: Clock,
        log: Any,
        *,
        patience: float = 3.0,
    ) -> None:
        self._patience = patience
        self._project, self._reading, self._pulse, self._log = project, reading, pulse, log
        self._lock = threading.Lock()
        self._state: object = None
        self._read_for: Project | None = None
        self._ledger = b""
        self._reader: threading.Thread | None = None
        self._sizes, self._business = Sizes(clock.seconds), Business(log)
        self._errors: Counter[str] = Counter(ledger=0, live=0)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def page(self) -> bytes:
        """The exposition, as text of format 0.0.4."""
        with self._lock:
            project = self._project()
            return self._ledger_part(project) + self._live_part(project) + generate_latest(self._process)

    def _ledger_part(self, project: Project) -> bytes:
        state = (_ledger_state(project.settings), current(project.settings.published))
        same = state == self._state and project is self._read_for
        if same or not project.settings.warehouse.exists():
            return self._ledger
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=self._read, args=(project, state), daemon=True)
            self._reader.start()
        self._reader.join(self._patience)
        return self._ledger

    def _read(self, project: Project, state: object) -> None:
        sheet = Sheet()
        try:
            with self._reading() as database:
                read_ledger(database, project, sheet)
        except GoldfeedError as error:
            self._errors["ledger"] += 1
            self._log.warning("the ledger could not be read for the metrics", reason=error.sentence())
        else:
            self._ledger, self._state, self._read_for = _text(sheet), state, project

    def _live_part(self, project: Project) -> bytes:
        sheet = Sheet()
        try:
            read_live(project, self._pulse, self._sizes, sheet)
        except (OSError, ValueError) as error:
            self._errors["live"] += 1
            self._log.warning("a part of the metrics could not be read", reason=str(error))
        for part, many in sorted(self._errors.items()):
            sheet.add("scrape_errors_total", many, part)
        return _text(sheet) + b"".join(_text(_One(family)) for family in self._business.families(project))

    def settle(self) -> None:
        """Wait until what is being read is there."""
        if self._reader is not None:
            self._reader.join(30)
        self._business.wait()


class _One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def _text(collector: Any) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def _ledger_state(settings: Settings) -> tuple[tuple[int, int], ...]:
    """Sizes and times of the warehouse file and of its log: a commit changes one of them."""
    paths = (settings.warehouse, settings.warehouse.with_name(settings.warehouse.name + ".wal"))
    found = []
    for path in paths:
        try:
            info = path.stat()
            found.append((info.st_size, info.st_mtime_ns))
        except FileNotFoundError:
            found.append((0, 0))
    return tuple(found)


def metrics_server(exporter: Exporter, host: str, port: int) -> ThreadingHTTPServer:
    """/metrics on its own port. Raises UsageError when the port cannot be had."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one scrape."""
            known = self.path.partition("?")[0] == "/metrics"
            body = exporter.page() if known else b"there is no such page; try /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4 if known else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a scrape every fifteen seconds is no news."""

    try:
        return ThreadingHTTPServer((host, port), Page)
    except OSError as error:
        raise UsageError(
            f"the port {port} on {host} cannot be had: {error.strerror}", where="serve", do="set GOLDFEED_METRICS_PORT"
        ) from error
