"""Lines are found again in a file by their numbers, however the file comes in chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.landing.raw import plain_lines

lines_of = st.lists(st.sampled_from([b"", b"a", b"bb\r", b"c,c,c"]), max_size=30)


@given(lines=lines_of, size=st.integers(1, 12), chosen=st.sets(st.integers(1, 31)), open_end=st.booleans())
def test_lines_are_those_with_their_numbers(lines: list[bytes], size: int, chosen: set[int], open_end: bool) -> None:
    text = b"\n".join(lines) + (b"" if open_end else b"\n")
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    last = max(1, len(lines)) if open_end else len(lines) + 1  # behind the last line end there is an empty one
    wanted = sorted(number for number in chosen if number <= last)
    every = text.split(b"\n")
    assert list(plain_lines(chunks, wanted)) == [(number, every[number - 1].rstrip(b"\r")) for number in wanted]
