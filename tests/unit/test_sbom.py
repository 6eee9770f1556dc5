"""S13: what the image is made of is listed, by version and hash, and under licences that were looked at."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

SCRIPT = ROOT / ".ci/sbom.py"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# What CycloneDX 1.5's own schema says of the parts that are written.
SHAPE = {
    "type": "object", "additionalProperties": False,
    "required": ["bomFormat", "specVersion", "version", "serialNumber", "metadata", "components"],
    "properties": {
        "bomFormat": {"const": "CycloneDX"}, "specVersion": {"const": "1.5"}, "version": {"type": "integer", "minimum": 1},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "metadata": {"type": "object", "additionalProperties": False, "properties": {"component": {"$ref": "#/$defs/component"}}},
        "components": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/component"}},
    },
    "$defs": {
        "component": {
            "type": "object", "additionalProperties": False, "required": ["type", "name"],
            "properties": {
                "type": {"enum": ["application", "framework", "library", "container", "platform", "operating-system", "file"]},
                "bom-ref": {"type": "string", "minLength": 1}, "name": {"type": "string"}, "version": {"type": "string"},
                "purl": {"type": "string", "pattern": "^pkg:pypi/[a-z0-9-]+@.+$"},
                "licenses": {  # one expression, and then nothing else
                    "type": "array", "minItems": 1, "maxItems": 1,
                    "items": {"type": "object", "required": ["expression"], "additionalProperties": False, "properties": {"expression": {"type": "string", "minLength": 1}}},
                },
                "hashes": {
                    "type": "array", "minItems": 1,
                    "items": {
                        "type": "object", "required": ["alg", "content"], "additionalProperties": False,
                        "properties": {"alg": {"const": "SHA-256"}, "content": {"pattern": "^[a-fA-F0-9]{64}$"}},
                    },
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sbom"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_s13_the_bill_has_the_shape_of_cyclonedx(bill: dict[str, Any]) -> None:
    jsonschema.validate(bill, SHAPE)
    refs = [bill["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in bill["components"])]
    assert len(set(refs)) == len(refs)


def test_s13_the_bill_lists_every_locked_package_with_its_version_and_all_its_hashes(bill: dict[str, Any]) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))
    assert {one["name"]: one["version"] for one in bill["components"]} == pins and len(pins) > 50
    hashes = [one["content"] for part in bill["components"] for one in part["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", LOCK))
    duckdb = LOCK.partition("\nduckdb==")[2].partition("\n    # via")[0]
    assert next(one for one in bill["components"] if one["name"] == "duckdb")["hashes"][0]["content"] in duckdb


def test_s13_what_runs_here_is_what_is_locked(bill: dict[str, Any]) -> None:
    apart = {one["name"]: one["version"] for one in bill["components"] if one["name"] != "colorama"}
    assert {name: version(name) for name in apart} == apart


def test_s13_what_the_project_asks_for_itself_is_locked(bill: dict[str, Any]) -> None:
    import tomllib

    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    have = {canonicalize_name(one["name"]): one["version"] for one in bill["components"]}
    for text in asked:
        need = Requirement(text)
        assert need.specifier.contains(have[canonicalize_name(need.name)]), text


def test_s13_every_licence_is_on_the_list_or_is_answered_for_by_name(script: ModuleType, bill: dict[str, Any]) -> None:
    said = {one["name"]: one["licenses"][0]["expression"] for one in bill["components"]}
    others = {name for name, licence in said.items() if not script.allowed(licence)}
    assert others == {"soda-core", "soda-duckdb"}  # Elastic-2.0: told in the README
    assert "Elastic License 2.0" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(script.BY_HAND) <= set(said) and all(reason for _, reason in script.BY_HAND.values())


@pytest.mark.parametrize(
    ("licence", "well"),
    [
        ("MIT", True), ("MIT OR GPL-3.0-only", True), ("Apache-2.0 AND BSD-2-Clause", True), ("MPL-2.0", True),
        ("MIT AND GPL-3.0-only", False), ("AGPL-3.0-only", False), ("GPL-2.0-or-later OR AGPL-3.0-only", False), ("", False), ("Proprietary", False),
    ],
)  # fmt: skip
def test_s13_a_licence_is_judged_by_all_it_asks_for(script: ModuleType, licence: str, well: bool) -> None:
    assert script.allowed(licence) is well


def test_s13_a_package_nobody_looked_at_is_named(script: ModuleType) -> None:
    assert script.licence_of("no-such-package-here") == "" and not script.allowed("")
    assert [one.name for one in script.locked("a-b==1.0 ; sys_platform == 'x' \\\n    --hash=sha256:" + "0" * 64 + "\n    # via c\nc==2\n")] == ["a-b", "c"]
