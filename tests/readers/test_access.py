"""Who may read: passwords, tokens, lockouts, plain HTTP and TLS, on every route that there is."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from pipeline.clock import Clock
from pipeline.commands import people
from pipeline.errors import UsageError
from pipeline.feed.access import Access, Gate, Refused
from pipeline.feed.guard import Guard, Rates
from pipeline.feed.passwords import Passwords, verify_password
from pipeline.feed.serving import Parts, make_app
from pipeline.feed.watch import Watch
from pipeline.project.project import ProjectFile
from pipeline.project.role import RoleFile
from tests.readers.desk import PASSWORD, ROLES, Desk, Log, publish

WRONG = "never the right one"
SAMPLES = {"table": "fact_orders", "year": "year=2024", "file": "fact_orders.csv", "version": "000001", "name": "fact_orders"}


def application(desk: Desk, **parts: Any) -> tuple[Watch, Starlette]:
    watch = make_app(desk.settings, Parts(roles=lambda: ROLES, **parts), Log())
    assert isinstance(watch, Watch) and isinstance(watch.app, Access) and isinstance(watch.app.app, Starlette)
    return watch, watch.app.app


def every_path(desk: Desk) -> list[str]:
    """An address for each route of the application, but for those of the container's health."""
    paths = []
    for route in application(desk)[1].routes:
        assert isinstance(route, Route)
        if "POST" in (route.methods or ()):
            continue  # $batch; asked below
        values = {name: SAMPLES.get(name, "fact_orders") for name in route.param_convertors}
        path = route.path_format.format(**values)
        paths += [] if path.startswith("/health") else [path]
    assert len(paths) >= 5
    return paths


def token_headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_s1_every_route_gives_all_who_are_not_known_the_same_answer(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root", "read")
    publish(desk.published, "000001")
    long_ago = Clock().now() - timedelta(days=9)
    expired, revoked = desk.users.give_token("read", 1, long_ago), desk.users.give_token("read", 30, Clock().now())
    desk.users.revoke("read", revoked.split("_")[1])
    ways: list[dict[str, Any]] = [
        {}, {"auth": ("root", WRONG)}, {"auth": ("nobody", WRONG)}, {"headers": {"Authorization": "Basic !!"}},
        *({"headers": token_headers(token)} for token in (expired, revoked, "gf_000000000000_x", "", "gf", revoked + "x")),
        {"headers": {"Authorization": "Digest x"}},
    ]
    app = application(desk)[0]
    for number, path in enumerate(every_path(desk)):
        with ClientOf(app, f"127.0.0.{number + 1}") as client:  # each from an address that is not locked yet
            answers = {(a.status_code, a.content, a.headers["www-authenticate"]) for a in (client.get(path, **way) for way in ways)}
        assert len(answers) == 1 and next(iter(answers))[0] == 401, path


class ClientOf:
    """A client of an application, without a socket, from an address of its own."""

    def __init__(self, app: Any, address: str = "127.0.0.1", scheme: str = "http") -> None:
        self.transport = httpx.ASGITransport(app, client=(address, 1))
        self.base, self.runner = f"{scheme}://feed", asyncio.Runner()

    def __enter__(self) -> ClientOf:
        self.client = httpx.AsyncClient(transport=self.transport, base_url=self.base)
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.get(path, **more))


# ---------------------------------------------------------------- the gate alone, with a clock that is turned by hand
class Turned:
    """A gate over three users, a clock, and a count of the hashes that were computed."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.now, self.hashes = Desk(folder).with_users("read", "anna"), 1000.0, 0
        self.stored, began = self.desk.users.read().users["read"].hash, datetime(2024, 1, 1)
        clock = Clock(now=lambda: began + timedelta(seconds=self.now), seconds=lambda: self.now)
        self.gate = Gate(
            self.desk.users, lambda: ROLES, clock, Passwords(clock.seconds, self.verify), Guard(clock.seconds), Rates(6000, clock.seconds), False
        )  # fmt: skip
        self.runner = asyncio.Runner()

    def verify(self, stored: str, password: str) -> bool:
        self.hashes += 1
        return stored == self.stored and password == PASSWORD

    def ask(self, address: str, name: str = "read", password: str = PASSWORD, token: str = "") -> int | str:
        """The user's name, or the status of the refusal."""
        text = f"Bearer {token}" if token else "Basic " + httpx.BasicAuth(name, password)._auth_header.partition(" ")[2]
        scope = {"scheme": "https", "client": (address, 1), "headers": [(b"authorization", text.encode())]}
        try:
            return self.runner.run(self.gate.admit(scope)).name
        except Refused as refused:
            assert refused.error.status == 401 or "Retry-After" in refused.headers
            return refused.error.status


