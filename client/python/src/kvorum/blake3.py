"""The first 16 bytes of BLAKE3, which say where a key lives, and digests of secrets by its key derivation mode.

The package ``blake3`` is used when it is installed (``pip install kvorum[fast]``); otherwise this module computes the hash
itself, in some 100 microseconds for a short key. Written after the BLAKE3 paper (O'Connor, Aumasson, Neves,
Wilcox-O'Hearn, 2020), section 2.

>>> hash16(b"").hex()
'af1349b9f5f9a1a6a0404dea36dcc949'
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_DERIVE_KEY_CONTEXT, _DERIVE_KEY_MATERIAL = 32, 64
_BLOCK_BYTES, _CHUNK_BYTES = 64, 1024
_WORDS = struct.Struct("<16I")
_MASK = 0xFFFFFFFF


def _schedule() -> tuple[tuple[int, ...], ...]:
    rounds = [tuple(range(16))]
    for _ in range(6):
        rounds.append(tuple(rounds[-1][index] for index in _PERMUTATION))
    return tuple(rounds)


_ROUNDS = _schedule()
_LANES = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def _compress(chaining: tuple[int, ...], block: bytes, counter: int, flags: int) -> tuple[int, ...]:
    """The new chaining value: the first half of the compression's output."""
    words = _WORDS.unpack(block.ljust(_BLOCK_BYTES, b"\0"))
    v = [*chaining, *_IV[:4], counter & _MASK, counter >> 32, len(block), flags]
    for order in _ROUNDS:
        at = 0
        for a, b, c, d in _LANES:
            x, y = v[b], v[d]
            p = (v[a] + x + words[order[at]]) & _MASK
            y ^= p
            y = (y >> 16 | y << 16) & _MASK
            q = (v[c] + y) & _MASK
            x ^= q
            x = (x >> 12 | x << 20) & _MASK
            v[a] = p = (p + x + words[order[at + 1]]) & _MASK
            y ^= p
            v[d] = y = (y >> 8 | y << 24) & _MASK
            v[c] = q = (q + y) & _MASK
            x ^= q
            v[b] = (x >> 7 | x << 25) & _MASK
            at += 2
    return tuple(v[index] ^ v[index + 8] for index in range(8))


def _chunk(data: bytes, counter: int, root: int) -> tuple[int, ...]:
    chaining: tuple[int, ...] = _IV
    blocks = [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)] or [b""]
    for number, block in enumerate(blocks):
        flags = _CHUNK_START if number == 0 else 0
        if number == len(blocks) - 1:
            flags |= _CHUNK_END | root
        chaining = _compress(chaining, block, counter, flags)
    return chaining


def _subtree(data: bytes, counter: int, root: int) -> tuple[int, ...]:
    if len(data) <= _CHUNK_BYTES:
        return _chunk(data, counter, root)
    # The left side is as many whole chunks as a power of two allows, with something left for the right side.
    left_chunks = 1 << ((len(data) - 1) // _CHUNK_BYTES).bit_length() - 1
    split = left_chunks * _CHUNK_BYTES
    left = _subtree(data[:split], counter, 0)
    right = _subtree(data[split:], counter + left_chunks, 0)
    return _compress(_IV, _WORDS.pack(*left, *right), 0, _PARENT | root)


def pure_hash16(data: bytes) -> bytes:
    """The hash in Python alone."""
    return struct.pack("<4I", *_subtree(data, 0, _ROOT)[:4])


def derived(context: str, material: bytes) -> bytes:
    """The 32 bytes of the key derivation mode, for a context and a material of at most a block each.

    >>> derived("kvorum 2026-11 access token", bytes(40)).hex()[:16]
    '0ce81e79fee1cbe1'
    """
    flags = _CHUNK_START | _CHUNK_END | _ROOT
    key = _compress(_IV, context.encode(), 0, flags | _DERIVE_KEY_CONTEXT)
    return struct.pack("<8I", *_compress(key, material, 0, flags | _DERIVE_KEY_MATERIAL))


def _fastest() -> Callable[[bytes], bytes]:
    try:
        from blake3 import blake3
    except ImportError:
        return pure_hash16
    return lambda data: blake3(data).digest(length=16)


hash16: Callable[[bytes], bytes] = _fastest()
"""The first 16 bytes of BLAKE3 over some bytes."""
