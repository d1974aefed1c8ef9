"""What clients ask and what nodes answer, field by field as ``protocol/README.md`` lists them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from kvorum.errors import ERRORS, OpenEnum, OwnerCause, RequestError, UnknownError
from kvorum.testimony import WhyDone
from kvorum.wire import Choice, Name

PROTOCOL_VERSION = 1
DEADLINE_DEFAULT_MS = 10_000
DEADLINE_MAX_MS = 60_000

BucketName = Annotated[str, Name]
ErrorField = Annotated[RequestError, Choice(ERRORS, UnknownError)]


@dataclass(frozen=True)
class Hello:
    """A client's first frame."""

    protocol_min: int
    protocol_max: int
    features: int = 0
    auth: bytes = b""


@dataclass(frozen=True)
class Welcome:
    """A node's first frame."""

    protocol: int
    features: int
    node: bytes
    cluster_name: str


@dataclass(frozen=True)
class Refused:
    """The node does not accept us and closes the connection."""

    error: ErrorField


GREETING = Choice({1: Hello, 2: Welcome, 3: Refused})


@dataclass(frozen=True)
class Options:
    """How a request wants to be served."""

    operation: bytes
    r: int | None = None
    w: int | None = None
    strict: bool = False
    sloppy: bool = True
    deadline_ms: int = DEADLINE_DEFAULT_MS
    retry: bool = False


@dataclass(frozen=True)
class Latest:
    """A write replaces what its coordinator holds."""


@dataclass(frozen=True)
class Nothing:
    """A write replaces nothing: its value becomes a sibling of what is there."""


@dataclass(frozen=True)
class Read:
    """A write replaces exactly what was read with this context."""

    context: bytes


Replaces = Annotated[Latest | Nothing | Read, Choice({1: Latest, 2: Nothing, 3: Read})]


@dataclass(frozen=True)
class Put:
    """Stores a value."""

    bucket: BucketName
    key: bytes
    value: bytes
    replaces: Replaces
    options: Options
    expires_at_ms: int | None = None


@dataclass(frozen=True)
class Get:
    """Reads a key."""

    bucket: BucketName
    key: bytes
    options: Options


@dataclass(frozen=True)
class Delete:
    """Deletes what a key holds."""

    bucket: BucketName
    key: bytes
    replaces: Replaces
    options: Options


@dataclass(frozen=True)
class List:
    """Lists keys of a bucket in key order."""

    bucket: BucketName
    prefix: bytes
    after: bytes | None
    limit: int
    partial: bool
    options: Options


@dataclass(frozen=True)
class PutItem:
    """One put of a batch, with an operation id of its own."""

    key: bytes
    value: bytes
    replaces: Replaces
    operation: bytes
    expires_at_ms: int | None = None


@dataclass(frozen=True)
class BatchPut:
    """Stores several values; each succeeds or fails by itself."""

    bucket: BucketName
    items: tuple[PutItem, ...]
    options: Options


@dataclass(frozen=True)
class BatchGet:
    """Reads several keys; each succeeds or fails by itself."""

    bucket: BucketName
    keys: tuple[bytes, ...]
    options: Options


@dataclass(frozen=True)
class Increment:
    """Adds to a counter, up to 2**63 - 1."""

    by: int


@dataclass(frozen=True)
class Decrement:
    """Subtracts from a counter, up to 2**63 - 1."""

    by: int


@dataclass(frozen=True)
class Add:
    """Has elements in a set, whatever others remove at the same time."""

    elements: tuple[bytes, ...]


@dataclass(frozen=True)
class Remove:
    """Takes elements out of a set, as far as the coordinator knows of their adds."""

    elements: tuple[bytes, ...]


@dataclass(frozen=True)
class Assign:
    """Gives a register a value, in place of those that the coordinator knows."""

    value: bytes


@dataclass(frozen=True)
class Clear:
    """Removes a field of a map."""


