"""What can go wrong, what it did to the data, and what the caller may do.

Every error a node can send has a class of its own here, under the numeric code that it has on the wire. Two questions matter
to a caller, and each error answers them: :attr:`~KvorumError.not_applied`, whether it is *certain* that nothing was
applied, and :attr:`~KvorumError.retry`, whether the same request may succeed later.

>>> NoSuchBucket().not_applied
True
>>> OutcomeUnknown(operation=bytes(16)).not_applied
False
>>> Overloaded(retry_after_ms=50).retry
Retry(after_ms=50, refresh=False)
>>> NoSuchBucket().retry is None
True
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from kvorum.wire import Choice, Name


@dataclass(frozen=True)
class Retry:
    """What to do before the same request is sent again, under the same operation id."""

    after_ms: int = 0
    """Wait at least so long."""
    refresh: bool = False
    """Ask for the topology first."""


class OpenEnum(enum.IntEnum):
    """Numbers with names, to which later versions may add some that we do not know yet."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown


class OwnerCause(OpenEnum):
    """Why an owner's answer does not count."""

    UNREACHABLE = 1
    TIMED_OUT = 2
    OVERLOADED = 3
    DAMAGED = 4
    REFILLING = 5
    WRONG_LAYOUT = 6
    STOPPING = 7
    DISK_FULL = 8
    NOT_AN_OWNER = 9
    OVERSIZED = 10


class ContextReason(OpenEnum):
    """Why a context was not accepted."""

    MALFORMED = 1
    VERSION = 2
    TAG = 3
    KEY = 4


class Argument(OpenEnum):
    """The argument that is wrong."""

    MALFORMED = 1
    READ_QUORUM = 2
    WRITE_QUORUM = 3
    DEADLINE = 4
    CLASS = 5
    FIXED_SETTING = 6
    NOTHING_TO_DELETE = 7
    EMPTY = 8
    UNKNOWN_REQUEST = 9
    EXPIRED = 10
    TOKEN = 11
    RIGHTS = 12
    STRICT_WRITE_QUORUM = 13
    TOKEN_LIMIT = 14
    RULE = 15
    FIELD_KIND = 16
    FIELD = 17
    AMOUNT = 18


class Limit(OpenEnum):
    """What is too large."""

    VALUE = 1
    BATCH = 2
    PAGE = 3
    ANSWER = 4
    BUCKETS = 5
    TOKENS = 6
    GRANTS = 7
    RECORD = 8
    MERGEABLE = 9
    ITEMS = 10


class AccessReason(OpenEnum):
    """Why a client was not let in."""

    NOTHING = 1
    WRONG = 2
    EXPIRED = 3
    REVOKED = 4


@dataclass(frozen=True)
class NeededRights:
    """Rights in a bucket: 1 read, 2 write, 4 admin, added up."""

    bucket: Annotated[str, Name]
    rights: int


@dataclass(frozen=True)
class NeededOperator:
    """The operator's client certificate: no token allows this."""


@dataclass(frozen=True)
class NeededOther:
    """Something that a later version asks for."""

    code: int


Needed = Annotated[
    NeededRights | NeededOperator | NeededOther, Choice({1: NeededRights, 2: NeededOperator}, NeededOther)
]


@dataclass(frozen=True)
class OwnerFailure:
    """An owner whose answer does not count."""

    node: bytes
    cause: OwnerCause


class KvorumError(Exception):
    """Whatever this package raises about a cluster."""

    not_applied: ClassVar[bool] = True
    """Whether it is certain that nothing was applied."""

    operation_id: bytes | None = None
    """The operation that failed: under this id it may be retried, and takes effect once."""

    @property
    def retry(self) -> Retry | None:
        """What to do before trying again; ``None`` when the same request fails again."""
        return None


class ProtocolError(KvorumError):
    """What came back is not our protocol. A write may have been applied."""

    not_applied = False


class ConnectError(KvorumError):
    """No node could be reached, or none let us in. Nothing was sent but a greeting."""

    def __init__(self, text: str, refusal: RequestError | None = None) -> None:
        super().__init__(text)
        self.refusal = refusal
        """What a node that did not let us in said, if one answered: :class:`Unauthenticated`, for instance."""

    @property
    def retry(self) -> Retry | None:
        return Retry(refresh=True)


class NoAnswer(KvorumError):
    """A read was sent and nobody answered before the deadline."""

    @property
    def retry(self) -> Retry | None:
        return Retry(refresh=True)


class RequestError(KvorumError):
    """An error that a node sent."""

    code: ClassVar[int] = 0
    _advice: ClassVar[Retry | None] = None
    _text: ClassVar[str] = "failed"

    @property
    def retry(self) -> Retry | None:
        return self._advice

    def __str__(self) -> str:
        return self._text.format(**vars(self))


@dataclass(eq=False)
class Unavailable(RequestError):
    """Too few answers could be had. Nothing was applied."""

    code = 1
    _advice = Retry()
    _text = "not applied: {got} of {needed} could be reached"
    needed: int
    got: int
    causes: tuple[OwnerFailure, ...]


@dataclass(eq=False)
class AppliedBelowW(RequestError):
    """The write is durable in fewer places than asked, and may yet reach more."""

    code = 2
    not_applied = False
    _advice = Retry()
    _text = "applied at {got} of {needed}; retry the operation"
    needed: int
    got: int
    operation: bytes
    causes: tuple[OwnerFailure, ...]


@dataclass(eq=False)
class OutcomeUnknown(RequestError):
    """The write may have been applied or not."""

    code = 3
    not_applied = False
    _advice = Retry()
    _text = "outcome unknown; retry the operation"
    operation: bytes


