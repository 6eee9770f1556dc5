"""T7: word of failures and recoveries, by real mail and to a real receiver, also when that is down for a while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import apprise
import pytest
from aiosmtpd.controller import Controller

from pipeline.log import logger
from pipeline.notify import Notifier, message_of, without_values
from pipeline.outbox import Outbox
from pipeline.project.channel import ChannelFile
from pipeline.results import RunResult, TaskResult
from pipeline.service import Service
from tests.conftest import ROOT, Shop
from tests.integration.test_service import Hands, free_port

NOTIFY = "name: tiny\nnotify:\n  team: {url_env: TEAM_URL}\nflows:\n  tiny: {schedule: '0 2 * * *', retries: 0}\n"


class Receiver:
    """A webhook that keeps what it is sent."""

    def __init__(self, port: int) -> None:
        got = self.got = list[dict[str, Any]]()

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", port), Hook)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def titles(self) -> list[str]:
        return [message["title"] for message in self.got]


@pytest.fixture
def receiver() -> Iterator[Callable[[int], Receiver]]:
    made: list[Receiver] = []

    def one(port: int) -> Receiver:
        made.append(Receiver(port))
        return made[-1]

    yield one
    for each in made:
        each.server.shutdown()
        each.server.server_close()


def until(found: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def fail_then_recover(shop: Shop, hands: Hands, service: Service) -> None:
    """Two nights of failure, then two good ones."""
    service.begin()
    shop.write("sql/gold/bad.sql", "/* ---\ndescription: x\n--- */\nSELECT CAST('secret ' || order_id AS INTEGER) AS n FROM silver.orders\n")
    for day in range(2, 6):
        shop.drop_orders(f"orders_{day}.csv", f"{day},c,paid,1.00,2024-01-0{day}")
        if day == 4:
            (shop.folder / "sql/gold/bad.sql").unlink()
        hands.time = hands.time.replace(day=day, hour=2, second=1)
        service.turn(hands.time)


def test_t7_a_failure_and_the_recovery_are_told_once_each(
    shop: Shop, receiver: Callable[[int], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{port}/hook")
    shop.write("goldfeed.yml", NOTIFY)
    hook, hands = receiver(port), Hands()
    service = Service(shop.project, logger(), clock=hands.clock())
    fail_then_recover(shop, hands, service)
    until(lambda: len(hook.got) == 2)
    time.sleep(0.7)
    assert hook.titles() == ["goldfeed: tiny failed (run 1)", "goldfeed: tiny has recovered (run 3)"]
    body = hook.got[0]["message"]
    assert "build gold.bad failed after 1 attempts" in body and "type: goldfeed retry 1" in body and "Nothing is published yet." in body
    assert "secret" not in json.dumps(hook.got)
    service.stop.set()


def test_t7_with_the_receiver_down_runs_go_on_and_the_message_comes_later(
    shop: Shop, receiver: Callable[[int], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("TEAM_URL", f"json://127.0.0.1:{port}/hook")
    shop.write("goldfeed.yml", NOTIFY)
    hands = Hands()
    service = Service(shop.project, logger(), clock=hands.clock())
    fail_then_recover(shop, hands, service)
    assert service.runs == 4 and shop.ask("SELECT sum(orders) FROM totals") == [(4,)]
    hook = receiver(port)
    until(lambda: len(hook.got) == 2)
    assert hook.titles() == ["goldfeed: tiny failed (run 1)", "goldfeed: tiny has recovered (run 3)"]
    service.stop.set()


def test_a_real_mail_server_gets_the_mail(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[bytes] = []

    class Box:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            mails.append(envelope.content)
            return "250 taken"

    controller = Controller(Box(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        shop.write("goldfeed.yml", NOTIFY)
        address = f"mailto://127.0.0.1:{controller.port}?smtp=127.0.0.1&from=goldfeed@example.com&to=team@example.com&mode=insecure"
        done = shop.cli("notify", "test", env={"TEAM_URL": address})
        assert (done.returncode, done.stdout) == (0, "team: sent\n"), done.stderr
    finally:
        controller.stop()
    assert len(mails) == 1 and b"goldfeed: a test message" in mails[0]


def test_a_channel_that_cannot_be_reached_or_has_no_address_is_named(shop: Shop) -> None:
    shop.write("goldfeed.yml", NOTIFY)
    done = shop.cli("notify", "test")
    assert done.returncode == 2 and "notify.team: the variable TEAM_URL is not set" in done.stderr
    done = shop.cli("notify", "test", env={"TEAM_URL": f"json://127.0.0.1:{free_port()}/hook"})
    assert done.returncode == 1 and "team: not taken; check its address" in done.stdout
    shop.write("goldfeed.yml", "name: tiny\n")
    assert "there is no channel under notify:" in shop.cli("notify", "test").stderr
    shop.write("goldfeed.yml", NOTIFY.replace("retries: 0", "notify: [teem]"))
    assert "goldfeed.yml:5: there is no channel 'teem'; did you mean 'team'?" in shop.cli("plan").stderr


@pytest.mark.parametrize(
    "address",
    [
        "mailtos://user:password@example.com",
        "sns://AHIAJGNT76XIMXDBIJYA/bu1dHSdO22pfaaVy/wmNsdjhV/eu-central-1/shop",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#shop",
        "workflows://host.example.com/643d8f3e0c294bd8b1b1e0e1a8d6cb0c/Nd8f3e0c294bd8b1b1e0e1a8d6cb0cabcdefghij",
        "jsons://host.example.com/hook",
    ],
)
def test_the_receivers_of_the_docs_can_be_addressed(address: str) -> None:
    assert apprise.Apprise().add(address)
    assert f"`{address.partition('://')[0]}://" in (ROOT / "docs/service.md").read_text()


def test_messages_hold_names_and_numbers_but_no_values() -> None:
    assert without_values("""Could not convert string 'Anna Bell' to INT32, see "a@b.c" there""") == 'Could not convert string "…" to INT32, see "…" there'
    task = TaskResult("build gold.x", "gold", "gold.x", "failed", 0, 0, 0, 3, 0.1, "no 'Anna'")
    message = message_of("failure", RunResult(7, "shop", "failed", None, 1.0, (task,)), "000003")
    assert message.title == "goldfeed: shop failed (run 7)" and "Anna" not in message.body
    assert "Readers see version 000003." in message.body


def test_who_asked_for_success_or_lateness_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, str]] = []
    notifier = Notifier(logger(), threading.Event(), Outbox(tmp_path), dict)
    monkeypatch.setattr(notifier, "put", lambda name, channel, message: heard.append((name, message.event)))
    channels = {"all": ChannelFile(url_env="A", on=["success", "late"]), "bad": ChannelFile(url_env="B")}
    notifier.hear(RunResult(1, "shop", "succeeded", "000001", 1.0, notes=("the run took 9 s, longer than its SLA of 5 s",)), channels, "000001")
    assert heard == [("all", "late"), ("all", "success")]
