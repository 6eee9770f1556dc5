"""`goldfeed serve`: the service with its signals, its health page and the demo shop's daily drops."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipeline.commands.runs import run as run_once
from pipeline.demo.drip import Drip
from pipeline.errors import UsageError
from pipeline.feed.counters import FeedCounters
from pipeline.log import logger
from pipeline.metrics.exporter import Exporter, metrics_server
from pipeline.metrics.live import Pulse
from pipeline.notify import Message, address_of, send
from pipeline.project.project import Project
from pipeline.runner import Order
from pipeline.service import Service
from pipeline.show import out
from pipeline.warehouse.database import open_database

_STALE = 60.0  # seconds without a turn, and without a run, after which the loop counts as dead


def serve(load: Callable[[], Project]) -> None:
    """Run until SIGTERM or SIGINT. SIGHUP, or an edit, has the project read again."""
    log = logger()
    service = Service(load, log)
    settings = service.project.settings
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.end())
    signal.signal(signal.SIGHUP, lambda *_: service.reread())
    settings.home.mkdir(parents=True, exist_ok=True)
    server = health_server(service, settings.http_host, settings.http_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scraped = metrics_server(_exporter(service, FeedCounters()), settings.http_host, settings.metrics_port)
    threading.Thread(target=scraped.serve_forever, daemon=True).start()
    if os.environ.get("GOLDFEED_DEMO", "0") not in ("", "0"):
        threading.Thread(target=Drip(settings.home).run, args=(service.stop,), daemon=True).start()
    log.info(
        "serving",
        flows=sorted(service.project.flows),
        host=settings.http_host,
        port=server.server_port,
        metrics=scraped.server_port,
    )
    try:
        service.serve()
    finally:
        server.shutdown()
        scraped.shutdown()
        log.info("stopped")


def _exporter(service: Service, counters: FeedCounters) -> Exporter:
    pulse = Pulse(
        next_runs=service.next_runs,
        turned=service.turned,
        notifications=service.notifier.tally,
        memory=service.memory,
        feed=counters,
    )
    return Exporter(lambda: service.project, service.reading, pulse, service.clock, service.log)


def health_server(service: Service, host: str, port: int) -> ThreadingHTTPServer:
    """/health/live and /health/ready, as JSON. Raises UsageError when the port cannot be had."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one question."""
            alive = service.running is not None or service.clock.seconds() - service.alive_at < _STALE
            if self.path == "/health/live":
                self._answer(200 if alive else 503, {"status": "alive" if alive else "the loop has stopped"})
            elif self.path == "/health/ready":
                good, word = service.ready()
                self._answer(200 if good and alive else 503, {"status": word, "running": service.running})
            else:
                self._answer(404, {"error": "there is no such page", "do": "try /health/live or /health/ready"})

        def _answer(self, code: int, body: dict[str, object]) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a health check every ten seconds is no news."""

    try:
        return ThreadingHTTPServer((host, port), Health)
    except OSError as error:
        raise UsageError(
            f"the port {port} on {host} cannot be had: {error.strerror}", where="serve", do="set GOLDFEED_HTTP_PORT"
        ) from error


def retry(project: Project, run_id: int, *, quiet: bool, json_out: bool) -> bool:
    """Run again what failed in a run, and what was skipped for it. Returns whether it went well."""
    names = _unfinished(project, run_id)
    return run_once(project, Order(select=tuple(names)), quiet=quiet, json_out=json_out)


def _unfinished(project: Project, run_id: int) -> list[str]:
    if not Path(project.settings.warehouse).exists():
        raise UsageError(f"there is no run {run_id}", where="retry", do="`goldfeed history` lists them")
    database = open_database(project.settings, read_only=True)
    try:
        status = database.value("SELECT status FROM ledger.runs WHERE run_id = ?", [run_id])
        rows = database.rows(
            "SELECT DISTINCT table_name FROM ledger.tasks WHERE run_id = ? AND status IN ('failed', 'skipped')",
            [run_id],
        )
    finally:
        database.close()
    if status is None:
        raise UsageError(f"there is no run {run_id}", where="retry", do="`goldfeed history` lists them")
    names = sorted({name for (name,) in rows} & {*project.graph.sources, *project.graph.models})
    if status not in ("failed", "interrupted") or (status == "failed" and not names):
        raise UsageError(
            f"run {run_id} {status}: there is nothing to do again",
            where="retry",
            do="`goldfeed history` lists the runs",
        )
    return names or [*project.graph.order]


def notify_test(project: Project) -> bool:
    """Send a test message to every channel and say which took it. Returns whether all did."""
    if not project.channels:
        raise UsageError(
            "there is no channel under notify:", where=str(project.folder / "goldfeed.yml"), do="see docs/service.md"
        )
    message = Message("test", "goldfeed: a test message", f"The channels of {project.flow} work.")
    good = True
    for name, channel in project.channels.items():
        sent = send(address_of(name, channel, os.environ), message)
        good = good and sent
        out().print(f"{name}: {'sent' if sent else 'not taken; check its address'}", markup=False, highlight=False)
    return good
