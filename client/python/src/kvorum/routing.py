"""Which node to ask, in which order: section 12 of ``protocol/README.md``.

Only a hint. A request that goes to the wrong node is passed on there, so an old topology costs a hop and never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgpack

from kvorum import messages
from kvorum.blake3 import hash16

_FORMAT = 1


@dataclass(frozen=True)
class Place:
    """Where one key lives."""

    hash: bytes
    partition: int
    owners: tuple[bytes, ...]
    """Node ids in the order in which they should be asked."""
    fallbacks: tuple[bytes, ...]


@dataclass(frozen=True)
class _Table:
    owners: int
    width: int
    cells: bytes


class Layout:
    """Which nodes own which partition, in each replication class."""

    def __init__(self, body: bytes) -> None:
        form, _lineage, _version, self.partitions, members, tables = msgpack.unpackb(body)[:6]
        if form != _FORMAT:
            raise ValueError(f"a layout of format {form}")
        self._members: list[bytes] = [member[0] for member in members]
        self._tables: dict[int, _Table] = {}
        for (class_id, n, *_), cells, *_ in tables:
            owners, width = min(n, len(members)), min(2 * n, len(members))
            if len(cells) != self.partitions * width * 2:
                raise ValueError(f"the table of class {class_id} has the wrong length")
            self._tables[class_id] = _Table(owners, width, cells)

    def place(self, bucket: str, key: bytes, class_id: int) -> Place | None:
        """Where a key of a bucket of this class lives; ``None`` when the layout has no such class."""
        table = self._tables.get(class_id)
        if table is None:
            return None
        name = bucket.encode("ascii")
        digest = hash16(bytes([len(name)]) + name + key)
        partition = int.from_bytes(digest) >> (128 - (self.partitions.bit_length() - 1))
        start = partition * table.width * 2
        row = table.cells[start : start + table.width * 2]
        nodes = [self._members[int.from_bytes(row[at : at + 2])] for at in range(0, len(row), 2)]
        return Place(digest, partition, tuple(nodes[: table.owners]), tuple(nodes[table.owners :]))


class Topology:
    """The cluster as one node knew it a moment ago: nodes, layout, buckets."""

    def __init__(self, told: messages.TopologyDone, buckets: Iterable[messages.BucketDescription]) -> None:
        self.cluster: str = told.cluster_name
        self.nodes: dict[bytes, messages.TopologyNode] = {node.id: node for node in told.nodes}
        self.buckets: dict[str, messages.BucketSettings] = {bucket.name: bucket.settings for bucket in buckets}
        try:
            self.layout: Layout | None = Layout(told.layout)
        except Exception:
            # A layout of a later version: every node passes requests on, so any node will do.
            self.layout = None

    def place(self, bucket: str, key: bytes) -> Place | None:
        """Where a key lives; ``None`` when the bucket or the layout is not known."""
        settings = self.buckets.get(bucket)
        if settings is None or self.layout is None:
            return None
        return self.layout.place(bucket, key, settings.replication_class)

    def knows_bucket_of(self, request: Any) -> bool:
        """Whether the bucket that a request names was told of; one that was not may have been made since."""
        bucket = getattr(request, "bucket", None)
        return not isinstance(bucket, str) or bucket in self.buckets

    def order(self, request: Any, first: bytes | None, spread: int) -> list[bytes]:
        """Every node in the order in which it should be asked.

        ``first`` may have applied an earlier attempt, so it knows the operation; ``spread`` shifts the nodes that have no
        reason to come first.
        """
        order: list[bytes] = [] if first is None else [first]
        if isinstance(request, messages.Put | messages.Get | messages.Delete):
            place = self.place(request.bucket, request.key)
            if place is not None:
                preferred = place.owners + place.fallbacks
                order += [node for node in preferred if self._is_up(node)]
                order += preferred
        everyone = list(self.nodes)
        shift = spread % len(everyone) if everyone else 0
        shifted = everyone[shift:] + everyone[:shift]
        order += [node for node in shifted if self._is_up(node)]
        order += shifted
        return [node for node in dict.fromkeys(order) if node in self.nodes]

    def _is_up(self, node: bytes) -> bool:
        known = self.nodes.get(node)
        return known is not None and known.up
