"""Lines that the fast reader refused: what they are, seen from the file itself.

DuckDB numbers such lines rightly, but its words about them can be wrong: of a line with two broken quotes it gives the
line before as the text. And after a broken quote it can take what follows for a row that nobody wrote. So each line is
fetched by its number and judged by the careful reader's grammar, and a file with a broken quote is read by that reader.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.landing.guard import Ready, plain_chunks
from pipeline.landing.raw import plain_lines, raw_text
from pipeline.landing.records import BROKEN_QUOTE, Grammar, bytes_problem, is_blank


def look_at_refused(ready: Ready, lines: Sequence[int]) -> tuple[list[tuple[int, str, str]], list[int]] | None:
    """(line, reason, raw text) of the broken ones among some lines (sorted), and the numbers of the blank ones.

    None when a quote is broken, or a good line was refused: then the rows are in doubt, too.
    """
    grammar = Grammar(ready.layout)
    broken, blank = list[tuple[int, str, str]](), list[int]()
    for line, body in plain_lines(plain_chunks(ready.looked.plain), lines):
        if is_blank(body, grammar.delimiter):
            blank.append(line)
            continue
        problem = bytes_problem(body, ready.limit, recoded=False) or grammar.problem(body)
        if problem in (None, BROKEN_QUOTE):
            return None
        broken.append((line, problem, raw_text(body[: ready.limit])))
    return broken, blank
