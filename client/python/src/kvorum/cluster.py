"""Carries requests to a cluster: one connection to each node, routing, and each operation from first attempt to verdict.

The deadline is the caller's and covers everything: connecting, waiting, pauses, retries. Each attempt is given half of the time
that is left, so that a node that hangs leaves time for another one.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import TypeVar, cast

from kvorum import messages
from kvorum.attempts import Again, Attempts, pause_s
from kvorum.connection import CONNECT_PATIENCE_S, Connection, Lost, NotSent, Silent
from kvorum.endpoint import Endpoint, Identity
from kvorum.errors import ConnectError, EarlierAttemptUnknown, KvorumError, NoSuchBucket, ProtocolError, RequestError
from kvorum.routing import Topology

TOPOLOGY_AGE_S = 30.0
"""Age at which the topology is asked for again before the next request."""

TOPOLOGY_PAUSE_S = 0.2
"""Shortest time between two questions for the topology: a cluster in trouble is not asked more."""

TOPOLOGY_PATIENCE_S = 0.5
"""How long one node is waited for when the topology is asked for again: another one can tell it too."""

UNREACHABLE_REST_S = 0.5
"""How long a node that could not be reached is passed over."""

SILENT_REST_S = 2.0
"""How long a node that hangs is passed over."""

ANSWER_GRACE_S = 0.25
"""How much longer than the deadline an answer is waited for: the node's own verdict says more than our clock."""

_WHOLE_BELOW_S = 0.5

T = TypeVar("T")


