"""What the commands for Power BI do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import show
from pipeline.errors import UsageError
from pipeline.feed.snapshot import good_version
from pipeline.powerbi.catalog import read_catalog
from pipeline.powerbi.connections import FORMATS, odc_files, pbids
from pipeline.powerbi.files import project_files, write_files, write_project
from pipeline.project.project import Project
from pipeline.published import read_manifest


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the folder cannot be written: {error.strerror}"
        raise UsageError(what, where=str(folder), do="choose another") from error


def export(project: Project, folder: Path, mode: str, url: str | None, *, json_out: bool) -> None:
    """Write the Power BI project of the published version into a folder."""
    version, _ = good_version(project.settings.published)
    files = project_files(project, read_manifest(project.settings.published, version), mode, url)
    with _writable(folder):
        write_project(folder, files)
    start = next(name for name in files if name.endswith(".pbip"))
    if json_out:
        show.print_json({"folder": str(folder), "open": start, "mode": mode, "version": version, "files": len(files)})
        return
    show.out().print(
        f"{len(files)} files of version {version} are in {folder}; open {start} in Power BI Desktop.",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def connections(project: Project, folder: Path, kind: str, url: str | None, *, json_out: bool) -> None:
    """Write connection files of one kind into a folder."""
    if kind not in FORMATS:
        tableau = "; in Tableau choose To a Server, OData, and give the feed's URL" if kind == "tds" else ""
        raise UsageError(f"there is no format {kind!r}", where="export", do=f"use {' or '.join(FORMATS)}{tableau}")
    version, _ = good_version(project.settings.published)
    catalog = read_catalog(project, read_manifest(project.settings.published, version))
    files = odc_files(catalog, url) if kind == "odc" else {f"{catalog.project}.pbids": pbids(url)}
    with _writable(folder):
        write_files(folder, files)
    if json_out:
        show.print_json({"folder": str(folder), "files": sorted(files)})
    else:
        show.out().print(f"{len(files)} connection files are in {folder}.", highlight=False, markup=False)
