"""What happens after a failed attempt, and what is true about the operation then: section 9 of ``protocol/README.md``.

Nothing here touches a socket or a clock. Its one subtle duty is memory. Once a write *may* have been applied, no later
answer makes that untrue: "not applied" from a second coordinator speaks of the second attempt only. So the first doubt is
kept, every later attempt is marked as a retry, and only a success ends the doubt.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.errors import (
    AppliedBelowW,
    ConnectError,
    EarlierAttemptUnknown,
    KvorumError,
    NoAnswer,
    OutcomeUnknown,
    Overloaded,
    RequestError,
    Stopping,
    Unavailable,
    Uncovered,
)

ATTEMPTS = 16
"""Attempts of one request. A node that refuses within microseconds must not be asked ten thousand times."""

BACKOFF_FIRST_S = 0.020
BACKOFF_LONGEST_S = 1.0


@dataclass(frozen=True)
class Again:
    """Try again."""

    at_least_s: float = 0.0
    refresh: bool = False
    """Ask for the topology first."""
    elsewhere: bool = False
    """Leave out the node that was just asked."""


class Attempts:
    """The attempts of one operation so far."""

    def __init__(self, operation: bytes, is_write: bool, is_retry: bool) -> None:
        self.made = 0
        self.first_coordinator: bytes | None = None
        """The node that may have applied an earlier attempt."""
        self._operation = operation
        self._is_write = is_write
        self._is_retry = is_retry
        self._doubt: KvorumError | None = None
        self._last: KvorumError | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether an attempt may have been applied."""
        return self._doubt is not None

    def answered(self, node: bytes, error: RequestError) -> Again | None:
        """A node answered with an error. ``None``: give up."""
        if isinstance(error, EarlierAttemptUnknown):
            # Whether an earlier attempt is in doubt is known here, and not from the node.
            error = error.refusal
        self._last = error
        if self._is_write and not error.not_applied:
            self._remember(node, error)
        advice = error.retry
        if advice is None or self.made >= ATTEMPTS:
            return None
        elsewhere = isinstance(error, Unavailable | Stopping | Uncovered | Overloaded)
        return Again(advice.after_ms / 1000, advice.refresh, elsewhere)

    def silent(self, node: bytes, sent: bool, timed_out: bool) -> Again | None:
        """There was no answer."""
        if not sent:
            self._last = ConnectError("the connection ended before the request left")
        elif self._is_write:
            self._remember(node, OutcomeUnknown(self._operation))
        else:
            self._last = NoAnswer("no answer before the deadline")
        # A node that hangs is left alone; one whose connection broke is asked again if it can be reached.
        return None if self.made >= ATTEMPTS else Again(refresh=True, elsewhere=timed_out)

    def unanswered(self, node: bytes) -> Again | None:
        """There was no answer from a node that speaks: to ask all for the topology would only be more to do for a busy one."""
        next_step = self.silent(node, sent=True, timed_out=True)
        return None if next_step is None else Again(elsewhere=True)

    def unreachable(self, error: KvorumError) -> Again:
        """Nobody could be reached: nothing was sent this time."""
        self._last = error
        return Again(refresh=True)

    def verdict(self) -> KvorumError:
        """What is true about the operation when no further attempt is made."""
        error = self._doubt or self._last or ConnectError("no node could be reached before the deadline")
        if self._is_write and self._is_retry and error.not_applied:
            # That nothing was applied holds for these attempts, and not for the one before them.
            if isinstance(error, RequestError):
                error = EarlierAttemptUnknown(self._operation, error)
            else:
                error = OutcomeUnknown(self._operation)
        error.operation_id = self._operation
        return error

    def _remember(self, node: bytes, error: KvorumError) -> None:
        # The first doubt stays, except that "applied at k of w" says more than "nobody knows".
        if self._doubt is None:
            self._doubt, self.first_coordinator = error, node
        elif isinstance(error, AppliedBelowW):
            self._doubt = error


def pause_s(attempt: int, draw: float, at_least_s: float) -> float:
    """How long to wait before another attempt: doubling, with full jitter; ``draw`` is uniform in 0..1.

    >>> pause_s(1, 1.0, 0.0), pause_s(2, 0.5, 0.25), pause_s(30, 1.0, 0.0)
    (0.02, 0.27, 1.0)
    """
    bound = min(BACKOFF_FIRST_S * (1 << min(max(attempt - 1, 0), 16)), BACKOFF_LONGEST_S)
    return at_least_s + bound * draw
