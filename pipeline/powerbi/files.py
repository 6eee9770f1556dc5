"""The whole project as files, in a folder or in a zip: the same tables give the same bytes."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.powerbi.catalog import Catalog, read_catalog
from pipeline.powerbi.connections import pbids
from pipeline.powerbi.model import model_files
from pipeline.powerbi.names import file_names, tag
from pipeline.powerbi.queries import MODES
from pipeline.powerbi.report import report_files
from pipeline.powerbi.roles import roles_of
from pipeline.powerbi.trust import FEED, FRESHNESS, with_trust
from pipeline.project.project import Project

SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric"
_STAMP = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can hold


def project_files(
    project: Project, manifest: Mapping[str, Any], mode: str = "import", url: str | None = None, *, roles: bool = True
) -> dict[str, str]:
    """Path -> text of the Power BI project of a version.

    A manifest cut to what a role may see gives the project of that role; without `roles` it has none, for who sees
    only a part should not read the rules of others.
    Raises UsageError for a mode there is not.
    """
    if mode not in MODES:
        raise UsageError(f"there is no mode {mode!r}", where="powerbi export", do=f"use {' or '.join(MODES)}")
    catalog = with_trust(read_catalog(project, manifest))
    name = file_names([catalog.project])[catalog.project]
    model = model_files(catalog, mode, url, roles_of(project.folder) if roles else {}, _groups(project, catalog))
    files = {
        f"{name}.pbip": _json(_shortcut(name)),
        f"{name}.pbids": pbids(url, mode),
        ".gitignore": "**/.pbi/localSettings.json\n**/.pbi/cache.abf\n",
        f"{name}.SemanticModel/.platform": _json(_platform("SemanticModel", name)),
        f"{name}.SemanticModel/definition.pbism": _json(_pbism()),
        **{f"{name}.SemanticModel/definition/{path}": text for path, text in model.items()},
        f"{name}.Report/.platform": _json(_platform("Report", name)),
        f"{name}.Report/definition.pbir": _json(_pbir(name)),
        **{f"{name}.Report/{path}": _json(value) for path, value in report_files(catalog).items()},
    }
    return dict(sorted(files.items()))


def _groups(project: Project, catalog: Catalog) -> dict[str, list[str]]:
    """The perspectives: the flows of goldfeed.yml, each with its gold tables and how far they can be trusted."""
    there = {table.source for table in catalog.tables}
    groups = {name: sorted(t.removeprefix("gold.") for t in flow.tables) for name, flow in project.flows.items()}
    shown = {name: [table for table in tables if table in there] for name, tables in groups.items()}
    return {name: [*tables, FEED, FRESHNESS] for name, tables in shown.items() if tables}


def project_zip(
    project: Project, manifest: Mapping[str, Any], mode: str = "import", url: str | None = None, *, roles: bool = True
) -> bytes:
    """The project as a zip; no time and no machine in it, so that the same version gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in project_files(project, manifest, mode, url, roles=roles).items():
            entry = zipfile.ZipInfo(path, _STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, text.encode())
    return buffer.getvalue()


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, each beside and then renamed; files of an older export that are no longer made are removed.

    Raises UsageError for a folder that holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not list(folder.glob("*.pbip")):
        raise UsageError("the folder holds something else", where=str(folder), do="choose an empty folder")
    for old in [path for made in folder.glob("*.SemanticModel") for path in made.rglob("*.tmdl")] + [
        path for made in folder.glob("*.Report") for path in made.rglob("*.json") if ".pbi" not in path.parts
    ]:
        if str(old.relative_to(folder)) not in files:
            _remove(old)
    write_files(folder, files)


def _remove(path: Path) -> None:
    """Remove a file, and its folder if that was all: Power BI asks of each visual's folder that it holds a visual."""
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files under a folder, each beside and then renamed."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _shortcut(name: str) -> dict[str, Any]:
    return {
        "$schema": f"{SCHEMAS}/pbip/pbipProperties/1.0.0/schema.json",
        "version": "1.0",
        "artifacts": [{"report": {"path": f"{name}.Report"}}],
        "settings": {"enableAutoRecovery": True},
    }


def _platform(kind: str, name: str) -> dict[str, Any]:
    return {
        "$schema": f"{SCHEMAS}/gitIntegration/platformProperties/2.0.0/schema.json",
        "metadata": {"type": kind, "displayName": name},
        "config": {"version": "2.0", "logicalId": tag(name, kind)},
    }


def _pbism() -> dict[str, Any]:
    return {
        "$schema": f"{SCHEMAS}/item/semanticModel/definitionProperties/1.0.0/schema.json",
        "version": "4.2",
        "settings": {},
    }


def _pbir(name: str) -> dict[str, Any]:
    return {
        "$schema": f"{SCHEMAS}/item/report/definitionProperties/2.0.0/schema.json",
        "version": "4.0",
        "datasetReference": {"byPath": {"path": f"../{name}.SemanticModel"}},
    }
