"""The fast reader and the careful one: the same rows, broken lines and blank lines of the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.landing.guard import Ready, carefully, look_at, make_ready
from pipeline.landing.scan import FoundFile
from pipeline.settings import Settings
from pipeline.sql import columns_list
from pipeline.steps.ingest import _read_exactly
from pipeline.warehouse import load
from pipeline.warehouse.database import Database, open_in_memory
from tests.conftest import Shop


@dataclass
class Desk:
    """Reads one file of a source of three columns, into memory."""

    shop: Shop
    database: Database
    files: int = 0

    def ready(self, content: bytes, *, careful: bool) -> Ready:
        self.files += 1
        path = self.shop.drop(f"{self.files}.csv", content)
        info = path.stat()
        found = FoundFile(path, path.name, info.st_size, info.st_mtime_ns)
        looked = look_at(found, self.shop.home, self.files, self.settings, None)
        self.source = self.shop.project().graph.sources["bronze.orders"]
        ready = make_ready(looked, self.source, set(), self.settings)
        return carefully(ready, self.settings) if careful and not ready.careful else ready

    @property
    def settings(self) -> Settings:
        return self.shop.project().settings

    def read(self, ready: Ready) -> dict[str, Any] | None:
        """Rows with their lines, broken lines and blank ones; None if it is not read exactly."""
        group = load.Group(self.source, [ready], [1], dict.fromkeys(self.source.columns, "VARCHAR"))
        if not all(_read_exactly(self, group)):  # type: ignore[arg-type]  # it takes the database only
            return None
        load.number_lines(self.database)
        ready = group.files[0]
        return {
            "rows": self.database.rows(f"SELECT _line, {columns_list(group.columns)} FROM {load._rows(group)} ORDER BY _line"),
            "broken": self.database.rows("SELECT line, reason, raw FROM broken ORDER BY ALL"),
            "blank": ready.counts.blank if ready.counts else len(ready.gaps) - 1,
            "expected": ready.expected,
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    shop = Shop(tmp_path_factory.mktemp("desk"))
    shop.write("goldfeed.yml", "name: desk\n")
    shop.write("sql/bronze/orders.yml", 'files: "*.csv"\ncolumns:\n  id: {type: varchar}\n  a: {type: varchar}\n  b: {type: varchar}\n')
    database = open_in_memory(shop.project().settings)
    yield Desk(shop, database)
    database.close()


EXAMPLES = int(os.environ.get("GOLDFEED_SOAK_EXAMPLES", "60"))
PIECES = st.sampled_from(["k", "", " ", "\t", '"a"', '"a,b"', '"a ""b"""', 'a"b', '"a', 'a"', '"a"b', '""', '"', "é", "\ufffd", "x y", "\v", "\xa0", "\\", "\\\"", "'", "#", "null"])
LINES = st.one_of(
    st.lists(PIECES, min_size=3, max_size=3).map(",".join),
    st.lists(PIECES, min_size=0, max_size=5).map(",".join),
    st.sampled_from(["", " ", "\t", "  \t ", 'k,"a\nb",c', 'k,"a\n\nb",c', 'k,"a\n,b']),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=st.lists(LINES, min_size=1, max_size=14), end=st.sampled_from(["\n", "\r\n"]), open_end=st.booleans())
@example(lines=["k,a,b", "   ", "k,a,b", "\t", "k"], end="\n", open_end=False)
@example(lines=["k,a,b", " "], end="\r\n", open_end=True)
def test_law_whichever_reader_takes_a_file_its_rows_broken_lines_and_blank_lines_are_the_same(
    desk: Desk, lines: list[str], end: str, open_end: bool
) -> None:
    text = end.join(["id,a,b", *(line.replace("\n", end) for line in lines)]) + ("" if open_end else end)
    fast = desk.read(desk.ready(text.encode(), careful=False))
    careful = desk.read(desk.ready(text.encode(), careful=True))
    assert careful is not None
    assert fast is None or fast == careful
