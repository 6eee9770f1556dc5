"""A role's condition on rows: parsed, checked, and said for one reader."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_ALLOWED = (
    *(exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In),
    *(exp.Between, exp.Like, exp.ILike, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Null, exp.Boolean, exp.Literal),
    *(exp.Column, exp.Identifier, exp.Neg, exp.Lower, exp.Upper, exp.Trim, exp.Year, exp.Month, exp.Day),
    *(exp.Coalesce, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Placeholder),
)


def parse_condition(text: str) -> exp.Expression:
    """A row condition as a tree: comparisons of columns with constants and `$user`, and nothing that reads elsewhere.

    Raises ValueError with a sentence.
    """
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE {text}", dialect="duckdb")
    except SqlglotError as error:
        raise ValueError(f"{text!r} is no SQL condition") from error
    where = tree.args.get("where") if isinstance(tree, exp.Select) else None
    parts = {name for name, value in tree.args.items() if value}
    if not isinstance(where, exp.Where) or parts != {"expressions", "where"}:
        raise ValueError(f"{text!r} is no SQL condition")
    condition = where.this
    for node in condition.walk():
        _check(node)
    assert isinstance(condition, exp.Expression)
    return condition


def _check(node: exp.Expression) -> None:
    if not isinstance(node, _ALLOWED) or (isinstance(node, exp.Func) and type(node) not in _ALLOWED):
        raise ValueError(f"{node.sql(dialect='duckdb')!r} is not allowed in a condition on rows")
    if isinstance(node, exp.Column) and (node.table or isinstance(node.this, exp.Star)):
        raise ValueError(f"{node.sql(dialect='duckdb')!r} must be a column's bare name")
    if isinstance(node, exp.In) and not node.expressions:
        raise ValueError("a condition on rows cannot ask another table")
    if isinstance(node, exp.Cast) and not isinstance(node.this, exp.Literal):
        raise ValueError("only a constant can be cast in a condition on rows")
    if isinstance(node, exp.Placeholder) and node.name != "user":
        raise ValueError(f"the only name that stands for a value is $user, not ${node.name}")


def columns_used(condition: exp.Expression) -> set[str]:
    """The columns that a condition names."""
    return {column.name for column in condition.find_all(exp.Column)}


def condition_for(text: str, user: str) -> str:
    """The condition as SQL for one reader, its columns quoted and `$user` replaced by the name as a literal."""

    def one(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Placeholder):
            return exp.Literal.string(user)
        if isinstance(node, exp.Column):
            return exp.column(exp.to_identifier(node.name, quoted=True))
        return node

    return parse_condition(text).transform(one).sql(dialect="duckdb", comments=False)
