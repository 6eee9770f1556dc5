"""Errors are one sentence, whoever said its first half."""

from __future__ import annotations

import duckdb
import pytest

from pipeline.errors import GoldfeedError, UsageError, first_line
from pipeline.feed.snapshot import run_query
from pipeline.warehouse.database import open_in_memory
from tests.conftest import Shop


@pytest.mark.parametrize("said", ["it is not there", "it is not there.", "it is not there!", "it is not there!! ", "it is not there..."])
def test_what_ends_a_sentence_is_not_in_the_middle_of_ours(said: str) -> None:
    assert str(GoldfeedError(said, where="x", do="look")) == "x: it is not there; look."
    assert str(GoldfeedError(said)) == "it is not there."


def test_a_question_at_the_end_stays_one() -> None:
    assert str(GoldfeedError("there is no x", do="did you mean y?")) == "there is no x; did you mean y?"


@pytest.mark.parametrize(("said", "kept"), [("One! \n\nLINE 1: x", "One"), ("  One. \n", "One"), ("a.b is no table", "a.b is no table"), ("", "ValueError")])
def test_of_another_error_the_first_sentence_is_kept(said: str, kept: str) -> None:
    assert first_line(ValueError(said)) == kept


UNKNOWN = "SELECT * FROM nowhere"


def test_the_engines_exclamation_mark_is_gone_from_a_readers_question_and_from_the_warehouses(shop: Shop) -> None:
    connection = duckdb.connect()
    with pytest.raises(duckdb.Error, match=r"does not exist!"):  # what this is about
        connection.execute(UNKNOWN)
    database = open_in_memory(shop.project().settings)
    for ask in (lambda: run_query(connection, UNKNOWN), lambda: database.query(UNKNOWN)):
        with pytest.raises(UsageError, match=r"nowhere does not exist; correct the SQL") as caught:
            ask()
        assert "!" not in str(caught.value) and str(caught.value).endswith(".")
    with pytest.raises(GoldfeedError, match=r"nowhere does not exist\.$"):
        database.run(UNKNOWN)
    database.close()
