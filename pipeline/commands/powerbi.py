"""What the commands for Power BI do."""

from __future__ import annotations

from pathlib import Path

from pipeline import show
from pipeline.errors import UsageError
from pipeline.feed.snapshot import good_version
from pipeline.powerbi.files import project_files, write_project
from pipeline.project.project import Project
from pipeline.published import read_manifest


def export(project: Project, folder: Path, mode: str, url: str | None, *, json_out: bool) -> None:
    """Write the Power BI project of the published version into a folder."""
    version, _ = good_version(project.settings.published)
    files = project_files(project, read_manifest(project.settings.published, version), mode, url)
    try:
        write_project(folder, files)
    except OSError as error:
        raise UsageError(
            f"the folder cannot be written: {error.strerror}", where=str(folder), do="choose another"
        ) from error
    start = next(name for name in files if name.endswith(".pbip"))
    if json_out:
        show.print_json({"folder": str(folder), "open": start, "mode": mode, "version": version, "files": len(files)})
        return
    show.out().print(
        f"{len(files)} files of version {version} are in {folder}; open {start} in Power BI Desktop.",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
