"""S10: secrets are in no image layer, no dump of the environment, no log, no message and no file but their own."""

from __future__ import annotations

import base64
import errno
import json
import os
import pty
import re
import secrets
import subprocess
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.directquery.server import Server
from pipeline.errors import GoldfeedError
from tests.conftest import GOLD_TOTALS, ORDERS_YML, ROOT, SILVER_ORDERS, Shop
from tests.integration.test_service import free_port
from tests.quality.little import agree, attributes

SECRET_NAME = re.compile(r"passw|secret|token|key|credential|_url$", re.IGNORECASE)


# ---------------------------------------------------------------- the image and the compose file
def instructions() -> list[tuple[str, str]]:
    """(instruction, its words) of the Dockerfile."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_s10_the_image_is_built_of_named_files_alone_and_none_of_them_holds_a_secret() -> None:
    first, *others = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    let_in = {line[1:] for line in others if line.startswith("!")}
    assert first == "*" and not let_in & {"data", "secrets", "monitoring", ".env", ".git", "*", "."}
    copied = {word for kind, words in instructions() if kind in ("COPY", "ADD") and "--from" not in words for word in words.split()[:-1]}
    assert copied and copied <= let_in
    shipped = [path for name in let_in for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file()]
    assert [path for path in shipped if re.search(r"\.(key|pem|password|env)$|users\.json", path.name)] == []
    assert [path for path in shipped if path.suffix != ".pyc" and b"PRIVATE KEY-----" in path.read_bytes()] == []


def test_s10_no_layer_no_variable_and_no_label_of_the_image_names_a_secret() -> None:
    said = [words for kind, words in instructions() if kind in ("ENV", "ARG", "LABEL")]
    assert any("GOLDFEED_HOME" in words for words in said)
    assert [name for words in said for name in re.findall(r"([\w.]+)=", words) if SECRET_NAME.search(name)] == []
    assert [words for kind, words in instructions() if kind == "RUN" and re.search(r"--mount=type=secret|password|token", words, re.I)] == []


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(ROOT.glob("docker-compose*.yml")):
        text = path.read_text(encoding="utf-8").replace("!override", "")
        for name, service in yaml.safe_load(text)["services"].items():
            yield f"{path.name}: {name}", service


def given_from_outside(value: str) -> bool:
    """`${NAME:-}`: of the environment of who starts it, and nothing if there is none."""
    return re.fullmatch(r"\$\{\w+:-\}", value) is not None


def test_s10_the_compose_files_hold_no_secret_in_variables_labels_and_commands() -> None:
    seen = 0
    for place, service in services():
        assert "labels" not in service and service.get("build", ".") == ".", place  # no label, no build argument
        for name, value in (service.get("environment") or {}).items():
            seen += 1
            assert not re.search(r"://[^/@]*:[^/@]+@", str(value)), f"{place}: {name} holds a password"
            if SECRET_NAME.search(name) and not name.endswith(("_FILE", "_URL")):
                assert given_from_outside(str(value)), f"{place}: {name}"
        words = json.dumps([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not re.search(r"(password|token)[= ]\S", words.replace("grafana_admin_password", ""), re.I), place
    assert seen > 10


def test_s10_the_example_of_the_environment_has_no_secret_and_the_real_one_is_in_no_commit() -> None:
    lines = [line.partition("=") for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"]
    assert {name: value for name, _, value in lines if SECRET_NAME.search(name) and value} == {}
    kept_out = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".env", "/data/"} <= set(kept_out)


# ---------------------------------------------------------------- a service and commands with every secret there is
def word(name: str) -> str:
    return f"Zq{name}{secrets.token_hex(6)}"


NAMES = ("mail", "hook", "postgres", "variable", "person", "typed", "bearer", "place")
SECRETS = {name: word(name) for name in NAMES}
CHANNELS = """name: tiny
notify:
  hook: {url_env: TEAM_URL}
  mail: {url_file: %s}
  lost: {url_env: LOST_URL}
  gone: {url_file: /nowhere/mail}
flows:
  tiny: {schedule: '0 2 * * *', on_arrival: 0.2, retries: 0}
