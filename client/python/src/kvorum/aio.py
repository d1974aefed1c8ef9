"""The asyncio client.

>>> import kvorum.aio
>>> async def example() -> None:
...     async with await kvorum.aio.connect("127.0.0.1:7401") as client:
...         carts = client.bucket("default")
...         await carts.put(b"cart/17", b"milk")
...         read = await carts.get(b"cart/17")
...         # Replaces exactly what was read; what was written meanwhile stays as a sibling.
...         await carts.put(b"cart/17", b", ".join([*read.values, b"eggs"]), context=read.context)
...         async for item in carts.keys(b"cart/"):
...             print(item.key, item.siblings)

Requests that are awaited together (``asyncio.gather``) share one connection to each node and are in flight at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType

from kvorum import messages
from kvorum.blake3 import derived
from kvorum.cluster import Cluster
from kvorum.endpoint import Endpoint, Identity
from kvorum.errors import RequestError
from kvorum.routing import Topology

KEY_BYTES = 4096
PAGE_ITEMS = 1000
BATCH_ITEMS = 1024


def draw_operation() -> bytes:
    """A fresh operation id: 16 random bytes."""
    return os.urandom(16)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def check_key(key: bytes) -> bytes:
    """The key itself.

    :raises ValueError: when it is empty or too long. Nothing was sent.
    """
    if not 1 <= len(key) <= KEY_BYTES:
        raise ValueError(f"a key is 1 to {KEY_BYTES} bytes long, this one is {len(key)}")
    return key


def check_bucket(name: str) -> str:
    """The bucket's name itself.

    :raises ValueError: when no bucket can have it. Nothing was sent.
    """
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    if not (1 <= len(name) <= 64 and name[0] in letters and all(sign in letters + "._-" for sign in name)):
        raise ValueError(f"{name!r}: a bucket's name is 1 to 64 of a-z 0-9 . _ -, the first a letter or a digit")
    return name


def replaces_of(context: bytes | None, sibling: bool) -> messages.Latest | messages.Nothing | messages.Read:
    """What a write replaces."""
    if context is not None and sibling:
        raise ValueError("a write replaces what a context covers, or nothing: not both")
    if context is not None:
        return messages.Read(context)
    return messages.Nothing() if sibling else messages.Latest()


def put_item(
    key: bytes,
    value: bytes,
    *,
    context: bytes | None = None,
    sibling: bool = False,
    operation: bytes | None = None,
    expires_at_ms: int | None = None,
) -> messages.PutItem:
    """One put of a batch; the arguments are those of :meth:`Bucket.put`."""
    replaces = replaces_of(context, sibling)
    return messages.PutItem(check_key(key), value, replaces, operation or draw_operation(), expires_at_ms)


async def connect(
    *endpoints: str | Endpoint,
    identity: Identity | None = None,
    token: str = "",
    cluster: str | None = None,
    deadline: float = messages.DEADLINE_DEFAULT_MS / 1000,
) -> Client:
    """Connects to the first endpoint that answers and learns the cluster from it.

    :param endpoints: ``[ID@]HOST:PORT``; one that answers is enough.
    :param identity: the cluster's authority, needed for every address that is not loopback, and our certificate if we have one.
    :param token: an access token: who we are when we have no certificate.
    :param cluster: the cluster's name; nodes of another cluster are refused.
    :param deadline: seconds that a request may take when it does not say, retries included; at most 60.
    :raises ConnectError: says why each endpoint cannot be used.
    """
    seeds = [Endpoint.parse(text) if isinstance(text, str) else text for text in endpoints]
    core = Cluster(seeds, identity, token, cluster, deadline)
    await core.connect()
    return Client(core)


class Client:
    """A handle to a cluster, for the event loop that it was made on. See :func:`connect`."""

    def __init__(self, core: Cluster) -> None:
        self._core = core

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections."""
        await self._core.close()

    def bucket(self, name: str = "default") -> Bucket:
        """A bucket of this cluster. Whether it exists shows when it is used."""
        return Bucket(self._core, check_bucket(name))

    @property
    def topology(self) -> Topology:
        """The cluster as it was last heard of."""
        return self._core.topology

    async def refresh_topology(self) -> Topology:
        """Asks for the topology now."""
        return await self._core.refresh()

    async def status_of(self, node: bytes) -> messages.StatusDone:
        """Figures of one node, asked of that node itself."""
        return await self._core.ask_node(node, messages.GetStatus(), messages.StatusDone)

    async def diagnosis_of(self, node: bytes, sections: Sequence[str] = ()) -> messages.Diagnosis:
        """A diagnosis of one node, asked of that node itself; no sections mean all."""
        return await self._core.ask_node(node, messages.GetDiagnosis(tuple(sections)), messages.Diagnosis)

    async def create_bucket(
        self, name: str, settings: messages.BucketSettings | None = None
    ) -> messages.BucketDescription:
        """Creates a bucket.

        :raises BucketExists: when there is one of this name.
        """
        bucket = messages.BucketDescription(check_bucket(name), settings or messages.BucketSettings())
        return (await self._core.call(messages.CreateBucket(bucket), messages.Buckets)).buckets[0]

    async def set_bucket(self, name: str, settings: messages.BucketSettings) -> messages.BucketDescription:
        """Changes a bucket's settings; replication class and merge rule cannot be changed."""
        bucket = messages.BucketDescription(check_bucket(name), settings)
        return (await self._core.call(messages.SetBucket(bucket), messages.Buckets)).buckets[0]

    async def show_bucket(self, name: str) -> messages.BucketDescription:
        """A bucket's settings.

        :raises NoSuchBucket: when there is none of this name.
        """
        return (await self._core.call(messages.ShowBucket(check_bucket(name)), messages.Buckets)).buckets[0]

    async def list_buckets(self) -> tuple[messages.BucketDescription, ...]:
        """All buckets, ascending by name."""
        return (await self._core.call(messages.ListBuckets(), messages.Buckets)).buckets

    async def create_token(
        self,
        name: str,
        grants: Iterable[messages.Grant],
        *,
        expires_at_ms: int | None = None,
        in_flight: int | None = None,
        rate: int | None = None,
    ) -> tuple[str, messages.ListedToken]:
        """Makes an access token: its text, which nobody can ask for again, and how it is listed. The operator's, who shows a
        client certificate. The cluster is told a digest of the secret only.

        :param name: what people call it; several tokens may have one name.
        :param grants: rights in one bucket each, or in every one: ``Grant("carts", READ | WRITE)``, ``Grant(None, READ)``.
        :param expires_at_ms: wall-clock milliseconds since 1970 from which on it is refused.
        :param in_flight: requests for data that its bearers may have at work in one node; items of batches count singly.
        :param rate: requests for data that they may begin in a second in one node; likewise.
        :raises Forbidden: when we have a token ourselves.
        """
        number, secret = int.from_bytes(os.urandom(8), "big"), os.urandom(32)
        digest = derived("kvorum 2026-11 access token", number.to_bytes(8, "big") + secret)
        terms = messages.TokenTerms(name, digest, tuple(grants), _now_ms(), expires_at_ms, in_flight, rate)
        made = await self._core.call(messages.CreateToken(number, terms), messages.Tokens)
        return f"kvorum_{number:016x}_{secret.hex()}", made.tokens[0]

    async def list_tokens(self) -> tuple[messages.ListedToken, ...]:
        """All access tokens without their secrets, revoked and expired ones included. The operator's."""
        return (await self._core.call(messages.ListTokens(), messages.Tokens)).tokens

    async def revoke_token(self, number: int) -> messages.ListedToken:
        """Ends the access token of this id for good; nodes refuse it as soon as they hear of it. The operator's.

        :raises NoSuchToken: when there is none.
        """
        return (await self._core.call(messages.RevokeToken(number, _now_ms()), messages.Tokens)).tokens[0]


