"""`goldfeed serve`: the service with its signals, the feed and the demo shop's daily drops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.demo.drip import Drip
from pipeline.door import Door
from pipeline.errors import UsageError
from pipeline.feed.counters import FeedCounters
from pipeline.feed.users import UserFile
from pipeline.log import logger
from pipeline.metrics.exporter import Exporter, metrics_server
from pipeline.metrics.live import Pulse
from pipeline.notify import address_of, send
from pipeline.outbox import Message
from pipeline.project.project import Project
from pipeline.service import Service
from pipeline.show import out

if TYPE_CHECKING:
    from pipeline.feed.serving import Parts

_STALE = 60.0  # seconds without a turn, and without a run, after which the loop counts as dead


def serve(load: Callable[[], Project]) -> None:
    """Run until SIGTERM or SIGINT. SIGHUP, or an edit, has the project read again."""
    from pipeline.feed.serving import start

    log = logger()
    service = Service(load, log)
    settings = service.project.settings
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.end())
    signal.signal(signal.SIGHUP, lambda *_: service.reread())
    settings.home.mkdir(parents=True, exist_ok=True)
    door = Door(service)
    door.open()
    counters = FeedCounters()
    server = start(settings, _parts(service, counters), log)
    scraped = metrics_server(_exporter(service, counters), settings.http_host, settings.metrics_port)
    threading.Thread(target=scraped.serve_forever, daemon=True).start()
    if os.environ.get("GOLDFEED_DEMO", "0") not in ("", "0"):
        threading.Thread(target=Drip(settings.home).run, args=(service.stop,), daemon=True).start()
    log.info(
        "serving",
        flows=sorted(service.project.flows),
        host=settings.http_host,
        port=server.port,
        metrics=scraped.server_port,
    )
    try:
        service.serve()
    finally:
        scraped.shutdown()
        server.stop()
        door.close()
        log.info("stopped")


def _exporter(service: Service, counters: FeedCounters) -> Exporter:
    users = UserFile(service.project.settings.secrets)
    pulse = Pulse(
        next_runs=service.schedules.next_runs,
        turned=service.turned,
        notifications=service.notifier.tally,
        users=lambda: len(users.read().users),
        memory=service.keeper.memory,
        feed=counters,
    )
    keeper = service.keeper
    exporter = Exporter(
        lambda: service.project,
        lambda: keeper.reading(service.project, bare=True),
        pulse,
        service.clock,
        service.log,
        state=keeper.state,
    )
    keeper.before_close = exporter.closing
    return exporter


def _parts(service: Service, counters: FeedCounters) -> Parts:
    """What the feed needs to know of the service."""

    def live() -> tuple[bool, dict[str, Any]]:
        alive = service.running is not None or service.clock.seconds() - service.alive_at < _STALE
        return alive, {"status": "alive" if alive else "the loop has stopped"}

    def well() -> tuple[bool, dict[str, Any]]:
        alive, said = live()
        good, word = service.well() if alive else (False, said["status"])
        return good, {"status": word}

    def ready() -> tuple[bool, dict[str, Any]]:
        good, said = well()
        there, word = service.ready() if good else (False, said["status"])
        return there, {"status": word, "running": service.running}

    from pipeline.feed.serving import Parts
    from pipeline.powerbi.web import routes

    return Parts(
        roles=lambda: service.project.roles,
        live=live,
        well=well,
        ready=ready,
        more=routes(lambda: service.project),
        counters=counters,
        clock=service.clock,
    )


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
