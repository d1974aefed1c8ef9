"""Frames and the append-only encoding of ``protocol/README.md``.

A message is a msgpack array of its fields; a choice between kinds is ``[tag, field, ...]``. How a class is written follows
from its dataclass fields, so a message is declared once, in :mod:`kvorum.messages` and :mod:`kvorum.errors`:

==================  =======================================================
``int``             an unsigned number
``bool``            a truth value
``bytes``           a byte string
``str``             a text
``Name``            an ASCII name, written as a byte string
``X | None``        nil, or X
``tuple[X, ...]``   a list
an ``IntEnum``      ``[tag]``
a dataclass         an array of its fields
``Choice``          ``[tag, field, ...]``
==================  =======================================================

A reader that finds fewer fields than it knows takes their defaults; one that finds more skips them.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgpack

FRAME_BYTES = 16 * 1024 * 1024
"""Longest frame in either direction, without its own four length bytes."""

_LENGTH = struct.Struct(">I")


class DecodeError(Exception):
    """Bytes that are not what they should be."""


class Name:
    """Marks a ``str`` that is ASCII and travels as a byte string: a bucket's name."""


class Choice:
    """A choice between kinds, each with a pinned tag; ``other`` makes a value of a tag that this version does not know."""

    def __init__(self, kinds: Mapping[int, type], other: Callable[[int], Any] | None = None) -> None:
        self.kinds = dict(kinds)
        self.tags = {kind: tag for tag, kind in self.kinds.items()}
        self.other = other

    def put(self, value: Any) -> list[Any]:
        """``[tag, field, ...]``."""
        tag = self.tags.get(type(value))
        if tag is None:
            return [int(value.code)]
        return [tag, *put_fields(value)]

    def take(self, raw: Any) -> Any:
        """The value in ``[tag, field, ...]``."""
        if not isinstance(raw, list) or not raw:
            raise DecodeError("a choice is a tag and its fields")
        return self.take_kind(take_uint(raw[0]), raw[1:])

    def take_kind(self, tag: int, fields: list[Any]) -> Any:
        """The value of a kind from its fields."""
        kind = self.kinds.get(tag)
        if kind is not None:
            return take_fields(kind, fields)
        if self.other is not None:
            return self.other(tag)
        raise DecodeError(f"unknown tag {tag}")


def write_frame(choice: Choice, request_id: int, message: Any) -> bytes:
    """A message as a frame: its length, then ``[tag, request id, field, ...]``."""
    tag, *fields = choice.put(message)
    body: bytes = msgpack.packb([tag, request_id, *fields], use_bin_type=True)
    if len(body) > FRAME_BYTES:
        raise ValueError(f"a message of {len(body)} bytes: a frame holds at most {FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


def read_head(body: bytes) -> tuple[int, int, list[Any]]:
    """Tag, request id and undecoded fields of a frame's content."""
    try:
        raw = msgpack.unpackb(body, raw=False, strict_map_key=False)
    except Exception as error:
        raise DecodeError(f"not msgpack: {error}") from error
    if not isinstance(raw, list) or len(raw) < 2:
        raise DecodeError("a frame is an array of tag, request id and fields")
    return take_uint(raw[0]), take_uint(raw[1]), raw[2:]


def frame_length(head: bytes) -> int:
    """The length that a frame's first four bytes announce."""
    length: int = _LENGTH.unpack(head)[0]
    if length > FRAME_BYTES:
        raise DecodeError(f"a frame of {length} bytes")
    return length


def take_uint(raw: Any) -> int:
    """An unsigned number. ``True`` is none, although Python counts it as one."""
    if type(raw) is not int or not 0 <= raw < 1 << 64:
        raise DecodeError("not an unsigned number")
    return raw


def put_fields(value: Any) -> list[Any]:
    """The fields of a message in their order."""
    return [put(getattr(value, name)) for name, put, _, _ in _plan(type(value))]


def take_fields(kind: type, raw: list[Any]) -> Any:
    """A message from its fields: absent ones take their defaults, surplus ones are skipped."""
    values: dict[str, Any] = {}
    for position, (name, _, take, required) in enumerate(_plan(kind)):
        if position < len(raw):
            values[name] = take(raw[position])
        elif required:
            raise DecodeError(f"{kind.__name__} lacks its field {name}")
    return kind(**values)


_Put = Callable[[Any], Any]
_Take = Callable[[Any], Any]
_plans: dict[type, list[tuple[str, _Put, _Take, bool]]] = {}


def _plan(kind: type) -> list[tuple[str, _Put, _Take, bool]]:
    plan = _plans.get(kind)
    if plan is None:
        hints = typing.get_type_hints(kind, include_extras=True)
        plan = []
        for field in dataclasses.fields(kind):
            required = field.default is dataclasses.MISSING
            put, take = _codec(hints[field.name])
            plan.append((field.name, put, take, required))
        _plans[kind] = plan
    return plan


def _codec(hint: Any) -> tuple[_Put, _Take]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        mark = arguments[1]
        if isinstance(mark, Choice):
            return mark.put, mark.take
        if mark is Name:
            return (lambda name: name.encode("ascii")), _take_name
        raise TypeError(f"no encoding for {hint}")
    if origin is tuple:
        return _list_codec(*_codec(arguments[0]))
    if origin in (typing.Union, types.UnionType):
        return _optional_codec(*_codec(next(part for part in arguments if part is not type(None))))
    if hint is int:
        return (lambda number: number), take_uint
    if hint in (bool, bytes, str):
        return (lambda value: value), _take_exactly(hint)
    if issubclass(hint, enum.IntEnum):
        return (lambda tag: [int(tag)]), lambda raw: hint(_only_tag(raw))
    if dataclasses.is_dataclass(hint):
        kind = typing.cast(type, hint)
        return put_fields, lambda raw: take_fields(kind, _take_list(raw))
    raise TypeError(f"no encoding for {hint}")


def _list_codec(put: _Put, take: _Take) -> tuple[_Put, _Take]:
    def put_all(values: tuple[Any, ...]) -> list[Any]:
        return [put(value) for value in values]

    def take_all(raw: Any) -> tuple[Any, ...]:
        return tuple(take(element) for element in _take_list(raw))

    return put_all, take_all


def _optional_codec(put: _Put, take: _Take) -> tuple[_Put, _Take]:
    return (
        lambda value: None if value is None else put(value),
        lambda raw: None if raw is None else take(raw),
    )


def _take_exactly(kind: type) -> _Take:
    def take(raw: Any) -> Any:
        if type(raw) is not kind:
            raise DecodeError(f"expected {kind.__name__}, found {type(raw).__name__}")
        return raw

    return take


def _take_name(raw: Any) -> str:
    if not isinstance(raw, bytes) or not raw.isascii():
        raise DecodeError("not a name")
    return raw.decode("ascii")


def _take_list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise DecodeError("expected an array")
    return raw


def _only_tag(raw: Any) -> int:
    fields = _take_list(raw)
    if not fields:
        raise DecodeError("a choice without a tag")
    return take_uint(fields[0])
