"""Dashboards, alerts and the compose file, as written: they agree with each other and with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import generate
from pipeline.metrics.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
NAMES = {family.name for family in FAMILIES}
OF_OTHERS = {"up", "ALERTS", "scrape_duration_seconds"}
BOARDS = {name: json.loads((ROOT / f"grafana/dashboards/{name}.json").read_text()) for name in generate.BOARDS}
RULES = [
    rule
    for file in ("recording", "alerts")
    for group in yaml.safe_load((ROOT / f"monitoring/rules/{file}.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def metrics_in(expr: str) -> set[str]:
    """The metrics that a PromQL expression names, without those that rules record."""
    text = re.sub(r'"[^"]*"', "", expr)
    for record in RECORDED:
        text = text.replace(record, "")
    found = set(re.findall(r"\b(?:goldfeed_\w+|process_\w+|up|ALERTS|scrape_\w+)\b", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def unknown(expr: str) -> set[str]:
    return {name for name in metrics_in(expr) if not name.startswith(("process_", "goldfeed_business_"))} - NAMES - OF_OTHERS


def panels(board: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = BOARDS[board]["panels"]
    return found


# ---------------------------------------------------------------- dashboards
def test_the_dashboards_are_what_the_script_writes() -> None:
    for file, text in generate.texts().items():
        assert (ROOT / "grafana/dashboards" / file).read_text() == text, "type: python -m grafana.generate"
    assert {path.name for path in (ROOT / "grafana/dashboards").glob("*.json")} == set(generate.texts())


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_has_a_title_a_description_a_unit_and_a_place_of_its_own(board: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        assert panel["title"] and panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles) and len({panel["id"] for panel in panels(board)}) == len(titles)


@pytest.mark.parametrize("board", BOARDS)
def test_every_variable_is_used_and_every_one_that_is_used_is_there(board: str) -> None:
    text = json.dumps([target["expr"] for panel in panels(board) for target in panel["targets"]])
    used = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"}
    assert used == {variable["name"] for variable in BOARDS[board]["templating"]["list"]}


@pytest.mark.parametrize("board", BOARDS)
def test_o2_every_query_uses_metrics_that_exist(board: str) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            assert metrics_in(target["expr"]) or RECORDED & set(re.findall(r"[\w:]+", target["expr"])) or "goldfeed_business_" in target["expr"]
            assert not unknown(target["expr"]), panel["title"]


def test_every_dashboard_shows_runs_and_publications_and_leads_to_the_others_and_to_the_runbook() -> None:
    for board in BOARDS.values():
        assert {one["name"] for one in board["annotations"]["list"]} == {"Runs", "Publications"}
        assert not any(unknown(one["expr"]) for one in board["annotations"]["list"])
        assert {link["type"] for link in board["links"]} == {"dashboards", "link"} and board["tags"] == ["goldfeed"]
        mounts = COMPOSE["services"]["grafana"]["volumes"]
        assert any(f"/usr/share/grafana{generate.RUNBOOK}:ro" in mount for mount in mounts)


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    shown = set()
    for board in BOARDS:
        exprs = [target["expr"] for panel in panels(board) for target in panel["targets"]]
        exprs += [one["expr"] for one in BOARDS[board]["annotations"]["list"]]
        shown |= set().union(*map(metrics_in, exprs))
    for rule in RULES:
        shown |= metrics_in(rule["expr"])
    assert shown >= NAMES


# ---------------------------------------------------------------- alerts
@pytest.mark.parametrize("alert", ALERTS)
def test_o2_every_alert_is_described_tested_and_in_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "none") and not unknown(rule["expr"])
    assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    assert f"\n## {alert}\n" in (ROOT / "docs/runbook.md").read_text()
    page = (ROOT / "docs/alerts.md").read_text()
    expr = " ".join(rule["expr"].split()).replace("|", "\\|")
    assert f"| [`{alert}`](runbook.md#{alert.lower()}) | {rule['labels']['severity']} | `{expr}` |" in page


@pytest.mark.parametrize("alert", ALERTS)
def test_o2_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    tests = [one for path in (ROOT / "monitoring/tests").glob("*.yml") for one in yaml.safe_load(path.read_text())["tests"]]
    moments = [[bool(moment["exp_alerts"]) for moment in one["alert_rule_test"]] for one in tests if one["alert_rule_test"][0]["alertname"] == alert]
    assert any(True in one for one in moments)
    if alert != "GoldfeedWatchdog":
        assert any(one[0] is False and True in one and one[-1] is False for one in moments), "it must begin quiet, fire, and resolve"


def test_while_the_service_is_down_only_that_and_the_watchdog_are_sent() -> None:
    config = yaml.safe_load((ROOT / "monitoring/alertmanager.yml").read_text())
    down = config["inhibit_rules"][0]
    assert down == {"source_matchers": ['alertname="GoldfeedDown"'], "target_matchers": ['alertname!~"GoldfeedDown|GoldfeedWatchdog"']}
    assert all(set(receiver) == {"name"} for receiver in config["receivers"])


# ---------------------------------------------------------------- the compose file
@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_s9_every_service_is_pinned_limited_and_locked(name: str) -> None:
    service = COMPOSE["services"][name]
    assert re.search(r":v?\d[\w.]*$", service["image"]), "an image is pinned by its version"
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] and service["pids_limit"] and service["logging"]["options"]["max-size"]
    assert service["read_only"] if name != "postgres" else service["cap_add"]
    assert service.get("restart") == "unless-stopped" or name == "secrets"
    assert not any("docker.sock" in str(volume) for volume in service["volumes"])
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service.get("user", "10001") != "0" and not service.get("privileged") and service.get("network_mode", "none") == "none"


def test_s9_every_server_says_when_it_is_well_and_they_start_in_order() -> None:
    services = COMPOSE["services"]
    for name in services.keys() - {"goldfeed", "secrets"}:  # without one `up --wait` fails: goldfeed's is in its image, secrets ends
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert "python" not in str(services[name]["healthcheck"]["test"]), "an interpreter every few seconds is too dear"
    assert services["directquery"]["command"][-1] in services["directquery"]["healthcheck"]["test"][1]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    assert services["prometheus"]["depends_on"] == {"alertmanager": {"condition": "service_healthy"}}
    assert services["grafana"]["depends_on"]["secrets"] == {"condition": "service_completed_successfully"}


def test_s9_grafana_has_no_default_password_and_shows_itself_without_a_login_on_this_machine_only() -> None:
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment and environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    lan = (ROOT / "docker-compose.lan.yml").read_text()
    assert 'GF_AUTH_ANONYMOUS_ENABLED: "false"' in lan and "ports: !override" in lan
    assert COMPOSE["services"]["grafana"]["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]


def test_every_knob_of_the_compose_files_is_in_the_example_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "docker-compose.lan.yml").read_text()
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    assert example == used
