"""published/: immutable version folders, their manifests and the pointer to the current one."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import PublishError

POINTER = "current"
MANIFEST = "manifest.json"
STATE = "state.json"
DAMAGE = "damaged.json"
_KEPT = 4  # manifests in memory
_seen: dict[tuple[Path, str], tuple[tuple[int, int], dict[str, Any]]] = {}


def versions(published: Path) -> list[str]:
    """The versions on disk that are complete, oldest first."""
    return sorted(path.parent.name for path in published.glob(f"[0-9]*/{MANIFEST}"))


def current(published: Path) -> str | None:
    """The version the pointer names, or None."""
    try:
        return Path(os.readlink(published / POINTER)).name
    except OSError:
        return None


def point_to(published: Path, version: str) -> None:
    """Swap the pointer: one rename, so a reader sees the old version or the new, never neither."""
    beside = published / f".{POINTER}.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(version)
    os.replace(beside, published / POINTER)
    sync(published)


def read_manifest(published: Path, version: str) -> dict[str, Any]:
    """The manifest of a version. Raises PublishError if there is none or it cannot be read."""
    path = published / version / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PublishError(
            f"there is no version {version}", where=str(published), do="`goldfeed history` lists those that are kept"
        ) from error
    except ValueError as error:
        raise PublishError(
            "the manifest is damaged", where=str(path), do="`goldfeed rollback` to another version"
        ) from error
    return manifest


def seen_manifest(published: Path, version: str) -> dict[str, Any]:
    """As `read_manifest`, but parsed once as long as the file is that of before: not to be changed by who gets it."""
    try:
        stamp = _stamp(published, version)
    except OSError:
        return read_manifest(published, version)
    held = _seen.get((published, version))
    if held is not None and held[0] == stamp:
        return held[1]
    manifest = read_manifest(published, version)
    remember_manifest(published, version, manifest)
    return manifest


def is_whole(published: Path, version: str) -> bool:
    """Whether a version is there with a manifest that can be read; its files are another matter (`known_damage`)."""
    try:
        seen_manifest(published, version)
    except PublishError:
        return False
    return MANIFEST not in known_damage(published, version)


def remember_manifest(published: Path, version: str, manifest: dict[str, Any]) -> None:
    """Spare `seen_manifest` the reading of a manifest that this process has just written, which is as large as gold is wide."""
    _seen[published, version] = _stamp(published, version), manifest
    for key in list(_seen)[:-_KEPT]:
        _seen.pop(key, None)


def _stamp(published: Path, version: str) -> tuple[int, int]:
    info = (published / version / MANIFEST).stat()
    return info.st_mtime_ns, info.st_size


def manifest_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 of what a manifest says, but for its own `sha256`."""
    body = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def damaged(published: Path, version: str) -> list[str]:
    """Tables of a version whose file is missing or whose SHA-256 is not the manifest's.

    What is found is left beside the versions, so that the next run writes these tables anew.
    """
    try:
        manifest = read_manifest(published, version)
    except PublishError:
        manifest = {"sha256": "none"}
    if manifest.pop("sha256", seal := manifest_hash(manifest)) != seal:
        wrong = [MANIFEST]
    else:
        wrong = [
            name
            for name, table in manifest["tables"].items()
            if not all(_intact(published / version / path, sha256) for path, sha256 in table_files(table))
        ]
    if wrong:
        _note_damage(published, version, wrong)
    return wrong


def known_damage(published: Path, version: str) -> list[str]:
    """What of a version was found damaged when it was last looked at."""
    try:
        noted = json.loads((published / DAMAGE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(noted.get(version, [])) if isinstance(noted, dict) else []


def _note_damage(published: Path, version: str, wrong: list[str]) -> None:
    """Beside the versions, for as long as they are there. A reader that may not write only reads."""
    if known_damage(published, version) == wrong:
        return
    kept = {name: found for name in versions(published) if (found := known_damage(published, name))}
    beside = published / f".{DAMAGE}.new"
    with suppress(OSError):
        beside.write_text(json.dumps({**kept, version: wrong}, indent=1), encoding="utf-8")
        os.replace(beside, published / DAMAGE)


def table_files(table: dict[str, Any]) -> list[tuple[str, str]]:
    """(path in the version's folder, SHA-256) of each file of a table in a manifest; older ones have one file."""
    files = table.get("files") or [table]
    return [(file["file"], file["sha256"]) for file in files]


def _intact(path: Path, sha256: str) -> bool:
    try:
        return file_hash(path) == sha256
    except OSError:
        return False


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_state(published: Path) -> dict[str, Any]:
    """What the last run left for readers beside the versions (see steps/state.py); empty before the first."""
    try:
        state: dict[str, Any] = json.loads((published / STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return state


def write_state(published: Path, state: dict[str, Any]) -> None:
    """Written beside, synced, renamed: a reader sees the old state or the new."""
    beside = published / f".{STATE}.new"
    beside.write_text(json.dumps(state, indent=1), encoding="utf-8")
    sync(beside)
    os.replace(beside, published / STATE)
    sync(published)
