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
from pipeline.log import logger
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
    server = start(settings, _parts(service), log)
    if os.environ.get("GOLDFEED_DEMO", "0") not in ("", "0"):
        threading.Thread(target=Drip(settings.home).run, args=(service.stop,), daemon=True).start()
    log.info("serving", flows=sorted(service.project.flows), host=settings.http_host, port=server.port)
    try:
        service.serve()
    finally:
        server.stop()
        door.close()
        log.info("stopped")


def _parts(service: Service) -> Parts:
    """What the feed needs to know of the service."""

    def live() -> tuple[bool, dict[str, Any]]:
        alive = service.running is not None or service.clock.seconds() - service.alive_at < _STALE
        return alive, {"status": "alive" if alive else "the loop has stopped"}

    def ready() -> tuple[bool, dict[str, Any]]:
        good, word = service.ready()
        return good and live()[0], {"status": word, "running": service.running}

    from pipeline.feed.serving import Parts
    from pipeline.powerbi.route import routes

    more = routes(lambda: service.project)
    return Parts(roles=lambda: service.project.roles, live=live, ready=ready, more=more, clock=service.clock)


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