class _AnyOperation(Choice):
    """An operation within an operation. What they are is looked up when one is written or read."""

    def __init__(self) -> None:
        super().__init__({})

    def put(self, value: Any) -> list[Any]:
        return OPERATION.put(value)

    def take_kind(self, tag: int, fields: list[Any]) -> Any:
        return OPERATION.take_kind(tag, fields)


@dataclass(frozen=True)
class FieldChange:
    """Changes one field of a map, by any operation but :class:`Fields`."""

    name: bytes
    change: Annotated[Operation, _AnyOperation()]


@dataclass(frozen=True)
class Fields:
    """Changes fields of a map, all or none."""

    changes: tuple[FieldChange, ...]


Operation = Increment | Decrement | Add | Remove | Assign | Fields | Clear
OPERATION = Choice({1: Increment, 2: Decrement, 3: Add, 4: Remove, 5: Assign, 6: Fields, 7: Clear})


@dataclass(frozen=True)
class Update:
    """Applies an operation to a mergeable value."""

    bucket: BucketName
    key: bytes
    change: Annotated[Operation, OPERATION]
    options: Options


@dataclass(frozen=True)
class GetTopology:
    """Asks for nodes, addresses and layout."""


@dataclass(frozen=True)
class GetStatus:
    """Asks for the figures of the node that answers."""


@dataclass(frozen=True)
class GetDiagnosis:
    """Asks for a diagnosis of the node that answers; no sections mean all."""

    sections: tuple[str, ...]


class MergeRule(OpenEnum):
    """What becomes of concurrent versions."""

    SIBLINGS = 1
    COUNTER = 2
    SET = 3
    MAP = 4
    LOSSY_LWW = 5
    REGISTER = 6


@dataclass(frozen=True)
class BucketSettings:
    """How a bucket's keys are kept. ``None`` for ``r`` or ``w`` means a majority of the owners."""

    replication_class: int = 0
    rule: MergeRule = MergeRule.SIBLINGS
    r: int | None = None
    w: int | None = None
    ttl_ms: int | None = None


@dataclass(frozen=True)
class BucketDescription:
    """A bucket and its settings."""

    name: BucketName
    settings: BucketSettings


@dataclass(frozen=True)
class CreateBucket:
    """Creates a bucket."""

    bucket: BucketDescription


@dataclass(frozen=True)
class SetBucket:
    """Changes a bucket's settings."""

    bucket: BucketDescription


@dataclass(frozen=True)
class ShowBucket:
    """Asks for one bucket."""

    name: BucketName


@dataclass(frozen=True)
class ListBuckets:
    """Asks for all buckets."""


@dataclass(frozen=True)
class AskHints:
    """Asks what a node holds for owners that were away; may stop (``True``) or resume (``False``) its handing that over."""

    paused: bool | None


@dataclass(frozen=True)
class RepairKey:
    """Repair of one key."""

    bucket: BucketName
    key: bytes


@dataclass(frozen=True)
class RepairPartition:
    """Repair of keys of one partition, in the order of their hashes."""

    class_: int
    partition: int
    start: bytes
    """The lowest hash concerned."""


@dataclass(frozen=True)
class Repair:
    """Makes the owners of something hold the same."""

    target: Annotated[RepairKey | RepairPartition, Choice({1: RepairKey, 2: RepairPartition})]
    options: Options


@dataclass(frozen=True)
class Why:
    """Asks why a key holds what it holds."""

    bucket: BucketName
    key: bytes
    options: Options


@dataclass(frozen=True)
class ListConflicts(List):
    """Lists the keys of a bucket that hold siblings, in key order."""


READ, WRITE, ADMIN = 1, 2, 4
"""Rights of a :class:`Grant`, to be added up with ``|``."""


@dataclass(frozen=True)
class Grant:
    """Rights in one bucket, or in every one: 1 read, 2 write, 4 admin, added up."""

    bucket: BucketName | None
    rights: int