@dataclass(eq=False)
class Overloaded(RequestError):
    """Queues are full. Nothing was applied."""

    code = 4
    _text = "overloaded: retry in {retry_after_ms} ms"
    retry_after_ms: int

    @property
    def retry(self) -> Retry | None:
        return Retry(after_ms=self.retry_after_ms)


@dataclass(eq=False)
class BadContext(RequestError):
    """The context was not accepted. Nothing was applied. Read the key again."""

    code = 5
    _text = "bad context: {reason.name}"
    reason: ContextReason


@dataclass(eq=False)
class NoSuchBucket(RequestError):
    """The bucket does not exist. Nothing was applied."""

    code = 6
    _text = "no such bucket"


@dataclass(eq=False)
class BucketExists(RequestError):
    """The bucket exists already. Nothing was applied."""

    code = 7
    _text = "the bucket exists already"


@dataclass(eq=False)
class InvalidArgument(RequestError):
    """The request is wrong in itself. Nothing was applied."""

    code = 8
    _text = "invalid: {argument.name}"
    argument: Argument


@dataclass(eq=False)
class TooLarge(RequestError):
    """Something is over its limit. Nothing was applied."""

    code = 9
    _text = "{what.name}: {size}, at most {limit}"
    what: Limit
    size: int
    limit: int


@dataclass(eq=False)
class TooManySiblings(RequestError):
    """The key has too many siblings for a write that replaces none of them: read and resolve them first."""

    code = 10
    _text = "too many siblings: read and resolve them first"


@dataclass(eq=False)
class DeadlineExceeded(RequestError):
    """The deadline passed before anything was applied."""

    code = 11
    _advice = Retry()
    _text = "deadline exceeded, not applied"


@dataclass(eq=False)
class WrongLayout(RequestError):
    """The node's layout is another than the request needs. Nothing was applied."""

    code = 12
    _advice = Retry(refresh=True)
    _text = "the layout has changed"


@dataclass(eq=False)
class Moved(RequestError):
    """The data lives elsewhere now. Nothing was applied."""

    code = 13
    _advice = Retry(refresh=True)
    _text = "the data has moved"


@dataclass(eq=False)
class Damaged(RequestError):
    """What is stored is damaged, and no undamaged copy could be had."""

    code = 14
    _text = "the stored data is damaged"


@dataclass(eq=False)
class NotAllowed(RequestError):
    """The client may not do this. Nothing was applied."""

    code = 15
    _text = "not allowed"


@dataclass(eq=False)
class UnsupportedVersion(RequestError):
    """No common protocol version: update the older side."""

    code = 16
    _text = "the node speaks protocol versions {min} to {max}"
    min: int
    max: int


@dataclass(eq=False)
class Uncovered(RequestError):
    """A listing would have gaps. Ask for a partial one, or retry."""

    code = 17
    _advice = Retry()
    _text = "{partitions} partitions could not be asked"
    partitions: int


@dataclass(eq=False)
class DiskFull(RequestError):
    """The disk has no room for writes. Nothing was applied. Deletes still work."""

    code = 18
    _text = "the disk is full"


@dataclass(eq=False)
class Stopping(RequestError):
    """The node is stopping. Nothing was applied. Ask another node."""

    code = 19
    _advice = Retry()
    _text = "the node is stopping"


@dataclass(eq=False)
class Unauthenticated(RequestError):
    """It is not known who asks. Nothing was applied. Connect again with a valid token or certificate."""

    code = 20
    _text = "not let in: {reason.name}"
    reason: AccessReason


@dataclass(eq=False)
class Forbidden(RequestError):
    """The client's token does not allow this. Nothing was applied."""

    code = 21
    _text = "not allowed: this needs {needed}"
    needed: Needed


@dataclass(eq=False)
class NoSuchToken(RequestError):
    """There is no access token of this id. Nothing was applied."""

    code = 22
    _text = "no such access token"


class _Refusal(Choice):
    """An error within an error. Any of them may stand there, so what they are is looked up when one is read."""

    def __init__(self) -> None:
        super().__init__({})

    def put(self, value: Any) -> list[Any]:
        return Choice(ERRORS).put(value)

    def take_kind(self, tag: int, fields: list[Any]) -> Any:
        return Choice(ERRORS, UnknownError).take_kind(tag, fields)


@dataclass(eq=False)
class EarlierAttemptUnknown(RequestError):
    """This attempt was refused and applied nothing; but it is a retry, and an earlier attempt may have been applied."""

    code = 23
    not_applied = False
    _text = "an earlier attempt may have been applied, this one was refused: {refusal}"
    operation: bytes
    refusal: Annotated[RequestError, _Refusal()]

    @property
    def retry(self) -> Retry | None:
        return self.refusal.retry


@dataclass(eq=False)
class ClockSkew(RequestError):
    """The coordinator's clock is not that of most other owners, and the bucket goes by clocks. Nothing was applied."""

    code = 24
    _advice = Retry()
    _text = "the coordinator's clock is {skew_ms} ms off"
    skew_ms: int


class UnknownError(RequestError):
    """An error of a later version: nothing may be concluded about a write."""

    not_applied = False
    _text = "error {code} of a later version"

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code  # type: ignore[misc]


ERRORS: dict[int, type[RequestError]] = {
    kind.code: kind
    for kind in (
        Unavailable, AppliedBelowW, OutcomeUnknown, Overloaded, BadContext, NoSuchBucket, BucketExists, InvalidArgument,
        TooLarge, TooManySiblings, DeadlineExceeded, WrongLayout, Moved, Damaged, NotAllowed, UnsupportedVersion, Uncovered,
        DiskFull, Stopping, Unauthenticated, Forbidden, NoSuchToken,
        EarlierAttemptUnknown, ClockSkew,
    )
}  # fmt: skip
"""Every error that a node of this version sends, by its code."""