@pytest.fixture
def turned(tmp_path: Path) -> Iterator[Turned]:
    made = Turned(tmp_path)
    yield made
    made.runner.close()


def test_s1_a_name_that_nobody_has_costs_as_many_hashes_as_a_wrong_password(turned: Turned) -> None:
    costs = []
    for number, name in enumerate(("read", "nobody", "", "x" * 5000)):
        before = turned.hashes
        assert turned.ask(f"10.0.0.{number}", name, WRONG) == 401
        costs.append(turned.hashes - before)
    assert costs == [1, 1, 1, 1]


@pytest.mark.slow
def test_s1_a_name_that_nobody_has_takes_as_long_as_a_wrong_password(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    stored = desk.users.read().users["root"].hash
    passwords = Passwords(time.monotonic)
    for _ in range(5):  # other work on the machine may disturb one series, even its processor time
        known, unknown = [], []
        for _ in range(40):
            for times, held in ((known, stored), (unknown, None)):
                began = time.thread_time()
                assert not passwords.check(held, WRONG)
                times.append(time.thread_time() - began)
        ratio = statistics.median(unknown) / statistics.median(known)
        if 0.95 < ratio < 1.05:
            return
    raise AssertionError(f"ratio {ratio}")


def test_a_right_password_costs_one_hash_in_two_minutes_and_none_is_kept_after_a_change(turned: Turned) -> None:
    assert [turned.ask("10.0.0.1") for _ in range(50)] == ["read"] * 50 and turned.hashes == 1
    turned.now += 130
    assert turned.ask("10.0.0.1") == "read" and turned.hashes == 2
    turned.desk.users.add("read", "reader", "another password", Clock().now())
    assert turned.ask("10.0.0.1") == 401


def test_s2_a_thousand_tries_from_one_address_lock_it_and_not_the_user(turned: Turned) -> None:
    answers = [turned.ask("10.9.9.9", password=f"{WRONG} {number}") for number in range(1000)]
    assert answers == [401] * 5 + [429] * 995 and turned.hashes == 5
    assert turned.ask("10.9.9.9") == 429  # the right password too, while it lasts
    assert turned.ask("10.0.0.1") == "read"
    turned.now += 61
    assert turned.ask("10.9.9.9") == "read"


def test_s2_names_tried_from_one_address_lock_the_address(turned: Turned) -> None:
    answers = [turned.ask("10.9.9.9", name=f"name{number}", password=WRONG) for number in range(100)]
    assert answers == [401] * 30 + [429] * 70
    assert turned.ask("10.9.9.9") == 429 and turned.ask("10.0.0.1") == "read"


def test_s2_a_thousand_tries_from_fifty_addresses_leave_the_user_in_and_memory_bounded(turned: Turned) -> None:
    answers = [turned.ask(f"10.9.{number % 50}.1", password=f"{WRONG} {number}") for number in range(1000)]
    assert answers.count(401) <= 150 and answers.count(429) == 1000 - answers.count(401)
    assert turned.ask("10.0.0.1") == "read"  # from a new address, at the first try
    assert turned.ask("10.9.3.1", password=WRONG) == 429


def test_s2_the_tables_of_failures_are_bounded() -> None:
    guard = Guard(lambda: 0.0)
    for number in range(25_000):
        guard.failed(f"name{number}", f"2001:db8:{number % 65536:x}::1")
    assert max(guard.sizes()) <= 10_000


def test_s2_an_address_of_ipv6_counts_with_its_network(turned: Turned) -> None:
    assert [turned.ask(f"2001:db8::{number + 1:x}", password=WRONG) for number in range(6)] == [401] * 5 + [429]


def test_s2_a_locked_address_still_takes_a_right_token_and_locks_for_longer_each_time(turned: Turned) -> None:
    token = turned.desk.users.give_token("read", 1000, datetime(2024, 1, 1))
    assert [turned.ask("10.9.9.9", password=WRONG) for _ in range(6)][-1] == 429
    assert turned.ask("10.9.9.9", token=token) == "read"
    waits = []
    for _ in range(4):
        wait = turned.gate.guard.locked("read", "10.9.9.9")
        waits.append(round(wait))
        turned.now += wait + 0.1
        assert turned.ask("10.9.9.9", password=WRONG) == 401
    assert waits == [60, 120, 240, 480]  # after a quarter of an hour the count begins again


def test_many_tries_at_once_get_no_more_than_five(turned: Turned) -> None:
    text = httpx.BasicAuth("read", WRONG)._auth_header

    async def one() -> int:
        try:
            await turned.gate.admit({"scheme": "https", "client": ("10.9.9.9", 1), "headers": [(b"authorization", text.encode())]})
        except Refused as refused:
            return refused.error.status
        return 200

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(60)))

    assert turned.runner.run(all_of_them()).count(401) <= 6


