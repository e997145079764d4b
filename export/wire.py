"""Serialized messages before protobuf reads them: what they would take, and large parts apart.

A few bytes of a file can state a message of hundreds, or an integer of eight, and protobuf holds
every byte twice while it reads. So a file's fields are walked as the schema types them, what they
hold is not read, and large parts are taken out to be read one by one. Source: protobuf's encoding,
https://protobuf.dev/programming-guides/encoding.
"""

import io
from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

_MESSAGE = 160  # bytes that an empty message takes, about
_SPARE = 1 << 20  # bytes that may be taken beyond the file: many small messages are a normal graph
_DEEPEST = 64  # protobuf itself refuses what is deeper than 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {3: 8, 4: 8, 5: 4, 8: 1, 13: 4, 14: 4, 17: 4, 18: 8}  # of what varints state, by type
_BLOCK = 1 << 16

Data = bytes | mmap
Field = tuple[int, int, int, int, int]  # number, wire type, and where key, content and end stand


def is_inflating(data: Data, descriptor: Any) -> bool:
    """Whether a message would take more than twice its bytes, and a MiB.

    What cannot be walked is left to protobuf, which refuses it.

    Args:
        descriptor: of the message in protobuf's schema.
    """
    room = len(data) + _SPARE
    for taken in _sizes(data, 0, len(data), descriptor, 0):
        room -= taken
        if room < 0:
            return True
    return False


def apart(
    data: Data, path: tuple[int, ...], at: int = 0, end: int | None = None
) -> tuple[bytes, list[tuple[int, int]]]:
    """A message without the fields at a path, and where the content of these begins and ends.

    Args:
        path: numbers of fields that hold messages, and last of one that is taken out.
        at, end: where the message stands in the data.

    Raises:
        DecodeError: the fields of a message on the path do not follow one another.
    """
    kept, found = io.BytesIO(), []
    for number, kind, key, begin, stop in _checked(data, at, len(data) if end is None else end):
        if (number, kind) != (path[0], _BYTES):
            kept.write(data[key:stop])
        elif len(path) == 1:
            found.append((begin, stop))
        else:
            inner, places = apart(data, path[1:], begin, stop)
            kept.write(_as_varint(number << 3 | kind) + _as_varint(len(inner)))
            kept.write(inner)
            found += places
    return kept.getvalue(), found


def _checked(data: Data, at: int, end: int) -> list[Field]:
    found = list(_fields(data, at, end))
    if found and found[-1][1] < 0:
        raise DecodeError(f"no field of a message at byte {found[-1][2]}")
    return found


def _fields(data: Data, at: int, end: int) -> Iterator[Field]:
    """The fields of a message, to the first that cannot be walked; that one is given to the end."""
    while at < end:
        key, begin = at, 0
        value, at = _varint(data, at, end)
        kind = value & 7
        if kind == _BYTES:
            n, begin = _varint(data, at, end)
            at = begin + n
        elif kind == _VARINT:
            begin = at
            _, at = _varint(data, at, end)
        elif kind in (_FIXED32, _FIXED64):
            begin = at
            at += 4 if kind == _FIXED32 else 8
        if not begin or at > end:
            yield 0, -1, key, end, end
            return
        yield value >> 3, kind, key, begin, at


def _sizes(data: Data, at: int, end: int, descriptor: Any, depth: int) -> Iterator[int]:
    """Bytes that each field takes in memory."""
    for number, kind, _, begin, stop in _fields(data, at, end):
        field = descriptor.fields_by_number.get(number)
        if kind != _BYTES or depth == _DEEPEST:
            yield 8
        elif field is None:
            yield stop - begin
        elif field.message_type is not None:
            yield _MESSAGE
            yield from _sizes(data, begin, stop, field.message_type, depth + 1)
        elif field.type in _WIDTHS:
            yield from _packed(data, begin, stop, _WIDTHS[field.type])
        else:
            yield stop - begin + 16  # a string's own size and place


def _packed(data: Data, at: int, end: int, width: int) -> Iterator[int]:
    """Of varints one after another, each of which ends in a byte below 128."""
    for start in range(at, end, _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK, end - start), start)
        yield width * int((block < 128).sum())


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends); cut off at the end."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            break
    return value, at