@dataclass(frozen=True)
class TokenTerms:
    """What the cluster knows of an access token."""

    name: str
    digest: bytes
    grants: tuple[Grant, ...]
    created_at_ms: int
    expires_at_ms: int | None
    in_flight: int | None = None
    rate: int | None = None


@dataclass(frozen=True)
class CreateToken:
    """Makes an access token known."""

    id: int
    terms: TokenTerms


@dataclass(frozen=True)
class ListTokens:
    """Asks for all access tokens."""


@dataclass(frozen=True)
class RevokeToken:
    """Ends an access token for good."""

    id: int
    revoked_at_ms: int


REQUEST = Choice(
    {
        10: Put,
        11: Get,
        12: Delete,
        13: List,
        14: BatchPut,
        15: BatchGet,
        16: Update,
        20: GetTopology,
        21: GetStatus,
        22: GetDiagnosis,
        24: Repair,
        25: AskHints,
        28: Why,
        29: ListConflicts,
        30: CreateBucket,
        31: SetBucket,
        32: ShowBucket,
        33: ListBuckets,
        40: CreateToken,
        41: ListTokens,
        42: RevokeToken,
    }
)


@dataclass(frozen=True, order=True)
class Dot:
    """The name of one write: an actor and how often it wrote."""

    actor: int
    counter: int


@dataclass(frozen=True)
class PutDone:
    """A put or delete is durable in as many places as was asked."""

    context: bytes | None
    """Covers exactly this write and what it replaced; ``None`` when no clock says that: then read before replacing."""
    dot: Dot
    replaced: tuple[Dot, ...]
    acked_owners: int
    acked_fallbacks: int
    needed: int
    retry_checked: bool = True
    """``False``, and only in a retry: the operation may have been applied twice."""


@dataclass(frozen=True)
class Version:
    """One live version."""

    dot: Dot
    value: bytes
    expires_at_ms: int | None = None


@dataclass(frozen=True)
class GetDone:
    """What a read found. No versions: not found."""

    versions: tuple[Version, ...]
    """Ascending by dot; several are siblings."""
    context: bytes | None
    """To be handed back with a put that replaces exactly these."""
    complete: bool
    """Whether everybody who could know more was heard. When ``False``, "not found" is not certain."""
    owners: int
    fallbacks: int
    needed: int

    @property
    def values(self) -> tuple[bytes, ...]:
        """The values alone."""
        return tuple(version.value for version in self.versions)


@dataclass(frozen=True)
class CounterValue:
    """A counter."""

    negative: bool
    magnitude: int

    @property
    def value(self) -> int:
        """The number itself."""
        return -self.magnitude if self.negative else self.magnitude


@dataclass(frozen=True)
class SetValue:
    """A set: its elements, ascending."""

    elements: tuple[bytes, ...]


@dataclass(frozen=True)
class RegisterValue:
    """A register: one value, those of concurrent assignments, or none."""

    values: tuple[bytes, ...]


class _AnyJoined(Choice):
    """A value within a map. What they are is looked up when one is written or read."""

    def __init__(self) -> None:
        super().__init__({})

    def put(self, value: Any) -> list[Any]:
        return JOINED.put(value)

    def take_kind(self, tag: int, fields: list[Any]) -> Any:
        return JOINED.take_kind(tag, fields)


@dataclass(frozen=True)
class JoinedField:
    """A field of a map."""

    name: bytes
    value: Annotated[Joined, _AnyJoined()]


@dataclass(frozen=True)
class MapValue:
    """A map: its fields, ascending by name."""

    fields: tuple[JoinedField, ...]


@dataclass(frozen=True)
class OtherValue:
    """A kind of value that a later version added."""

    code: int


Joined = CounterValue | SetValue | MapValue | RegisterValue | OtherValue
JOINED = Choice({2: CounterValue, 3: SetValue, 4: MapValue, 6: RegisterValue}, OtherValue)