"""
BROKEN = "/* ---\ndescription: x\nkey: [n]\n--- */\nSELECT CAST(status AS INTEGER) AS n FROM silver.orders\n"


class Told:
    """Everything that came out of a home with secrets, and the secrets."""

    def __init__(self, folder: Path) -> None:
        self.shop, self.texts, self.secrets = Shop(folder / "shop"), dict[str, str](), dict(SECRETS)
        self.kept: dict[str, bytes] = {}
        self.secrets["pii"] = secrets.token_hex(32)
        self.shop.use_key(self.secrets["pii"])
        mail = folder / "mail"
        mail.write_text(f"mailto://bob:{SECRETS['mail']}@127.0.0.1:9?smtp=127.0.0.1&to=a@b.example\n")
        self.shop.write("goldfeed.yml", CHANNELS % mail)
        self.shop.environ |= {
            "TEAM_URL": f"json://bob:{SECRETS['hook']}@127.0.0.1:9/{SECRETS['hook']}", "PGPASSWORD": SECRETS["variable"],
            "GOLDFEED_POSTGRES_URL": f"postgresql://gf:{SECRETS['postgres']}@127.0.0.1:9/gf", "GOLDFEED_MEMORY_LIMIT": "300MB",
        }  # fmt: skip

    def hear(self, *words: str, given: str = "") -> str:
        """A command in a process of its own; what it says is kept."""
        done = subprocess.run(self.shop.words(*words), capture_output=True, text=True, cwd=ROOT, env=self.shop.env(None), input=given)
        self.texts[" ".join(words)] = done.stdout + done.stderr
        return done.stdout

    def serve(self, terminal: bool) -> str:
        """The service from its start, through a failing run and readers of every kind, to its end."""
        http, metrics = free_port(), free_port()
        ports = {"GOLDFEED_HTTP_PORT": str(http), "GOLDFEED_METRICS_PORT": str(metrics)}
        out, given = pty.openpty() if terminal else os.pipe()
        process = subprocess.Popen(self.shop.words("serve"), stdout=given, stderr=given, cwd=ROOT, env=self.shop.env(ports))
        os.close(given)
        said: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(out, said), daemon=True)
        reader.start()
        try:
            self._until(said, b"serving")
            self.shop.drop_orders(f"orders_{http}.csv", f"{http},ann,paid,1.00,2024-01-01")
            self._until(said, b"word could not be sent")
            self._until(said, b"failed")
            if "token" in self.secrets:
                self.texts["pages"] = "".join(self.pages(http, metrics))
        finally:
            process.terminate()
            process.wait(20)
            reader.join(5)
            os.close(out)
        return b"".join(said).decode()

    @staticmethod
    def _until(said: list[bytes], word: bytes) -> None:
        end = time.monotonic() + 30
        while word not in b"".join(said):
            assert time.monotonic() < end, b"".join(said).decode()
            time.sleep(0.05)

    def pages(self, http: int, metrics: int) -> Iterator[str]:
        """What readers get who are right, and who are wrong in every way; and what Prometheus gets."""
        yield _page(f"http://127.0.0.1:{metrics}/metrics")
        basic = base64.b64encode(f"ann:{self.secrets['typed']}".encode()).decode()
        right = base64.b64encode(f"ann:{self.secrets['person']}".encode()).decode()
        for header in (f"Bearer {self.secrets['bearer']}", f"Basic {basic}", f"Basic {right}", f"Bearer {self.secrets['token']}", "Basic %"):
            for path in ("/files/_freshness", "/odata/v4/", "/odata/v4/totals?$filter=x", "/nowhere", "/health"):
                yield _page(f"http://127.0.0.1:{http}{path}", header)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file of the home outside secrets/, and the ledger in plain text."""
        for path in self.shop.home.rglob("*"):
            if path.is_file() and path.relative_to(self.shop.home).parts[0] != "secrets":
                yield str(path), path.read_bytes()
        names = self.shop.warehouse("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ledger'")
        for (name,) in names:
            yield f"ledger.{name}", str(self.shop.warehouse(f'FROM ledger."{name}"')).encode()


def _drain(out: int, said: list[bytes]) -> None:
    while True:
        try:
            part = os.read(out, 65536)
        except OSError as error:  # of a terminal whose other end is closed
            assert error.errno in (errno.EIO, errno.EBADF)
            return
        if not part:
            return
        said.append(part)


