"""Three shops, run once: the demo shop, Olist and the gift shop, each with its project, manifest and files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.demo import write_shop
from pipeline.feed.snapshot import Snapshot, open_snapshot
from pipeline.powerbi.files import project_files
from pipeline.project.project import Project
from tests.conftest import ROOT, SAMPLE_DATA, Shop, needs_sample_data
from tests.powerbi.reader import Model, model_of

SHOPS = ["shop", "online_retail", pytest.param("olist", marks=[pytest.mark.slow, needs_sample_data])]


@dataclass
class Exported:
    """A published shop and what is exported of it."""

    shop: Shop
    project: Project
    snapshot: Snapshot
    truth: dict[str, Any] | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        return self.snapshot.manifest

    def files(self, mode: str = "import") -> dict[str, str]:
        return project_files(self.project, self.manifest, mode)

    def model(self, mode: str = "import") -> Model:
        return model_of(self.files(mode))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.snapshot.query(sql)[1]


def _made(name: str, home: Path) -> Exported:
    shop = Shop(ROOT if name == "shop" else ROOT / "examples" / name, home)
    truth = None
    if name == "shop":
        write_shop(home / "landing", orders=600, days=70, seed=11, dirty=0.01)
        truth = json.loads((home / "landing" / "truth.json").read_text())
    else:
        folder = SAMPLE_DATA / "olist" if name == "olist" else ROOT / "examples/online_retail/slice"
        for path in folder.glob("*.csv*"):
            shop.drop(path.name, path.read_bytes())
    assert shop.run().status == "succeeded"
    return Exported(shop, shop.project(), open_snapshot(shop.project().settings), truth)


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with packages of Microsoft's for Node; where there is no Node the test is skipped, and says so."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")

    def install(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("npm")
        (folder / "package.json").write_text('{"private": true}')
        words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        return folder

    return install


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Exported]]:
    """A shop by its name, made once."""
    yield cache(lambda name: _made(name, tmp_path_factory.mktemp(name)))
