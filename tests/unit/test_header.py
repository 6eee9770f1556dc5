"""The header of a file is read from its first line alone, as if from the whole file."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import FileRejected
from pipeline.landing.header import DELIMITERS, LONGEST_NAME, _parse, first_line
from pipeline.landing.look import HEAD
from tests.conftest import Shop

texts = st.text(st.sampled_from(list('ab",;\t|\n\r \ufeff\x0b')), max_size=24)


def parsed(text: str, delimiter: str) -> object:
    try:
        return _parse(text, delimiter)
    except FileRejected as error:
        return error.sentence()


@settings(max_examples=400, deadline=None)
@given(text=texts, delimiter=st.sampled_from(DELIMITERS))
@example(text=';\r, "', delimiter=",")  # lines that end in CR alone: padding is looked for in all of them
@example(text='\r\n \n,a\r\n,"', delimiter=",")
def test_the_first_line_says_of_the_header_what_the_whole_text_says(text: str, delimiter: str) -> None:
    line = first_line(text)
    assert line is None or (line in text and '"' not in line)
    assert parsed(line or text, delimiter) == parsed(text, delimiter)


LONG = [f"column {number} {'x' * 200}" for number in range(HEAD // 200)]


@pytest.mark.parametrize(
    "header",
    ["order_id,customer_id,status,amount,updated_at", '"order_id","customer_id","status","amount","updated_at"'],
)
@pytest.mark.parametrize("before", ["\n" * (HEAD + 7), ""])
@pytest.mark.parametrize("more", [LONG, ['"x\ny"', *LONG], ["x"]])
def test_a_header_that_begins_late_or_is_longer_than_what_is_kept_of_a_file_is_read_all_the_same(
    shop: Shop, header: str, before: str, more: list[str]
) -> None:
    here = ",here" * len(more)
    shop.drop("orders_1.csv", f"{before}{header},{','.join(more)}\n1,ann,paid,10.00,2024-01-01{here}\n")
    assert shop.run().status == "succeeded"
    assert shop.warehouse("SELECT order_id, status, amount FROM silver.orders") == [("1", "paid", 10)]


@pytest.mark.parametrize("letters", [LONGEST_NAME, LONGEST_NAME + 1])
def test_a_new_column_with_a_name_that_is_no_name_rejects_its_file_in_one_sentence(shop: Shop, letters: int) -> None:
    shop.drop("orders_1.csv", f"order_id,customer_id,status,amount,updated_at,{'x' * letters}\n1,ann,paid,10.00,2024-01-01,here\n")
    shop.run()
    reason = shop.home / "rejected/orders_1.csv.error.txt"
    assert reason.exists() == (letters > LONGEST_NAME)
    if reason.exists():
        assert reason.read_text() == (
            f"orders_1.csv: one of its columns has a name of {letters} letters, more than {LONGEST_NAME}: {'x' * 40}…; "
            "deliver a shorter name, or set `drift: ignore` in orders.yml.\n"
        )


def test_what_an_error_shows_of_a_long_header_is_its_start(shop: Shop) -> None:
    shop.drop("orders_1.csv", f"number,customer_id,status,amount,updated_at,{','.join(LONG)}\n")
    shop.run()
    said = (shop.home / "rejected/orders_1.csv.error.txt").read_text()
    assert "it has no key column order_id; its header is number, customer_id," in said and len(said) < 500