def _page(url: str, header: str = "") -> str:
    request = urllib.request.Request(url, headers={"Authorization": header} if header else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return f"{answer.headers}\n{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.headers}\n{error.read().decode()}"


COMMANDS = (
    "run", "status", "doctor", "plan", "history", "checks", "quarantine list", "user list", "directquery load",
    "--debug directquery load", "directquery load --watch 1000000", "lineage gold.totals",
)  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    made = Told(tmp_path_factory.mktemp("secrets"))
    for path, text in (("sql/bronze/orders.yml", ORDERS_YML), ("sql/silver/orders.sql", SILVER_ORDERS), ("sql/gold/totals.sql", GOLD_TOTALS)):
        made.shop.write(path, text)
    agree(made.shop, "gold.totals", "", f"- name: amount\n  checks: [{{invalid: {{valid_min: 0, {attributes()}}}}}]")
    made.shop.drop_orders("orders_1.csv", "1,ann,paid,1.00,2024-01-01")
    made.hear("run")
    made.shop.write("sql/gold/broken.sql", BROKEN)
    made.texts["first start"] = made.serve(terminal=False)
    for name in ("admin", "powerbi"):
        made.secrets[name] = (made.shop.home / f"secrets/{name}.password").read_text().strip()
    made.hear("user", "add", "ann", "--role", "reader", "--password-stdin", given=made.secrets["person"] + "\n")
    made.secrets["token"] = re.findall(r"\S{30,}", made.hear("user", "token", "ann"))[0]
    del made.texts["user token ann"]  # it is shown this once
    made.texts["second start"] = made.serve(terminal=True)
    for command in COMMANDS:
        made.hear(*command.split())
    made.kept = dict(made.files())
    return made


def notice(line: str) -> bool:
    """The one place where passwords are shown: the first start says those that it made (docs/feed.md)."""
    return json.loads(line)["event"] == "a user was made; its password is shown this once" if line.startswith("{") else False


@pytest.mark.slow
def test_s10_the_first_start_shows_the_passwords_it_made_in_its_notice_and_nowhere_else(told: Told) -> None:
    lines = told.texts["first start"].splitlines()
    assert [json.loads(line)["password"] for line in lines if notice(line)] == [told.secrets["admin"], told.secrets["powerbi"]]
    others = "\n".join(line for line in lines if not notice(line))
    assert [name for name, secret in told.secrets.items() if secret in others] == []


@pytest.mark.slow
def test_s10_what_was_to_be_heard_was_heard(told: Told) -> None:
    for start in ("first start", "second start"):
        for event in ("word could not be sent", "serving", "failed"):
            assert event in told.texts[start]
    assert "the variable LOST_URL is not set" in told.texts["first start"] and "/nowhere/mail cannot be read" in told.texts["first start"]
    assert "\x1b[" in told.texts["second start"] and "Could not convert" in told.texts["history"] + told.texts["first start"]
    assert "Connection refused" in told.texts["directquery load"] and "Traceback" in told.texts["--debug directquery load"]
    assert "goldfeed_runs_total" in told.texts["pages"] and "last_run" in told.texts["pages"] and "ann" in told.texts["user list"]  # who is known was let in


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "pii", "admin", "powerbi", "token"])
def test_s10_no_secret_is_said_or_kept_anywhere_but_in_its_own_file(told: Told, name: str) -> None:
    secret = told.secrets[name]
    assert len(secret) >= 16
    forms = {secret, base64.b64encode(secret.encode()).decode().rstrip("=")}
    said = {place for place, text in told.texts.items() if place != "first start" for form in forms if form in text}
    held = {place for place, text in told.kept.items() for form in forms if form.encode() in text}
    assert (said, held) == (set(), set())


@pytest.mark.slow
def test_s10_the_key_of_the_tokens_is_in_no_file_as_bytes_either(told: Told) -> None:
    assert [place for place, text in told.kept.items() if bytes.fromhex(told.secrets["pii"]) in text] == []


# ---------------------------------------------------------------- what is written in the wrong place
WRONG_URLS = (
    "postgresql://gf:{}@127.0.0.1:9/gf", "postgresql://gf:{}/x@127.0.0.1:9/gf", "postgresql://gf:x/{}@127.0.0.1:9/gf", "gf:{}@127.0.0.1:9/gf",
    "postgresql://gf:x@{}@127.0.0.1:9/gf", "postgresql://gf:%{}@127.0.0.1:9/gf", "postgresql://127.0.0.1:9/gf?user=gf&password={}%",
    "host=127.0.0.1 port=9 password=x {}", "host=127.0.0.1 port=9 passwd={}", "postgres:/gf:{}@h/gf", "postgresql://gf:x?{}@127.0.0.1:9/gf",
    "postgresql://gf:x#{}@127.0.0.1:9/gf", "postgresql://gf:{}@[::1/gf",
)  # fmt: skip


@pytest.mark.parametrize("url", WRONG_URLS)
def test_s10_an_address_of_postgresql_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(GoldfeedError) as caught:
        Server(url.format(SECRETS["place"]))
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRETS["place"] not in shown and "PostgreSQL: " in shown


@pytest.mark.parametrize("key", ["url_env", "url_file"])
def test_s10_an_address_in_the_place_of_its_name_is_refused_and_not_repeated(shop: Shop, key: str) -> None:
    shop.write("goldfeed.yml", f"name: tiny\nnotify:\n  team: {{{key}: 'slack://{SECRETS['place']}/b/c'}}\n")
    for words in (["plan"], ["--debug", "plan"]):
        done = shop.cli(*words)
        assert done.returncode == 1 and "the address itself is a secret" in done.stderr
        assert SECRETS["place"] not in done.stdout + done.stderr


def test_s10_the_settings_can_be_printed_without_the_password_in_the_address_of_postgresql(shop: Shop) -> None:
    shop.environ["GOLDFEED_POSTGRES_URL"] = f"postgresql://gf:{SECRETS['place']}@h/gf"
    settings = shop.project().settings
    assert SECRETS["place"] in settings.postgres_url and SECRETS["place"] not in repr(settings)