@dataclass(frozen=True)
class UpdateDone:
    """An operation is durable in as many places as was asked."""

    dot: Dot
    acked_owners: int
    acked_fallbacks: int
    needed: int
    retry_checked: bool = True
    """``False``, and only in a retry: the operation may have been applied twice."""
    value: Annotated[Joined, JOINED] | None = None
    """Of a counter what its coordinator holds now; ``None`` of other values."""


@dataclass(frozen=True)
class MergedDone:
    """What a read of a mergeable value found."""

    value: Annotated[Joined, JOINED] | None
    """What all owners that were heard hold together; ``None``: not found."""
    context: bytes | None
    """To be handed back with a delete of exactly this."""
    complete: bool
    """Whether everybody who could know more was heard. When ``False``, "not found" is not certain."""
    owners: int
    fallbacks: int
    needed: int


@dataclass(frozen=True)
class ListItem:
    """A listed key, with how many live versions the answering owner holds, and their bytes."""

    key: bytes
    siblings: int
    value_bytes: int


@dataclass(frozen=True)
class ListDone:
    """A page of keys in key order."""

    items: tuple[ListItem, ...]
    next: bytes | None
    """To be given as ``after`` for the next page; ``None`` behind the last."""
    uncovered: tuple[int, ...]
    """Partitions that nobody could be asked for; only when a partial page was allowed."""


@dataclass(frozen=True)
class ConflictsDone(ListDone):
    """A page of keys that hold siblings."""


@dataclass(frozen=True)
class Failed:
    """A request, or one item of a batch, that was not carried out as asked."""

    error: ErrorField


@dataclass(frozen=True)
class BatchPutDone:
    """What became of a batch of puts, in the order of its items."""

    outcomes: tuple[Annotated[PutDone | Failed, Choice({1: PutDone, 2: Failed})], ...]


@dataclass(frozen=True)
class BatchGetDone:
    """What became of a batch of gets, in the order of its keys."""

    outcomes: tuple[Annotated[GetDone | Failed | MergedDone, Choice({1: GetDone, 2: Failed, 3: MergedDone})], ...]


@dataclass(frozen=True)
class Done:
    """Done, and there is nothing to say about it."""


@dataclass(frozen=True)
class TopologyNode:
    """A member of the cluster."""

    id: bytes
    name: str
    zone: str
    weight: int
    peer_address: str
    client_address: str
    admin_address: str
    up: bool


@dataclass(frozen=True)
class LayoutName:
    """A layout's name."""

    lineage: int
    version: int
    hash: bytes


@dataclass(frozen=True)
class TopologyDone:
    """The cluster as the answering node knows it."""

    cluster_name: str
    node: bytes
    nodes: tuple[TopologyNode, ...]
    layout_name: LayoutName
    layout: bytes
    partitions: int


@dataclass(frozen=True)
class NodeStatus:
    """One node's figures."""

    node: bytes
    name: str
    version: str
    run: int
    uptime_ms: int
    keys: int
    log_bytes: int
    live_bytes: int
    index_backlog: int
    refilling: bool
    requests: int
    hinted_keys: int = 0
    certificate_expires_at_ms: int = 0


@dataclass(frozen=True)
class PeerStatus:
    """A peer as the answering node sees it."""

    node: bytes
    name: str
    up: bool
    p95_us: int = 0


@dataclass(frozen=True)
class TaskStatus:
    """A background task."""

    name: str
    done: int
    total: int
    paused: bool


@dataclass(frozen=True)
class StatusDone:
    """The figures of the node that answers, its view of its peers, and its tasks."""

    node: NodeStatus
    peers: tuple[PeerStatus, ...]
    tasks: tuple[TaskStatus, ...]
    below_quorum: int = 0
    degraded: int = 0


@dataclass(frozen=True)
class HoldsNothing:
    """An owner has no record of a key."""


