"""Why a key holds what it holds, as ``protocol/README.md`` lists it: what each of its owners and fallbacks knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from kvorum.errors import OpenEnum, OwnerCause, OwnerFailure
from kvorum.wire import Choice


@dataclass(frozen=True, order=True)
class EventDot:
    """The name of one write: an actor and how often it wrote."""

    actor: int
    counter: int


@dataclass(frozen=True)
class UnknownKind:
    """A kind that a later version added."""

    code: int


class WriteMode(OpenEnum):
    """What a write says that it replaces."""

    LATEST = 1
    BESIDE = 2
    CONTEXT = 3


class Way(OpenEnum):
    """On which way a record comes to a node."""

    WRITE = 1
    READ_REPAIR = 2
    EXCHANGE = 3
    HINT = 4
    HOLD = 5
    RETRY = 6


@dataclass(frozen=True)
class LogPlace:
    """A place in a node's log."""

    segment: int
    offset: int
    length: int


@dataclass(frozen=True)
class KeptVersion:
    """A live version without its value."""

    dot: EventDot
    operation: bytes
    size: int
    """Bytes."""
    expires_at_ms: int | None


@dataclass(frozen=True)
class KeptDeletion:
    """A delete that nothing has replaced."""

    dot: EventDot
    operation: bytes


@dataclass(frozen=True)
class Absent:
    """Nothing."""


@dataclass(frozen=True)
class Removed:
    """The marker of a record that was removed."""

    sequence: int


@dataclass(frozen=True)
class DamagedRecord:
    """A record that cannot be read."""

    sequence: int
    place: LogPlace | None


@dataclass(frozen=True)
class KeptRecord:
    """A record without its values."""

    clock: tuple[int, ...]
    """Actors and counters in turn."""
    versions: tuple[KeptVersion, ...]
    live: int
    deletions: tuple[KeptDeletion, ...]
    digest: bytes
    sequence: int
    synced: bool
    in_memory: bool
    place: LogPlace | None
    indexed: bool
    actor: int | None
    held_for: tuple[bytes, ...]
    spare: bool
    held_ms: int | None


@dataclass(frozen=True)
class Unread:
    """The store did not look."""

    cause: OwnerCause


KEPT = Choice({1: Absent, 2: Removed, 3: DamagedRecord, 4: KeptRecord, 5: Unread}, UnknownKind)
KeptCopy = Absent | Removed | DamagedRecord | KeptRecord | Unread | UnknownKind


@dataclass(frozen=True)
class PeerSight:
    """How a node sees another one; the times are ages in milliseconds."""

    node: bytes
    up: bool
    fell_ms: int | None
    rose_ms: int | None
    compared_ms: int | None


@dataclass(frozen=True)
class Minted:
    """The node coordinated a write."""

    dot: EventDot
    operation: bytes
    mode: WriteMode
    replaced: int
    live: int
    within_ms: int
    stands_in: bool


@dataclass(frozen=True)
class Merged:
    """What came from elsewhere changed the record."""

    sender: bytes
    way: Way
    live: int


@dataclass(frozen=True)
class LeftBehind:
    """A write ended before this owner had acknowledged it."""

    node: bytes
    cause: OwnerCause
    dot: EventDot


@dataclass(frozen=True)
class RefusedRecord:
    """What came from elsewhere was not taken."""

    sender: bytes
    way: Way
    cause: OwnerCause


@dataclass(frozen=True)
class HintDelivered:
    """What was held for an owner is durable there."""

    to: bytes


@dataclass(frozen=True)
class HintUndelivered:
    """What is held for an owner could not be delivered, and is tried again."""

    to: bytes
    cause: OwnerCause


@dataclass(frozen=True)
class HintDropped:
    """What was held for owners was dropped for its age."""


@dataclass(frozen=True)
class FoundDamaged:
    """The record could not be read."""


@dataclass(frozen=True)
class Reclaimed:
    """The record was reclaimed."""


@dataclass(frozen=True)
class Unanswered:
    """A write ended before its coordinator's own store had answered."""

    operation: bytes


HAPPENED = Choice(
    {
        1: Minted,
        2: Merged,
        3: LeftBehind,
        4: RefusedRecord,
        5: HintDelivered,
        6: HintUndelivered,
        7: HintDropped,
        8: FoundDamaged,
        9: Reclaimed,
        10: Unanswered,
    },
    UnknownKind,
)
Happened = (
    Minted | Merged | LeftBehind | RefusedRecord | HintDelivered | HintUndelivered | HintDropped | FoundDamaged
    | Reclaimed | Unanswered | UnknownKind
)  # fmt: skip


@dataclass(frozen=True)
class KeyEvent:
    """Something that happened to a key, and how long ago."""

    ago_ms: int
    what: Annotated[Happened, HAPPENED]


@dataclass(frozen=True)
class TestimonyLayout:
    """A layout's name."""

    lineage: int
    version: int
    hash: bytes


@dataclass(frozen=True)
class Testimony:
    """What one node knows of a key, and of the others."""

    node: bytes
    now_ms: int
    up_ms: int
    remembers_ms: int
    layout: TestimonyLayout
    refilling: bool
    owned: Annotated[KeptCopy, KEPT]
    hinted: Annotated[KeptCopy, KEPT]
    leaf: bytes | None
    peers: tuple[PeerSight, ...]
    events: tuple[KeyEvent, ...]


@dataclass(frozen=True)
class WhyDone:
    """What the owners and fallbacks of a key testify."""

    partition: int
    owners: tuple[bytes, ...]
    fallbacks: tuple[bytes, ...]
    testimonies: tuple[Testimony, ...]
    silent: tuple[OwnerFailure, ...]
