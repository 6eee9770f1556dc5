"""The software bill of materials of the image: CycloneDX 1.5, from requirements.lock and what is installed.

Example: python .ci/sbom.py > build/sbom.json
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = ("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "ISC", "MPL-2.0")
# package -> its licence, where its own metadata do not say it or it is not on the list; and why that is well
BY_HAND = {
    "colorama": ("BSD-3-Clause", "installed on Windows alone, so there are no metadata to read here"),
    "soda-core": ("Elastic-2.0", "free to use inside a company, not to be resold as a service: the README says so"),
    "soda-duckdb": ("Elastic-2.0", "part of Soda Core"),
}
IDS = {  # as older metadata say it
    "MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "Apache Software License": "Apache-2.0",
}


@dataclass(frozen=True)
class Locked:
    """A package of requirements.lock: the hashes are those of its files, any of which pip may take."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(text: str) -> list[Locked]:
    """The packages of a lock file."""
    found = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block)
        if head:
            found.append(Locked(head[1], head[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))))
    return found


def licence_of(name: str) -> str:
    """The SPDX expression of a package's licence; empty when nothing says it."""
    if name in BY_HAND:
        return BY_HAND[name][0]
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return ""
    classes = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    words = [said.get("License-Expression"), said.get("License"), *classes]
    short = [word for word in words if word and "\n" not in word]  # some put the whole text there
    return IDS.get(short[0], short[0]) if short else ""


def allowed(expression: str) -> bool:
    """Whether a licence is one of those that ask for no more than a notice, or for changes of their own files."""
    ways = [way.split(" AND ") for way in expression.split(" OR ")]
    return any(all(part.strip("() ") in ALLOWED for part in way) for way in ways)


def component(package: Locked) -> dict[str, Any]:
    address = f"pkg:pypi/{package.name}@{package.version}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": package.name,
        "version": package.version,
        "purl": address,
        "licenses": [{"expression": licence_of(package.name)}],
        "hashes": [{"alg": "SHA-256", "content": content} for content in package.hashes],
    }


def sbom(text: str) -> dict[str, Any]:
    """The bill for a lock file; the same lock file gives the same bill."""
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "pipeline/__init__.py").read_text(encoding="utf-8"))
    assert version is not None
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, version[1] + text)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "goldfeed", "name": "goldfeed", "version": version[1]}
        },
        "components": [component(package) for package in locked(text)],
    }


def main() -> int:
    """Print the bill; on standard error, the packages whose licence is neither on the list nor answered for by name."""
    packages = locked(text := (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    print(json.dumps(sbom(text), indent=2))
    wrong = [one.name for one in packages if one.name not in BY_HAND and not allowed(licence_of(one.name))]
    for name in wrong:
        print(
            f"{name}: the licence {licence_of(name)!r} is not on the list of .ci/sbom.py; look at it.", file=sys.stderr
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