@dataclass(frozen=True)
class HoldsRecord:
    """What an owner holds of a key."""

    values: int
    size: int
    """Bytes."""
    digest: bytes


@dataclass(frozen=True)
class HoldsDamaged:
    """An owner cannot read its record of a key."""


HOLDING = Choice({1: HoldsNothing, 2: HoldsRecord, 3: HoldsDamaged})
Holding = HoldsNothing | HoldsRecord | HoldsDamaged


@dataclass(frozen=True)
class RepairedOwner:
    """What a repair found and did at one owner."""

    node: bytes
    before: Annotated[Holding, HOLDING] | None
    given: int
    size: int
    """Bytes of the records that it was given."""
    cause: OwnerCause | None
    """Why it is not known to hold what the others hold."""


@dataclass(frozen=True)
class RepairDone:
    """What a repair found and did."""

    owners: tuple[RepairedOwner, ...]
    after: Annotated[Holding, HOLDING] | None
    compared: int
    differing: int
    left: int
    next: bytes | None
    """The hash at which the next step begins."""


@dataclass(frozen=True)
class TargetHints:
    """What a node holds for one owner."""

    node: bytes
    name: str
    up: bool
    keys: int
    size: int
    """Bytes."""
    bearing: int
    oldest_ms: int


@dataclass(frozen=True)
class HintsDone:
    """What a node holds for owners that were away."""

    paused: bool
    keys: int
    unread: int
    bearing: int
    bearing_bytes: int
    spare_bytes: int
    delivered: int
    dropped: int
    refused: int
    damaged: int
    targets: tuple[TargetHints, ...]
    unreadable: int = 0
    unread_bytes: int = 0
    spare_refused: int = 0


@dataclass(frozen=True)
class DiagnosisSection:
    """A part of a diagnosis, for a person to read."""

    name: str
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis of one node."""

    sections: tuple[DiagnosisSection, ...]


@dataclass(frozen=True)
class Buckets:
    """Buckets with their settings, ascending by name."""

    buckets: tuple[BucketDescription, ...]


@dataclass(frozen=True)
class ListedToken:
    """An access token as it is listed."""

    id: int
    name: str
    grants: tuple[Grant, ...]
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    in_flight: int | None = None
    rate: int | None = None


@dataclass(frozen=True)
class Tokens:
    """One access token or all of them."""

    tokens: tuple[ListedToken, ...]


RESPONSE = Choice(
    {
        1: Failed,
        2: Done,
        10: PutDone,
        11: GetDone,
        13: ListDone,
        14: BatchPutDone,
        15: BatchGetDone,
        16: UpdateDone,
        17: MergedDone,
        20: TopologyDone,
        21: StatusDone,
        22: Diagnosis,
        24: RepairDone,
        25: HintsDone,
        28: WhyDone,
        29: ConflictsDone,
        30: Buckets,
        40: Tokens,
    }
)

DataRequest = Put | Get | Delete | List | BatchPut | BatchGet | Update
Request = (
    DataRequest | GetTopology | GetStatus | GetDiagnosis | CreateBucket | SetBucket | ShowBucket | ListBuckets
    | AskHints | Repair | Why | ListConflicts | CreateToken | ListTokens | RevokeToken
)  # fmt: skip
Response = (
    Failed | Done | PutDone | GetDone | ListDone | BatchPutDone | BatchGetDone | UpdateDone | MergedDone
    | TopologyDone | StatusDone | Diagnosis | RepairDone | HintsDone | WhyDone | ConflictsDone | Buckets | Tokens
)  # fmt: skip


def with_options(request: DataRequest, deadline_ms: int, retry: bool) -> DataRequest:
    """The same request with the time that is left and whether it was sent before."""
    options = dataclasses.replace(request.options, deadline_ms=deadline_ms, retry=retry)
    return dataclasses.replace(request, options=options)