class _Link:
    """The way to one node."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connection: Connection | None = None
        self.has_failed = False
        self.rests_until = 0.0


class Cluster:
    """Everything that a program's requests to one cluster share. Lives on one event loop."""

    def __init__(
        self, seeds: list[Endpoint], identity: Identity | None, token: str, cluster: str | None, deadline_s: float
    ) -> None:
        self.deadline_s = deadline_s
        self._seeds = seeds
        self._identity = identity
        self._token = token
        self._cluster = cluster
        self._links: dict[bytes, _Link] = {}
        self._plain = True
        self._topology: Topology | None = None
        self._told_at = 0.0
        self._asking = asyncio.Lock()
        self._doubted = False
        self._spread = random.randrange(1024)

    async def connect(self) -> None:
        """Connects to the first of the seeds that answers, and learns the cluster from it.

        :raises ConnectError: says why each endpoint cannot be used.
        """
        failures: list[str] = []
        refusal: RequestError | None = None
        for seed in self._seeds:
            try:
                connection = await Connection.open(seed, self._identity, self._token)
            except ConnectError as error:
                failures.append(str(error))
                refusal = refusal or error.refusal
                continue
            if self._cluster is not None and connection.cluster != self._cluster:
                failures.append(f"{seed}: a node of another cluster answered: {connection.cluster}")
                await connection.close()
                continue
            self._cluster = connection.cluster
            self._plain = seed.node is None
            link = self._link(connection.node)
            # Others may be waiting for answers on the one that is there.
            is_wanted = link.connection is None or not link.connection.is_open
            if is_wanted:
                link.connection = connection
            link.has_failed = False
            try:
                return await self._learn_from(connection, CONNECT_PATIENCE_S)
            except (KvorumError, NotSent, Lost, TimeoutError) as error:
                failures.append(f"{seed}: its topology cannot be had: {error or type(error).__name__}")
            finally:
                if not is_wanted:
                    await connection.close()
        causes = "; ".join(failures or ["none was given"])
        raise ConnectError(f"no endpoint leads to a usable cluster: {causes}", refusal)

    @property
    def topology(self) -> Topology:
        """The cluster as it was last heard of."""
        assert self._topology is not None, "connected"
        return self._topology

    async def refresh(self) -> Topology:
        """Asks any reachable node for the topology, then the seeds; whoever comes second waits for the first one's answer."""
        asked_at = _now()
        async with self._asking:
            if self._told_at > asked_at:
                return self.topology
            nodes = [node for node in self.topology.order(None, None, self._next_spread())]
            for node in nodes:
                try:
                    connection = await self._reach(node, insists=False)
                except KvorumError:
                    continue
                try:
                    await self._learn_from(connection, TOPOLOGY_PATIENCE_S)
                    return self.topology
                except Silent:
                    self._abandon(connection)
                except (KvorumError, NotSent, Lost, TimeoutError):
                    continue
            await self.connect()
            return self.topology

    async def call(self, request: messages.Request, kind: type[T], deadline_s: float | None = None) -> T:
        """Carries out a request; its answer must be of this kind."""
        options = getattr(request, "options", None)
        is_write = isinstance(
            request,
            messages.Put | messages.Delete | messages.BatchPut | messages.Update | messages.CreateBucket | messages.SetBucket,
        )
        operation = os.urandom(16) if options is None else options.operation
        given = self.deadline_s if deadline_s is None else deadline_s
        end = _now() + min(given, messages.DEADLINE_MAX_MS / 1000)
        is_retry = bool(options and options.retry)
        attempts = Attempts(operation, is_write, is_retry)
        avoided: bytes | None = None
        refresh = False
        for round_number in range(1, 17):
            topology = await self._fresh(refresh, end)
            if not topology.knows_bucket_of(request):
                topology = await self._fresh(True, end)
            order = topology.order(request, attempts.first_coordinator, self._next_spread())
            next_step: Again | None
            try:
                connection = await self._first_reachable(order, avoided, end)
            except ConnectError as error:
                next_step = attempts.unreachable(error)
            else:
                left = end - _now()
                if left <= 0:
                    break
                window = left / 2 if left > _WHOLE_BELOW_S else left
                answer = await self._attempt(connection, request, window, attempts, is_retry)
                avoided = connection.node
                if isinstance(answer, kind):
                    return answer
                next_step = self._next(answer, connection.node, request, attempts, topology)
            if next_step is None:
                break
            refresh = next_step.refresh
            avoided = avoided if next_step.elsewhere else None
            pause = pause_s(round_number, random.random(), next_step.at_least_s)
            if _now() + pause >= end:
                break
            await asyncio.sleep(pause)
        raise attempts.verdict()

    async def _attempt(
        self, connection: Connection, request: messages.Request, window: float, attempts: Attempts, is_retry: bool
    ) -> messages.Response | Again | None:
        """One attempt: the answer, or what to do without one."""
        if hasattr(request, "options"):
            milliseconds = max(int(window * 1000), 1)
            data = cast(messages.DataRequest, request)
            request = messages.with_options(data, milliseconds, is_retry or attempts.in_doubt)
        attempts.made += 1
        try:
            return await connection.ask(request, window + ANSWER_GRACE_S)
        except NotSent:
            return attempts.silent(connection.node, sent=False, timed_out=False)
        except Lost:
            return attempts.silent(connection.node, sent=True, timed_out=False)
        except Silent:
            self._abandon(connection)
            return attempts.silent(connection.node, sent=True, timed_out=True)
        except TimeoutError:
            return attempts.unanswered(connection.node)

    def _next(
        self,
        answer: messages.Response | Again | None,
        node: bytes,
        request: messages.Request,
        attempts: Attempts,
        topology: Topology,
    ) -> Again | None:
        if answer is None or isinstance(answer, Again):
            return answer
        if not isinstance(answer, messages.Failed):
            raise ProtocolError(f"an answer of another kind: {type(answer).__name__}")
        next_step = attempts.answered(node, answer.error)
        # One node does not know of a bucket that another one told of: the news is still on its way.
        error = answer.error.refusal if isinstance(answer.error, EarlierAttemptUnknown) else answer.error
        if isinstance(error, NoSuchBucket) and topology.knows_bucket_of(request):
            return Again(elsewhere=True)
        return next_step

    async def ask_node(self, node: bytes, request: messages.Request, kind: type[T]) -> T:
        """Asks exactly this node, once."""
        connection = await self._reach(node, insists=True)
        try:
            answer = await connection.ask(request, self.deadline_s)
        except (NotSent, Lost, TimeoutError) as error:
            raise ConnectError(f"{node.hex()}: no answer") from error
        if isinstance(answer, messages.Failed):
            raise answer.error
        if not isinstance(answer, kind):
            raise ProtocolError(f"an answer of another kind: {type(answer).__name__}")
        return answer

    async def close(self) -> None:
        """Ends all connections."""
        for link in self._links.values():
            if link.connection is not None:
                await link.connection.close()

    async def _fresh(self, wanted: bool, end: float) -> Topology:
        """The topology, asked for again when it is old or doubted. A failure leaves the old one: it is only a hint."""
        age = _now() - self._told_at
        wanted = wanted or self._doubted
        if age < TOPOLOGY_AGE_S and not (wanted and age >= TOPOLOGY_PAUSE_S):
            return self.topology
        self._doubted = False
        try:
            async with asyncio.timeout(max(end - _now(), 0)):
                await self.refresh()
        except (KvorumError, TimeoutError):
            pass
        return self.topology

    async def _learn_from(self, connection: Connection, patience_s: float) -> None:
        told = await connection.ask(messages.GetTopology(), patience_s)
        listed = await connection.ask(messages.ListBuckets(), patience_s)
        for answer in (told, listed):
            if isinstance(answer, messages.Failed):
                raise answer.error
        if not isinstance(told, messages.TopologyDone) or not isinstance(listed, messages.Buckets):
            raise ProtocolError("no topology")
        self._topology = Topology(told, listed.buckets)
        self._told_at = _now()

    async def _first_reachable(self, order: list[bytes], avoided: bytes | None, end: float) -> Connection:
        failures: list[str] = []
        for node in sorted(order, key=lambda node: node == avoided):
            try:
                async with asyncio.timeout(max(end - _now(), 0)):
                    return await self._reach(node, insists=False)
            except ConnectError as error:
                self._doubted = True
                failures.append(str(error))
            except TimeoutError:
                break
        raise ConnectError("no node could be reached: " + "; ".join(failures))

    async def _reach(self, node: bytes, insists: bool) -> Connection:
        known = self.topology.nodes.get(node)
        if known is None:
            raise ConnectError(f"{node.hex()}: no such node")
        link = self._link(node)
        if not insists and link.has_failed and link.lock.locked():
            # Somebody is trying again what failed a moment ago: do not wait for the same failure.
            raise ConnectError(f"{known.client_address}: could not be reached a moment ago")
        async with link.lock:
            if link.connection is not None and link.connection.is_open:
                return link.connection
            link.connection = None
            if not insists and link.has_failed and _now() < link.rests_until:
                raise ConnectError(f"{known.client_address}: could not be reached a moment ago")
            endpoint = Endpoint.parse(known.client_address)
            endpoint = Endpoint(endpoint.host, endpoint.port, None if self._plain else node)
            try:
                connection = await Connection.open(endpoint, self._identity, self._token)
                if connection.node != node or connection.cluster != self._cluster:
                    await connection.close()
                    raise ConnectError(f"{endpoint}: another node answered")
            except BaseException:
                link.has_failed, link.rests_until = True, _now() + UNREACHABLE_REST_S
                raise
            link.connection, link.has_failed = connection, False
            return connection

    def _abandon(self, silent: Connection) -> None:
        """A connection is silent: it is given up, and its node is passed over for a while. Requests that still wait on it keep
        it. Nothing happens when it has been given up before: the one that was opened since may be well."""
        link = self._link(silent.node)
        if link.connection is not silent:
            return
        link.connection, link.has_failed, link.rests_until = None, True, _now() + SILENT_REST_S
        silent.give_up()
        self._doubted = True

    def _link(self, node: bytes) -> _Link:
        return self._links.setdefault(node, _Link())

    def _next_spread(self) -> int:
        self._spread += 1
        return self._spread


def _now() -> float:
    return asyncio.get_running_loop().time()
