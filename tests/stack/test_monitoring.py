"""goldfeed, Prometheus, Alertmanager and Grafana as they ship: wired together, and an alert that really travels."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import generate
from pipeline.metrics.families import FAMILIES
from tests.stack.engine import ROOT, docker, free_ports, tool, until

pytestmark = pytest.mark.stack
ABSENT = {  # families that this stack has nothing to say of, and why
    "goldfeed_run_start_timestamp_seconds": "no run is under way at most times",
    "goldfeed_scheduler_lag_timestamp_seconds": "no due run waits",
    "goldfeed_oldest_file_timestamp_seconds": "files are taken within seconds",
    "goldfeed_certificate_expiry_timestamp_seconds": "plain HTTP, on this machine only",
    "goldfeed_notifications_total": "the shop declares no channel",
}
BROKEN = "/* ---\ndescription: A table that cannot be built\nkey: [n]\n--- */\nSELECT CAST(o.status AS INTEGER) AS n FROM silver.orders AS o\n"
MENDED = "/* ---\ndescription: A table that can be built\nkey: [n]\n--- */\nSELECT count(*) AS n FROM silver.orders AS o\n"


class Hook(ThreadingHTTPServer):
    """A receiver of alerts: keeps what Alertmanager sends."""

    def __init__(self) -> None:
        got: list[dict[str, Any]] = []

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("0.0.0.0", 0), Page)
        self.got = got
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def heard(self, alert: str, status: str) -> list[dict[str, Any]]:
        return [one for one in self.got if one["labels"]["alertname"] == alert and one["status"] == status]


class Stack:
    """What is up: its project on this machine, its ports, and the receiver."""

    def __init__(self, folder: Path) -> None:
        self.hook, self.project = Hook(), folder / "project"
        self.project.mkdir()
        shutil.copy(ROOT / "goldfeed.yml", self.project)
        shutil.copytree(ROOT / "sql", self.project / "sql")
        self.ports = free_ports()
        self.changes = self._changes(folder)
        self.days = 0  # in gold, when it was first published

    def _changes(self, folder: Path) -> Path:
        """As shipped, but for the receiver of docs/alerts.md filled in, a project that can be edited, and shorter waits."""
        (folder / "secrets").mkdir()
        (folder / "secrets" / "webhook").write_text(f"http://receiver:{self.hook.server_port}/")
        config = (ROOT / "monitoring/alertmanager.yml").read_text().replace("  - name: urgent\n", snippet("Webhook"))
        config = shorter(config, {"group_wait: 10s": "group_wait: 1s", "group_interval: 1m": "group_interval: 5s"})
        (folder / "alertmanager.yml").write_text(config)
        waits = {"scrape_interval: 15s": "scrape_interval: 5s", "scrape_timeout: 10s": "scrape_timeout: 5s", "evaluation_interval: 15s": "evaluation_interval: 5s"}
        (folder / "prometheus.yml").write_text(shorter((ROOT / "monitoring/prometheus.yml").read_text(), waits))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        changes = {
            "alertmanager": {
                "extra_hosts": ["receiver:host-gateway"],
                "volumes": [f"{folder}/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro", f"{folder}/secrets:/etc/alertmanager/secrets:ro"],
            },
            "prometheus": {"volumes": [f"{folder}/prometheus.yml:/etc/prometheus/prometheus.yml:ro"]},
            "goldfeed": {"volumes": [f"{self.project}:/project:ro"]},
        }
        (folder / "changes.yml").write_text(yaml.safe_dump({"services": changes}))
        return folder / "changes.yml"

    def compose(self, *words: str, check: bool = True) -> str:
        environ = {**os.environ, "GOLDFEED_DEMO": "1", **{name: str(port) for name, port in self.ports.items()}}
        return docker(*words, check=check, files=(self.changes,), env=environ).stdout

    def goldfeed(self, *words: str, check: bool = True) -> str:
        return self.compose("exec", "-T", "goldfeed", "goldfeed", *words, check=check)

    def days_in_gold(self) -> int:
        return int(json.loads(self.goldfeed("query", "--json", "SELECT count(*) AS n FROM mart_daily_kpis"))[0]["n"])

    def prometheus(self, path: str, **values: str) -> Any:
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, query: str) -> list[Any]:
        found: list[Any] = self.prometheus("query", query=query)["result"]
        return found

    def read_the_feed(self) -> None:
        """As a report does, and as somebody with a wrong password."""
        password = self.compose("exec", "-T", "goldfeed", "cat", "/data/secrets/powerbi.password").strip()
        for path, secret in (("files/", password), ("files/dim_products.parquet", password), ("files/", "wrong")):
            manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
            url = f"http://127.0.0.1:{self.ports['GOLDFEED_PORT']}/{path}"
            manager.add_password(None, url, "powerbi", secret, is_authenticated=True)
            try:
                urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager)).open(url, timeout=10).read()
            except urllib.error.HTTPError as error:
                assert error.code == 401 and secret == "wrong"


def shorter(config: str, waits: dict[str, str]) -> str:
    """A configuration with other times, each of which it must have had."""
    for shipped, here in waits.items():
        assert shipped in config
        config = config.replace(shipped, here)
    return config


def snippet(title: str) -> str:
    """The lines of docs/alerts.md that fill in a receiver."""
    page = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    return page.split(f"## {title}\n")[1].split("```yaml\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if shutil.which("docker") is None:
        pytest.skip("no docker here")
    folder = tmp_path_factory.mktemp("stack")
    folder.parent.chmod(0o755)
    folder.parent.parent.chmod(0o755)
    made = Stack(folder)
    made.compose("down", "-v", "-t", "1", check=False)
    made.compose("build", "goldfeed")
    yield made
    made.compose("down", "-v", "-t", "1", check=False)
    made.hook.shutdown()


def test_all_of_it_is_healthy_within_a_minute(stack: Stack) -> None:
    began = time.monotonic()
    stack.compose("up", "-d", "--wait")
    assert time.monotonic() - began < 60
    targets = until(lambda: [one for one in stack.prometheus("targets")["activeTargets"] if one["health"] == "up"], 40)
    until(lambda: {one["labels"]["job"] for one in stack.prometheus("targets")["activeTargets"] if one["health"] == "up"} == {"goldfeed", "prometheus", "alertmanager"}, 40)
    assert targets


def test_s9_each_runs_without_rights_it_does_not_need(stack: Stack) -> None:
    users = {"goldfeed": "10001", "prometheus": "65534", "alertmanager": "65534", "grafana": "472"}
    for service, user in users.items():
        assert stack.compose("exec", "-T", service, "id", "-u").strip() == user
        done = docker("exec", "-T", service, "touch", "/x", check=False, files=(stack.changes,))
        assert done.returncode != 0 and "ead-only" in done.stderr
    assert len(stack.compose("exec", "-T", "grafana", "cat", "/run/goldfeed/grafana_admin_password")) >= 32
    mode = stack.compose("exec", "-T", "grafana", "stat", "-c", "%a %u", "/run/goldfeed/grafana_admin_password")
    assert mode.strip() == "600 472"


def _pages(stack: Stack, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['GRAFANA_PORT']}{path}", timeout=10) as answer:
        return json.load(answer)


def test_grafana_has_the_four_dashboards_for_whoever_looks_on_this_machine(stack: Stack) -> None:
    assert _pages(stack, "/api/health")["database"] == "ok"
    assert {one["uid"] for one in _pages(stack, "/api/search")} == {f"goldfeed-{name}" for name in ("overview", "runs", "quality", "feed")}


# These need no stack; while they work the shop runs on, and the next test waits less.
@pytest.mark.parametrize("title", ["E-mail", "Amazon SNS", "Slack", "Teams", "Webhook"])
def test_each_receiver_of_the_docs_is_good_and_has_five_lines(title: str, tmp_path: Path) -> None:
    text = snippet(title)
    assert len(text.splitlines()) <= 6
    config = (ROOT / "monitoring/alertmanager.yml").read_text().replace("  - name: urgent\n", text)
    done = tool("amtool", "check-config", "/dev/stdin", given=config)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("promtool", "check", "config", "--lint=all", "--lint-fatal", "monitoring/prometheus.yml"),
        ("promtool", "check", "rules", "--lint=all", "--lint-fatal", "monitoring/rules/alerts.yml", "monitoring/rules/recording.yml"),
        ("promtool", "test", "rules", *[f"monitoring/tests/{name}.yml" for name in ("runs", "data", "service", "feed", "days")]),
        ("amtool", "check-config", "monitoring/alertmanager.yml"),
    ],
    ids=["config", "rules", "tests-of-rules", "alertmanager"],
)
def test_o2_the_tools_of_prometheus_find_nothing(words: tuple[str, ...]) -> None:
    done = tool(*words)
    assert done.returncode == 0 and "FAILED" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_every_panel_finds_something_when_the_shop_has_run_for_minutes(stack: Stack) -> None:
    until(lambda: stack.ask("goldfeed_publication_version > 0"), 120)
    stack.days = stack.days_in_gold()
    left: dict[tuple[str, str], str] = {}

    def none_left() -> bool:
        stack.read_the_feed()
        left.clear()
        left.update({(board, panel): expr for board, panel, expr in _queries() if not stack.ask(expr)})
        return set(left) <= set(generate.may_be_empty())

    try:
        until(none_left, 240, every=3)
    except AssertionError:
        pytest.fail(f"these find nothing: { {key: expr for key, expr in left.items() if key not in generate.may_be_empty()} }")


def _queries() -> Iterator[tuple[str, str, str]]:
    """(dashboard, panel, PromQL with all variables at All)."""
    for name in generate.BOARDS:
        board = json.loads((ROOT / f"grafana/dashboards/{name}.json").read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                expr = target["expr"].replace("$__rate_interval", "2m")
                yield board["uid"], panel["title"], re.sub(r"\$\w+", ".*", expr)


def test_every_family_is_scraped_and_every_metric_that_an_alert_names_exists(stack: Stack) -> None:
    known = set(stack.prometheus("label/__name__/values"))
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    assert {family.name for family in FAMILIES} - bare <= set(ABSENT)
    rules = [rule for file in ("recording", "alerts") for group in yaml.safe_load((ROOT / f"monitoring/rules/{file}.yml").read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        named = set(re.findall(r"\b(?:goldfeed_|process_)\w+|\bup\b", re.sub(r"[\w]+:[\w:]+", "", rule["expr"])))
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} - bare <= set(ABSENT), rule
        assert set(re.findall(r"\w+:[\w:]+", rule["expr"])) <= recorded, rule
    assert all(rule["health"] == "ok" for group in stack.prometheus("rules")["groups"] for rule in group["rules"])


def test_the_page_of_metrics_is_as_prometheus_wants_it(stack: Stack) -> None:
    page = stack.compose("exec", "-T", "prometheus", "wget", "-qO-", "http://goldfeed:9464/metrics")
    done = tool("promtool", "check", "metrics", given=page)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_alert_of_a_failed_task_comes_to_the_receiver_and_so_does_its_end(stack: Stack) -> None:
    hook = stack.hook
    model = stack.project / "sql/gold/fragile.sql"
    model.write_text(BROKEN)
    until(lambda: _failed(stack), 120)
    fired = until(lambda: hook.heard("GoldfeedTaskFailed", "firing"), 120)
    assert {one["labels"]["table"] for one in fired} == {"gold.fragile"}
    assert fired[0]["annotations"]["summary"] == "The last task on gold.fragile failed"
    assert fired[0]["annotations"]["runbook_url"] == "docs/runbook.md#goldfeedtaskfailed"
    model.write_text(MENDED)
    stack.goldfeed("run", "--quiet", check=False)
    until(lambda: hook.heard("GoldfeedTaskFailed", "resolved"), 120)
    names = {one["labels"]["alertname"] for one in hook.got}
    assert names <= {"GoldfeedTaskFailed"}, names


def _failed(stack: Stack) -> Callable[[], Any] | bool:
    stack.goldfeed("run", "--quiet", check=False)
    return bool(stack.ask('goldfeed_task_failed{table="gold.fragile"} == 1'))


def test_the_demo_shop_drops_its_days_and_a_newcomer_sees_it_move(stack: Stack) -> None:
    until(lambda: stack.days_in_gold() > stack.days, 120)