def test_s5_a_user_who_asks_too_often_waits_and_others_do_not(turned: Turned) -> None:
    turned.gate.rates = Rates(60, lambda: turned.now)
    answers = [turned.ask("10.0.0.1") for _ in range(20)]
    assert answers == ["read"] * 6 + [429] * 14
    turned.now += 1
    assert turned.ask("10.0.0.1") == "read"


# ---------------------------------------------------------------- tokens, users, first start
def test_a_token_reads_until_it_expires_is_revoked_or_its_user_goes(tmp_path: Path) -> None:
    users, now = Desk(tmp_path).with_users("read", "anna").users, datetime(2024, 1, 1)
    token, other = users.give_token("read", 2, now), users.give_token("anna", 2, now)
    assert users.read().token_user(token, now) == users.read().users["read"]
    assert users.read().token_user(token, now + timedelta(days=2)) is None
    assert users.read().token_user(token[:-1], now) is None
    with pytest.raises(UsageError):
        users.revoke("anna", token.split("_")[1])
    users.revoke("read", token.split("_")[1])
    assert users.read().token_user(token, now) is None
    users.remove("anna")
    assert users.read().token_user(other, now) is None
    text = users.path.read_text()
    assert token.split("_", 2)[2] not in text and PASSWORD not in text and users.path.stat().st_mode & 0o777 == 0o600


def test_the_first_start_makes_two_users_whose_passwords_are_shown_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    publish(desk.published, "000001")
    with desk.serving():
        shown = {facts["user"]: facts["password"] for event, facts in desk.log.lines if "user" in facts}
        assert set(shown) == {"admin", "powerbi"} and len(set(shown.values())) == 2
        with desk.client("powerbi", shown["powerbi"]) as powerbi:
            assert powerbi.get("/files/").status_code == 200
    for name, password in shown.items():
        kept = desk.settings.secrets / f"{name}.password"
        assert kept.read_text() == password + "\n" and kept.stat().st_mode & 0o777 == 0o600
    desk.log.lines.clear()
    with desk.serving():
        assert not any("password" in facts for _, facts in desk.log.lines)


def test_users_are_added_listed_and_removed_by_commands_and_a_running_feed_knows_at_once(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "goldfeed.yml").write_text("name: x\nroles:\n  sales: {tables: [fact_orders]}\n")
    words = ("--project", str(tmp_path), "--home", str(desk.home))
    made = goldfeed(*words, "user", "add", "berta", "--role", "reader", "--password-stdin", given="a password of berta\n")
    assert (made.returncode, made.stdout) == (0, "berta may now read as reader.\n")
    with desk.client("berta", "a password of berta") as berta:
        assert berta.get("/files/").status_code == 200
        token = goldfeed(*words, "user", "token", "berta", "--days", "3").stdout.strip()
        with desk.client() as bearer:
            assert bearer.get("/files/", headers=token_headers(token)).status_code == 200
        listed = goldfeed(*words, "user", "list", "--json").stdout
        assert '"berta"' in listed and token.split("_")[1] in listed and "argon2" not in listed and token not in listed
        assert goldfeed(*words, "user", "remove", "berta").returncode == 0
        assert berta.get("/files/").status_code == 401


