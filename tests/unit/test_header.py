"""The header of a file is read from its first line alone, as if from the whole file."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import FileRejected
from pipeline.landing.header import DELIMITERS, _parse, first_line
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


@pytest.mark.parametrize(
    "header",
    ["order_id,customer_id,status,amount,updated_at", '"order_id","customer_id","status","amount","updated_at"'],
)
@pytest.mark.parametrize("before", ["\n" * (HEAD + 7), ""])
@pytest.mark.parametrize("more", ["x" * (HEAD + 7), '"x\ny\n' + "z" * HEAD + '"', "x"])
def test_a_header_that_begins_late_or_is_longer_than_what_is_kept_of_a_file_is_read_all_the_same(
    shop: Shop, header: str, before: str, more: str
) -> None:
    shop.drop("orders_1.csv", f"{before}{header},{more}\n1,ann,paid,10.00,2024-01-01,here\n")
    assert shop.run().status == "succeeded"
    assert shop.warehouse("SELECT order_id, status, amount FROM silver.orders") == [("1", "paid", 10)]