class Bucket:
    """A named set of keys.

    What a request does not say is the bucket's default: ``r`` answers to wait for, ``w`` durable copies to wait for,
    ``strict`` (count owners only; a read then repairs before it answers). ``deadline`` is in seconds and includes retries.
    """

    def __init__(self, core: Cluster, name: str) -> None:
        self._core = core
        self.name = name

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        context: bytes | None = None,
        sibling: bool = False,
        w: int | None = None,
        strict: bool = False,
        deadline: float | None = None,
        expires_at_ms: int | None = None,
        operation: bytes | None = None,
        retry: bool = False,
    ) -> messages.PutDone:
        """Stores a value, in place of what is there.

        :param context: replaces exactly what was read together with this context.
        :param sibling: replaces nothing: the value becomes a sibling of what is there.
        :param expires_at_ms: milliseconds since 1970 from which on the value reads as deleted.
        :param operation: the operation's id, instead of one drawn at random.
        :param retry: the operation was sent before, perhaps by another process.
        :raises KvorumError: its ``not_applied`` says whether it is certain that nothing was applied.
        """
        options = self._options(None, w, strict, operation, retry)
        replaces = replaces_of(context, sibling)
        request = messages.Put(self.name, check_key(key), value, replaces, options, expires_at_ms)
        return await self._core.call(request, messages.PutDone, deadline)

    async def get(
        self, key: bytes, *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> messages.GetDone:
        """Reads a key with all its siblings. No value is no error: then ``versions`` is empty."""
        request = messages.Get(self.name, check_key(key), self._options(r, None, strict, None, False))
        return await self._core.call(request, messages.GetDone, deadline)

    async def delete(
        self,
        key: bytes,
        *,
        context: bytes | None = None,
        w: int | None = None,
        strict: bool = False,
        deadline: float | None = None,
        operation: bytes | None = None,
        retry: bool = False,
    ) -> messages.PutDone:
        """Deletes what a key holds, or exactly what was read with a context.

        :raises InvalidArgument: of the argument ``NOTHING_TO_DELETE`` when the key was never written.
        """
        options = self._options(None, w, strict, operation, retry)
        request = messages.Delete(self.name, check_key(key), replaces_of(context, False), options)
        return await self._core.call(request, messages.PutDone, deadline)

    async def update(
        self,
        key: bytes,
        change: messages.Operation,
        *,
        w: int | None = None,
        strict: bool = False,
        deadline: float | None = None,
        operation: bytes | None = None,
        retry: bool = False,
    ) -> messages.UpdateDone:
        """Applies an operation to a counter, set, register or map, in a bucket of that rule. It takes effect once, also when it is
        retried, through whatever node, within a minute and the next eight operations on the key.

        :param change: :class:`Increment`, :class:`Decrement`, :class:`Add`, :class:`Remove`, :class:`Assign` or :class:`Fields`.
        :raises KvorumError: its ``not_applied`` says whether it is certain that nothing was applied.
        """
        request = messages.Update(self.name, check_key(key), change, self._options(None, w, strict, operation, retry))
        return await self._core.call(request, messages.UpdateDone, deadline)

    async def read(
        self, key: bytes, *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> messages.MergedDone:
        """Reads a counter, set, register or map. No value is no error: then ``value`` is ``None``."""
        request = messages.Get(self.name, check_key(key), self._options(r, None, strict, None, False))
        return await self._core.call(request, messages.MergedDone, deadline)

    async def page(
        self,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        limit: int = PAGE_ITEMS,
        partial: bool = False,
        deadline: float | None = None,
    ) -> messages.ListDone:
        """One page of keys in key order; its ``next`` is the ``after`` of the next page, and ``None`` behind the last."""
        options = self._options(None, None, False, None, False)
        request = messages.List(self.name, prefix, after, limit, partial, options)
        return await self._core.call(request, messages.ListDone, deadline)

    async def keys(
        self, prefix: bytes = b"", *, limit: int = PAGE_ITEMS, partial: bool = False, deadline: float | None = None
    ) -> AsyncIterator[messages.ListItem]:
        """All keys that begin with ``prefix``, in order, asked for page by page of ``limit`` keys."""
        after: bytes | None = None
        while True:
            page = await self.page(prefix, after=after, limit=limit, partial=partial, deadline=deadline)
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def put_batch(
        self,
        items: Iterable[messages.PutItem],
        *,
        w: int | None = None,
        strict: bool = False,
        deadline: float | None = None,
        retry: bool = False,
    ) -> list[messages.PutDone | RequestError]:
        """Stores several values at once (see :func:`put_item`); at most 1,024. Each succeeds or fails by itself: the outcomes
        stand in the order of the items.

        :raises KvorumError: when the batch as a whole failed.
        """
        options = self._options(None, w, strict, None, retry)
        request = messages.BatchPut(self.name, tuple(items), options)
        done = await self._core.call(request, messages.BatchPutDone, deadline)
        return [item.error if isinstance(item, messages.Failed) else item for item in done.outcomes]

    async def get_batch(
        self, keys: Iterable[bytes], *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> list[messages.GetDone | messages.MergedDone | RequestError]:
        """Reads several keys at once; at most 1,024. The outcomes stand in the order of the keys."""
        options = self._options(r, None, strict, None, False)
        request = messages.BatchGet(self.name, tuple(check_key(key) for key in keys), options)
        done = await self._core.call(request, messages.BatchGetDone, deadline)
        return [item.error if isinstance(item, messages.Failed) else item for item in done.outcomes]

    @staticmethod
    def _options(
        r: int | None, w: int | None, strict: bool, operation: bytes | None, retry: bool
    ) -> messages.Options:
        return messages.Options(operation or draw_operation(), r, w, strict, retry=retry)
