"""The dashboards against Grafana's own types (npm @grafana/schema), by the TypeScript compiler."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
BOARDS = ("overview", "runs", "quality", "feed")
KINDS = {"stat": "Stat", "timeseries": "TimeSeries", "bargauge": "BarGauge", "barchart": "BarChart", "table": "Table"}
# what stands in JSON for an enum is its value; Options of a panel are checked as those of its kind
HEADER = """
import type { AnnotationQuery, Dashboard, FieldConfig } from '@grafana/schema';
type Marks = AnnotationQuery & { expr: string; step: string; titleFormat: string; useValueForTime: boolean };  // Prometheus' own keys
type Board = Omit<Dashboard, 'annotations'> & { annotations: { list: Marks[] } };
type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer I)[] ? Plain<I>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What the compiler says of a text; nothing if it is right."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here")
    folder = tmp_path_factory.mktemp("types")
    shutil.copy(ROOT / "grafana/types/package.json", folder)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], cwd=folder, check=True, capture_output=True)
    options = {"strict": True, "noEmit": True, "module": "esnext", "moduleResolution": "bundler", "target": "es2022", "skipLibCheck": True}
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["all.ts"]}))

    def compiled(text: str) -> str:
        (folder / "all.ts").write_text(text)
        done = subprocess.run(["node", "node_modules/typescript/bin/tsc", "-p", "."], cwd=folder, capture_output=True, text=True)
        return done.stdout + done.stderr

    return compiled


def board(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"grafana/dashboards/{name}.json").read_text())
    return found


def typescript(boards: dict[str, dict[str, Any]]) -> str:
    """Each dashboard as a constant of type Dashboard, each panel's options and field settings as those of its kind."""
    lines = [HEADER]
    for kind, title in KINDS.items():
        lines.append(f"import type {{ Options as {title} }} from '@grafana/schema/dist/esm/raw/composable/{kind}/panelcfg/x/{title}PanelCfg_types.gen';")
    fields = ("timeseries", "barchart", "table")
    for kind in fields[:2]:
        lines.append(f"import type {{ FieldConfig as {KINDS[kind]}Field }} from '@grafana/schema/dist/esm/raw/composable/{kind}/panelcfg/x/{KINDS[kind]}PanelCfg_types.gen';")
    for name, one in boards.items():
        lines.append(f"export const {name}: Plain<Board> = {json.dumps(one)};")
        for panel in one["panels"]:
            place, kind = f"{name}_{panel['id']}", panel["type"]
            lines.append(f"export const {place}: Plain<Partial<{KINDS[kind]}>> = {json.dumps(panel['options'])};")
            lines.append(f"export const {place}_field: Plain<FieldConfig> = {json.dumps(panel['fieldConfig']['defaults'])};")
            if kind in fields[:2]:
                lines.append(f"export const {place}_custom: Plain<Partial<{KINDS[kind]}Field>> = {json.dumps(panel['fieldConfig']['defaults']['custom'])};")
    return "\n".join(lines)


def test_the_dashboards_are_of_grafanas_own_types(compiler: Callable[[str], str]) -> None:
    assert compiler(typescript({name: board(name) for name in BOARDS})) == ""


MISTAKES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "titel": lambda one: one.update(titel="x"),
    "rainbow": lambda one: one["panels"][0]["options"].update(colorMode="rainbow"),
    "stripes": lambda one: one["panels"][0]["fieldConfig"]["defaults"]["thresholds"].update(mode="stripes"),
    "door": lambda one: one["links"][0].update(type="door"),
}


def test_a_dashboard_with_a_mistake_is_found(compiler: Callable[[str], str]) -> None:
    wrong = {f"with_{said}": board("overview") for said in MISTAKES}
    for said, spoil in MISTAKES.items():
        spoil(wrong[f"with_{said}"])
    found = compiler(typescript(wrong))
    assert [said for said in MISTAKES if f"{said}\"" not in found and f"'{said}'" not in found] == []