@pytest.mark.parametrize(("name", "role", "password", "sentence"), [
    ("x y", "reader", "a long password", "is no user name"),
    ("carl", "sale", "a long password", "did you mean 'sales'?"),
    ("carl", "sales", "short", "fewer than 10"),
])
def test_bad_names_roles_and_passwords_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, role: str, password: str, sentence: str
) -> None:  # fmt: skip
    settings = Desk(tmp_path).settings
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    with pytest.raises(UsageError, match=re.escape(sentence)):
        people.add(ProjectFile(roles={"sales": RoleFile()}), settings, name, role, from_stdin=True)
    assert not settings.secrets.exists()


def test_what_is_not_there_cannot_be_removed_or_given_a_token(tmp_path: Path) -> None:
    settings = Desk(tmp_path).with_users("read").settings
    for wrong in (
        lambda: people.remove(settings, "berta"),
        lambda: people.token(settings, "berta", 3, None),
        lambda: people.token(settings, "read", 0, None),
        lambda: people.token(settings, "read", 3, "beef"),
    ):
        with pytest.raises(UsageError):
            wrong()


def goldfeed(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline.cli", *words], input=given, capture_output=True, text=True, check=False)


def test_a_user_whose_role_is_no_longer_declared_gets_403(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("anna")
    publish(desk.published, "000001")
    with desk.serving(Parts(roles=dict)), desk.client("anna") as anna:
        assert {anna.get(path).status_code for path in every_path(desk)} == {403}


def test_a_damaged_file_of_users_lets_nobody_in_and_says_nothing_of_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    with desk.serving(), desk.client("root") as root:
        desk.users.path.write_text("{")
        answer = root.get("/files/")
        assert answer.status_code == 500 and "users" not in answer.text
        assert desk.log.lines[-1] == ("a request failed", {"route": "(none)", "error": "UsageError"})


# ---------------------------------------------------------------- plain HTTP and TLS
def test_passwords_over_plain_http_from_another_machine_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    auth = ("root", PASSWORD)
    with ClientOf(application(desk)[0], "203.0.113.9") as far:
        answer = far.get("/files/", auth=auth)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "HttpsRequired"
        assert far.get("/health/live").status_code == 200
    with ClientOf(application(desk)[0], "203.0.113.9", "https") as safe:
        assert safe.get("/files/", auth=auth).status_code == 200
    desk.settings = replace(desk.settings, allow_plain_http=True)
    with ClientOf(application(desk)[0], "203.0.113.9") as allowed:
        assert allowed.get("/files/", auth=auth).status_code == 200


@pytest.mark.parametrize(("allowed", "word"), [(True, "cross the network unencrypted"), (False, "refused until TLS is set")])
def test_an_open_address_without_tls_is_warned_of(tmp_path: Path, allowed: bool, word: str) -> None:
    desk = Desk(tmp_path, http_host="0.0.0.0", allow_plain_http=allowed).with_users("root")
    with desk.serving():
        assert any(word in event for event, _ in desk.log.lines)


def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key,
         "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    desk = Desk(tmp_path / "home", tls_certificate=str(certificate), tls_key=str(key)).with_users("root")
    publish(desk.published, "000001")
    trust = ssl.create_default_context(cafile=str(certificate))
    with desk.serving(), httpx.Client(base_url=f"https://localhost:{desk.port}", auth=("root", PASSWORD), verify=trust, trust_env=False) as root:
        whole = root.get("/files/fact_orders.parquet")
        assert whole.content == (desk.published / "000001/fact_orders.parquet").read_bytes()
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{desk.port}/health/live", trust_env=False)


@pytest.mark.parametrize("given", [{"tls_certificate": "there-is-none.pem", "tls_key": "none.pem"}, {"tls_certificate": "alone.pem"}])
def test_a_certificate_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(UsageError), Desk(tmp_path, **given).with_users("root").serving():
        raise AssertionError("it was served")


def test_passwords_are_kept_as_argon2id(tmp_path: Path) -> None:
    stored = Desk(tmp_path).with_users("root").users.read().users["root"].hash
    assert stored.startswith("$argon2id$") and verify_password(stored, PASSWORD)
    assert not verify_password(stored, WRONG) and not verify_password("not a hash", PASSWORD)
