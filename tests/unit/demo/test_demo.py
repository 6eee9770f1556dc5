"""The demo shop keeps its promises; an oracle reads its files afresh."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo import ShopSummary, write_shop
from tests.unit.demo.oracle import KEYS, NAME, Row, decoded, drops, raw_rows, recomputed


def shop(folder: Path, **changes: Any) -> ShopSummary:
    return write_shop(folder, **{"orders": 400, "days": 20, "seed": 1, **changes})


def truth_of(summary: ShopSummary) -> Row:
    truth: Row = json.loads(summary.truth.read_text(encoding="utf-8"))
    return truth


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def texts(folder: Path) -> list[str]:
    return [decoded(data) for _, data in drops(folder)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    orders=st.integers(1, 500),
    days=st.integers(1, 40),
    dirty=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5]),
)
def test_truth_is_what_the_files_add_up_to(seed: int, orders: int, days: int, dirty: float) -> None:
    with TemporaryDirectory() as name:
        summary = shop(Path(name), seed=seed, orders=orders, days=days, dirty=dirty)
        truth = truth_of(summary)
        expected = recomputed(Path(name))
        assert {part: truth[part] for part in expected} == expected


@pytest.mark.parametrize("dirty", [0.0, 0.05])
def test_truth_holds_when_the_rows_of_a_day_do_not_fit_in_memory_at_once(
    tmp_path: Path, dirty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.demo.sheets._CHUNK", 50)
    monkeypatch.setattr("pipeline.demo.shop._FLUSH_EVERY", 16)
    truth = truth_of(shop(tmp_path, orders=3000, days=4, dirty=dirty))
    expected = recomputed(tmp_path)
    assert {part: truth[part] for part in expected} == expected


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        shop(tmp_path / name, dirty=0.1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_another_shop(tmp_path: Path) -> None:
    shop(tmp_path / "a", seed=1)
    shop(tmp_path / "b", seed=2)
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


def test_writing_again_overwrites_and_leaves_no_part_files(tmp_path: Path) -> None:
    shop(tmp_path, dirty=0.1)
    before = contents(tmp_path)
    shop(tmp_path, dirty=0.1)
    assert contents(tmp_path) == before
    assert not [name for name in before if name.endswith(".part")]


def test_drops_of_another_shop_are_not_mixed_with(tmp_path: Path) -> None:
    write_shop(tmp_path, orders=20, days=2, seed=1)
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(ValueError, match="holds drops of another shop; run them first, or empty the folder"):
        write_shop(tmp_path, orders=20, days=2, seed=2)
    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before


def test_a_clean_shop_has_no_quarantined_rows(tmp_path: Path) -> None:
    assert set(truth_of(shop(tmp_path))["quarantined"].values()) == {0}


def test_a_clean_shop_is_plain_utf8_with_commas(tmp_path: Path) -> None:
    shop(tmp_path)
    for name, data in contents(tmp_path).items():
        assert not name.endswith(".gz")
        assert b"\r" not in data
        assert not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe"))
        data.decode("utf-8")


def test_truth_counts_each_distinct_file_once(tmp_path: Path) -> None:
    summary = shop(tmp_path, days=90, orders=2000, dirty=0.1)
    files = contents(tmp_path)
    copies = [name for name in files if "_resend.csv" in name]
    assert copies
    for name in copies:
        original = Path(name).name.replace("_resend", "")
        assert files[name] in [d for n, d in files.items() if Path(n).name == original]
    truth = truth_of(summary)
    distinct = sum(truth["rows"].values()) + sum(truth["quarantined"].values())
    employees = truth["rows"]["employees"]
    assert summary.rows > distinct - employees


def test_a_dirty_shop_shows_every_odd_form(tmp_path: Path) -> None:
    shop(tmp_path, orders=4000, days=60, dirty=0.1)
    data = [data for name, data in contents(tmp_path).items() if "year=" in name]
    starts = {bytes(start) for file in data for start in (file[:2], file[:3])}
    assert {b"\x1f\x8b", b"\xff\xfe", b"\xef\xbb\xbf"} <= starts
    text = "".join(texts(tmp_path))
    for part in (";", "\r\n", " EUR", "teleported", "not a date", "12.x", '"x', "\n\n"):
        assert part in text
    assert re.search(r"\d\d/\d\d/\d{4} \d\d:\d\d", text)
    assert re.search(r"\d\.\d{3},\d\d", text)
    assert " Order_Id " in text


def test_dirt_takes_about_the_chosen_share_of_rows(tmp_path: Path) -> None:
    clean = shop(tmp_path / "clean", orders=4000)
    dirty = truth_of(shop(tmp_path / "dirty", orders=4000, dirty=0.2))
    share = sum(dirty["quarantined"].values()) / clean.rows
    assert 0.08 < share < 0.12


def test_odd_files_stay_under_a_third(tmp_path: Path) -> None:
    shop(tmp_path / "clean")
    shop(tmp_path / "dirty", orders=3000, days=60, dirty=0.5)
    headers = tuple({data.splitlines(True)[0] for _, data in drops(tmp_path / "clean")})
    files = [data for _, data in drops(tmp_path / "dirty")]
    plain = sum(data.startswith(headers) for data in files)
    assert 0.65 < plain / len(files) < 0.9


def test_some_rows_come_days_after_their_own_time(tmp_path: Path) -> None:
    shop(tmp_path, orders=2000)
    late = 0
    for name, data in contents(tmp_path).items():
        match = NAME.fullmatch(Path(name).name)
        if match and match[1] == "order_items" and not match[3]:
            day = datetime.strptime(match[2], "%Y%m%d").date().isoformat()
            lines = data.decode().splitlines()[1:]
            late += sum(line.rsplit(",", 1)[1][:10] < day for line in lines)
    assert late


def test_keys_come_in_several_versions(tmp_path: Path) -> None:
    shop(tmp_path, orders=4000, days=60)
    versions: Counter[tuple[str, str]] = Counter()
    for source, data in drops(tmp_path):
        for row in raw_rows(decoded(data)):
            assert row is not None
            versions[source, "/".join(row[key] for key in KEYS[source])] += 1
    many = Counter(source for (source, _), count in versions.items() if count > 1)
    assert all(many[name] for name in ("customers", "products", "orders", "order_items"))


def test_a_shop_has_returning_customers_refunds_and_cancellations(
    tmp_path: Path,
) -> None:
    truth = truth_of(shop(tmp_path, orders=4000, days=60))
    assert sum(day["returning_customers"] for day in truth["daily"]) > 1000
    assert 0.03 < truth["overall"]["canceled_orders"] / 4000 < 0.07
    assert Decimal(truth["overall"]["refunds"]) > 0


def test_employees_include_namesakes_and_a_blank_weight(tmp_path: Path) -> None:
    shop(tmp_path)
    with (tmp_path / "employees.csv").open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file))
    name, count = Counter(person["Name"] for person in people).most_common(1)[0]
    assert count == 2
    assert len({person["Age"] for person in people if person["Name"] == name}) == 2
    assert [person["Weight(lbs)"] for person in people].count("") == 1
    assert any(len(person["Name"].split()) == 3 for person in people)


def test_every_day_is_reported(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    shop(tmp_path, days=3, on_day=lambda done, days: seen.append((done, days)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_summary_counts_the_files_there_are(tmp_path: Path) -> None:
    summary = shop(tmp_path, dirty=0.05)
    assert summary.files == len([n for n in contents(tmp_path) if "year=" in n])
    assert summary.orders == 400


@pytest.mark.parametrize("changes", [{"orders": 0}, {"days": 0}, {"dirty": -0.1}, {"dirty": 0.6}])
def test_impossible_arguments_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^[^.].*\.$"):
        shop(tmp_path, **changes)
    assert not contents(tmp_path)
