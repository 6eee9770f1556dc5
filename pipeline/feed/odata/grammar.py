"""Expressions: a recursive parser with a limit to its depth. Precedence as in the protocol, loosest first."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.feed.odata.literals import WORDS, literal_of
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.tokens import Reader
from pipeline.feed.odata.tree import Call, Choice, Lambda, Literal, Node, Operation, Path, TypeName

_DEEPEST = 40
_LONGEST = 60  # operators in a row: SQL would nest as deep
_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
_SUMS = ("add", "sub")
_PRODUCTS = ("mul", "div", "divby", "mod")
_UNKNOWN_VALUES = ("$it", "$root", "$this", "$all", "$count")


class Expressions:
    """Reads expressions; `aliases` are the values of `@name` in the address."""

    def __init__(self, reader: Reader, aliases: dict[str, str] | None = None) -> None:
        self.reader, self._aliases, self._depth = reader, aliases or {}, 0

    def expression(self) -> Node:
        """One expression. Raises RequestError: 400 where it is wrong, 501 where it is right but not offered."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise wrong(f"{self.reader.option} is nested more than {_DEEPEST} deep")
        try:
            return self._chain("or", lambda: self._chain("and", self._comparison))
        finally:
            self._depth -= 1

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self.reader.took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Operation(word, tuple(parts))

    def _comparison(self) -> Node:
        left = self._row(_SUMS, lambda: self._row(_PRODUCTS, self._signed))
        if word := self.reader.took(*_COMPARISONS):
            right = self._row(_SUMS, lambda: self._row(_PRODUCTS, self._signed))
            return Operation(word, (left, right))
        if self.reader.took("in"):
            return Choice(left, self._items())
        if self.reader.took("has"):
            raise unsupported("the operator has")
        return left

    def _row(self, words: tuple[str, ...], part: Callable[[], Node]) -> Node:
        left = part()
        for _ in range(_LONGEST):
            word = self.reader.took(*words)
            if not word:
                return left
            left = Operation(word, (left, part()))
        raise wrong(f"{self.reader.option} has more than {_LONGEST} operators in a row")

    def _signed(self) -> Node:
        if self.reader.took("not"):
            return Operation("not", (self._deeper(self._signed),))  # binds tighter than eq: the protocol's precedence
        if self.reader.now.text == "-" and self.reader.took("-"):
            return _negative(self._deeper(self._signed))
        return self._primary()

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise wrong(f"{self.reader.option} is nested more than {_DEEPEST} deep")
        node = part()
        self._depth -= 1
        return node

    def _primary(self) -> Node:
        token = self.reader.now
        if token.text == "(":
            self.reader.take()
            inside = self.expression()
            self.reader.take(")")
            return inside
        if token.kind in ("quoted", "guid", "moment", "date", "time", "number"):
            return literal_of(self.reader.take())
        if token.kind == "special":
            return self._special()
        if token.kind == "name":
            return self._named()
        raise self.reader.unexpected("a value")

    def _special(self) -> Node:
        token = self.reader.take()
        if token.text.startswith("@"):
            return self._alias(token.text)
        if token.text == "$it" and self.reader.took("/"):
            return self._named()
        if token.text in _UNKNOWN_VALUES:
            raise unsupported(f"{token.text} here")
        raise wrong(f"{self.reader.option} has {token.text[:40]!r}, which means nothing")

    def _alias(self, name: str) -> Node:
        if name not in self._aliases:
            return Literal(None, None)  # an alias without a value is null, says the protocol
        inner = Expressions(Reader(self._aliases[name], name), {})
        inner._depth = self._depth
        node = inner.expression()
        inner.reader.finish()
        return node

    def _named(self) -> Node:
        name = self.reader.name()
        if self.reader.now.text == "(":
            return Call(name, self._arguments(name))
        if name in WORDS:
            return WORDS[name]
        if "." in name:
            return TypeName(name)
        return self._path([name])

    def _path(self, names: list[str]) -> Node:
        while self.reader.took("/"):
            if self.reader.took("$count"):
                return Path(tuple(names), "$count")
            if self.reader.now.text in ("any", "all") and self.reader.ahead().text == "(":
                return self._lambda(Path(tuple(names)))
            names.append(self.reader.name())
            if "." in names[-1]:
                raise unsupported("a type in a path")
        return Path(tuple(names))

    def _lambda(self, path: Path) -> Node:
        name = self.reader.name()
        self.reader.take("(")
        if name == "any" and self.reader.took(")"):
            return Lambda(path, name, "", None)
        variable = self.reader.name()
        self.reader.take(":")
        condition = self.expression()
        self.reader.take(")")
        return Lambda(path, name, variable, condition)

    def _items(self) -> tuple[Node, ...]:
        if self.reader.now.text.startswith("@"):
            token = self.reader.take()
            if token.text not in self._aliases:
                raise wrong(f"{token.text[:40]} has no value")
            inner = Expressions(Reader(self._aliases[token.text], token.text))
            items = inner._items()
            inner.reader.finish()
            return items
        self.reader.take("(")
        return self._listed()

    def _arguments(self, name: str) -> tuple[Node, ...]:
        self.reader.take("(")
        if self.reader.took(")"):
            return ()
        return self._listed()

    def _listed(self) -> tuple[Node, ...]:
        found = [self.expression()]
        while self.reader.took(","):
            found.append(self.expression())
        self.reader.take(")")
        return tuple(found)


def _negative(node: Node) -> Node:
    """`-1` is a value, not an operation, so that it can be compared as one."""
    if isinstance(node, Literal) and node.type is not None and node.type.kind == "number":
        return Literal(-node.value, node.type)
    return Operation("minus", (node,))
