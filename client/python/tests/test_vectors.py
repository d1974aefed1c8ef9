"""Every golden vector means the same here as it does to a node: in words, in bytes, and with the fields of a later version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from kvorum import messages, wire
from kvorum.blake3 import hash16, pure_hash16
from kvorum.routing import Layout

VECTORS = Path(__file__).resolve().parents[3] / "protocol" / "vectors"
MESSAGES = sorted(path for path in VECTORS.glob("*.json") if path.name != "routing-1.json")
KINDS = {"greeting": messages.GREETING, "request": messages.REQUEST, "response": messages.RESPONSE}


def unreadable(value: Any, surplus: bool) -> Any:
    """What msgpack is to write for the readable form of a value."""
    if isinstance(value, dict):
        return [unreadable(field, surplus) for field in value.values()] + ([[0, "later"]] if surplus else [])
    if isinstance(value, list):
        return [unreadable(element, surplus) for element in value]
    if isinstance(value, str):
        kind, _, rest = value.partition(":")
        readers: dict[str, Callable[[str], Any]] = {"bytes": str.encode, "hex": bytes.fromhex, "text": str, "uint": int}
        return readers[kind](rest)
    return value


def test_there_are_vectors() -> None:
    assert len(MESSAGES) >= 46


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_message_is_read_and_written_as_its_vector_says(path: Path) -> None:
    vector = json.loads(path.read_text())
    kind = KINDS[vector["message"]]
    plain = None
    for surplus, field in ((False, "hex"), (True, "surplus_hex")):
        frame = bytes.fromhex("".join(vector[field]))
        assert wire.frame_length(frame[:4]) == len(frame) - 4
        assert msgpack.packb(unreadable(vector["frame"], surplus)) == frame[4:]
        tag, request_id, fields = wire.read_head(frame[4:])
        message = kind.take_kind(tag, fields)
        written = wire.write_frame(kind, request_id, message)
        if plain is None:
            plain = frame
        assert written == plain


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_message_cut_anywhere_is_refused(path: Path) -> None:
    vector = json.loads(path.read_text())
    body = bytes.fromhex("".join(vector["hex"]))[4:]
    for length in range(len(body)):
        with pytest.raises(wire.DecodeError):
            tag, _, fields = wire.read_head(body[:length])
            KINDS[vector["message"]].take_kind(tag, fields)


def test_a_key_is_found_where_the_nodes_look_for_it() -> None:
    vector = json.loads((VECTORS / "routing-1.json").read_text())
    layout = Layout(bytes.fromhex("".join(vector["layout_hex"])))
    assert len(vector["keys"]) >= 8
    for known in vector["keys"]:
        place = layout.place(known["bucket"], bytes.fromhex(known["key_hex"]), known["class"])
        assert place is not None
        assert place.hash.hex() == known["hash"]
        assert place.partition == known["partition"]
        assert [node.hex() for node in place.owners] == known["owners"]
        assert [node.hex() for node in place.fallbacks] == known["fallbacks"]


def test_the_hash_in_python_is_the_hash_of_the_package_at_every_boundary() -> None:
    pytest.importorskip("blake3")
    for length in [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 4095, 4096, 4161]:
        data = bytes(at % 251 for at in range(length))
        assert pure_hash16(data) == hash16(data)
