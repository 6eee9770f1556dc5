"""Thrift's compact protocol, as the footer of a Parquet file is written in: read into plain objects and back, byte for byte.

A struct is {number of the field: (type, value)}, a list (type of its elements, values); what a field means is not asked, so a
footer with fields that are unknown here keeps them. Source: thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_LONG = 15  # a list of so many elements or more has their number apart
Struct = dict[int, tuple[int, Any]]


def read_struct(data: bytes) -> Struct:
    """The struct that `data` is. Raises ValueError if it is none, or more than one."""
    reader = _Reader(data)
    try:
        found = reader.struct()
    except IndexError as error:
        raise ValueError("a Thrift struct is cut off") from error
    if reader.place != len(data):
        raise ValueError("bytes follow a Thrift struct")
    return found


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    _write(out, STRUCT, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def bytes(self, many: int) -> bytes:
        self.place += many
        if self.place > len(self.data):
            raise IndexError
        return self.data[self.place - many : self.place]

    def number(self) -> int:
        found = shift = 0
        while (byte := self.byte()) > 127:
            found |= (byte & 127) << shift
            shift += 7
        return found | byte << shift

    def signed(self) -> int:
        number = self.number()
        return (number >> 1) ^ -(number & 1)

    def struct(self) -> Struct:
        fields, last = Struct(), 0
        while head := self.byte():
            last = last + (head >> 4) if head >> 4 else self.signed()
            kind = head & 15
            fields[last] = kind, (kind == TRUE if kind in (TRUE, FALSE) else self.value(kind))
        return fields

    def list(self) -> tuple[int, list[Any]]:
        head = self.byte()
        many, kind = head >> 4, head & 15
        return kind, [self.value(kind) for _ in range(self.number() if many == _LONG else many)]

    def value(self, kind: int) -> Any:
        """A value that stands by itself; only there a truth is a byte."""
        if kind in (TRUE, FALSE, BYTE):
            return self.byte()
        if kind in (I16, I32, I64):
            return self.signed()
        if kind in (DOUBLE, BINARY):
            return self.bytes(8 if kind == DOUBLE else self.number())
        if kind in (LIST, SET):
            return self.list()
        if kind == STRUCT:
            return self.struct()
        raise ValueError(f"a Thrift type {kind} is not known")


def _number(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _signed(out: bytearray, number: int) -> None:
    _number(out, number << 1 if number >= 0 else (-number << 1) - 1)


def _fields(out: bytearray, struct: Struct) -> None:
    last = 0
    for field, (kind, value) in struct.items():
        step, last = field - last, field
        out.append((step << 4 if 0 < step < 16 else 0) | kind)
        if not 0 < step < 16:
            _signed(out, field)
        if kind not in (TRUE, FALSE):
            _write(out, kind, value)
    out.append(0)


def _elements(out: bytearray, kind: int, values: list[Any]) -> None:
    out.append(min(len(values), _LONG) << 4 | kind)
    if len(values) >= _LONG:
        _number(out, len(values))
    for value in values:
        _write(out, kind, value)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in (TRUE, FALSE, BYTE):
        out.append(value)
    elif kind in (I16, I32, I64):
        _signed(out, value)
    elif kind == STRUCT:
        _fields(out, value)
    elif kind in (LIST, SET):
        _elements(out, *value)
    else:
        if kind == BINARY:
            _number(out, len(value))
        out += value
