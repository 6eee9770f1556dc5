"""The page that Prometheus scrapes, on a port of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, UsageError
from pipeline.metrics.business import Business
from pipeline.metrics.ledger import LedgerPage
from pipeline.metrics.live import Pulse, Sizes, read_live
from pipeline.metrics.text import Sheet, Starts
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.warehouse.database import Database, files_state

Reading = Callable[[], AbstractContextManager[Database]]


class Exporter:
    """Renders the metrics. The ledger is asked again when it has changed, the rest each time.

    Args:
        project: the project as it is now.
        reading: lends a connection to the warehouse.
        pulse: what the service tells of itself.
        patience: seconds a scrape waits for the ledger; then the last values stand.
        state: what is another value whenever the ledger may be another; by default that of its files.
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
        state: Callable[[], object] | None = None,
    ) -> None:
        self._patience = patience
        self._project, self._reading, self._pulse, self._log = project, reading, pulse, log
        self._warehouse_state = state or (lambda: files_state(project().settings.warehouse))
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._shown: tuple[object, ...] = ()  # the state whose ledger is shown
        self._page: LedgerPage | None = None
        self._ledger = b""
        self._reader: threading.Thread | None = None
        self._sizes, self._business = Sizes(clock.seconds), Business(log)
        self._starts = Starts()
        self._errors: Counter[str] = Counter(ledger=0, live=0)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def page(self) -> bytes:
        """The exposition, as text of format 0.0.4."""
        with self._lock:
            project = self._project()
            return b"".join((self._ledger_part(project), self._live_part(project), generate_latest(self._process)))

    def closing(self, database: Database, state: object) -> None:
        """The warehouse is about to be closed: a last look, so that no scrape has to open it. `state`: its state then."""
        project = self._project()
        if self._shown != self._state(project):
            self._ask(database, project)
        if self._shown == self._state(project):
            self._shown = (state, *self._shown[1:])

    # ---------------------------------------------------------------- the ledger
    def _state(self, project: Project) -> tuple[object, ...]:
        return self._warehouse_state(), current(project.settings.published), id(project)

    def _ledger_part(self, project: Project) -> bytes:
        if self._shown == self._state(project) or not project.settings.warehouse.exists():
            return self._ledger
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=self._read, args=(project,), daemon=True)
            self._reader.start()
        self._reader.join(self._patience)
        return self._ledger

    def _read(self, project: Project) -> None:
        try:
            with self._reading() as database:
                self._ask(database, project)
        except GoldfeedError as error:
            self._failed(error)

    def _ask(self, database: Database, project: Project) -> None:
        """Ask the ledger. What is committed meanwhile may be missing, so the state is that of before."""
        with self._asking:
            state = self._state(project)
            if self._page is None or self._page.project is not project:
                self._page = LedgerPage(project)
            try:
                self._ledger = self._page.text(database).encode()
            except GoldfeedError as error:
                self._failed(error)
            else:
                self._shown = state

    def _failed(self, error: GoldfeedError) -> None:
        self._errors["ledger"] += 1
        self._log.warning("the ledger could not be read for the metrics", reason=error.sentence())

    # ---------------------------------------------------------------- the rest
    def _live_part(self, project: Project) -> bytes:
        sheet = Sheet(self._starts)
        try:
            read_live(project, self._pulse, self._sizes, sheet)
        except (OSError, ValueError) as error:
            self._errors["live"] += 1
            self._log.warning("a part of the metrics could not be read", reason=str(error))
        for part, many in sorted(self._errors.items()):
            sheet.add("scrape_errors_total", many, part)
        return (sheet.text() + self._business.text(project)).encode()

    def settle(self) -> None:
        """Wait until what is being read is there."""
        if self._reader is not None:
            self._reader.join(30)
        self._business.wait()


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
