"""The plain client: the asyncio one, on an event loop in a thread of its own.

>>> import kvorum
>>> def example() -> None:
...     with kvorum.connect("127.0.0.1:7401") as client:
...         carts = client.bucket("default")
...         carts.put(b"cart/17", b"milk")
...         print(carts.get(b"cart/17").values)

It may be shared by threads; requests of several threads are in flight together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from kvorum import aio, messages
from kvorum.endpoint import Endpoint, Identity
from kvorum.errors import RequestError
from kvorum.routing import Topology

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kvorum", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for what a coroutine returns."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def connect(
    *endpoints: str | Endpoint,
    identity: Identity | None = None,
    token: str = "",
    cluster: str | None = None,
    deadline: float = messages.DEADLINE_DEFAULT_MS / 1000,
) -> Client:
    """Connects to a cluster; the arguments are those of :func:`kvorum.aio.connect`."""
    loop = _Loop()
    try:
        opened = aio.connect(*endpoints, identity=identity, token=token, cluster=cluster, deadline=deadline)
        return Client(loop, loop.run(opened))
    except BaseException:
        loop.stop()
        raise


class Client:
    """A handle to a cluster. See :func:`connect`; the methods are those of :class:`kvorum.aio.Client`."""

    def __init__(self, loop: _Loop, client: aio.Client) -> None:
        self._loop = loop
        self._client = client

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections. The client cannot be used any more."""
        self._loop.run(self._client.close())
        self._loop.stop()

    def bucket(self, name: str = "default") -> Bucket:
        """A bucket of this cluster."""
        return Bucket(self._loop, self._client.bucket(name))

    @property
    def topology(self) -> Topology:
        """The cluster as it was last heard of."""
        return self._client.topology

    def refresh_topology(self) -> Topology:
        """Asks for the topology now."""
        return self._loop.run(self._client.refresh_topology())

    def status_of(self, node: bytes) -> messages.StatusDone:
        """Figures of one node, asked of that node itself."""
        return self._loop.run(self._client.status_of(node))

    def diagnosis_of(self, node: bytes, sections: Sequence[str] = ()) -> messages.Diagnosis:
        """A diagnosis of one node, asked of that node itself."""
        return self._loop.run(self._client.diagnosis_of(node, sections))

    def create_bucket(self, name: str, settings: messages.BucketSettings | None = None) -> messages.BucketDescription:
        """Creates a bucket."""
        return self._loop.run(self._client.create_bucket(name, settings))

    def set_bucket(self, name: str, settings: messages.BucketSettings) -> messages.BucketDescription:
        """Changes a bucket's settings."""
        return self._loop.run(self._client.set_bucket(name, settings))

    def show_bucket(self, name: str) -> messages.BucketDescription:
        """A bucket's settings."""
        return self._loop.run(self._client.show_bucket(name))

    def list_buckets(self) -> tuple[messages.BucketDescription, ...]:
        """All buckets, ascending by name."""
        return self._loop.run(self._client.list_buckets())

    def create_token(
        self,
        name: str,
        grants: Iterable[messages.Grant],
        *,
        expires_at_ms: int | None = None,
        in_flight: int | None = None,
        rate: int | None = None,
    ) -> tuple[str, messages.ListedToken]:
        """Makes an access token: its text, which nobody can ask for again, and how it is listed. The operator's."""
        made = self._client.create_token(name, grants, expires_at_ms=expires_at_ms, in_flight=in_flight, rate=rate)
        return self._loop.run(made)

    def list_tokens(self) -> tuple[messages.ListedToken, ...]:
        """All access tokens without their secrets, revoked and expired ones included. The operator's."""
        return self._loop.run(self._client.list_tokens())

    def revoke_token(self, number: int) -> messages.ListedToken:
        """Ends the access token of this id for good. The operator's."""
        return self._loop.run(self._client.revoke_token(number))


class Bucket:
    """A named set of keys. The methods and their arguments are those of :class:`kvorum.aio.Bucket`."""

    def __init__(self, loop: _Loop, bucket: aio.Bucket) -> None:
        self._loop = loop
        self._bucket = bucket
        self.name = bucket.name

    def put(
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
        """Stores a value, in place of what is there; see :meth:`kvorum.aio.Bucket.put`."""
        work = self._bucket.put(
            key, value, context=context, sibling=sibling, w=w, strict=strict, deadline=deadline,
            expires_at_ms=expires_at_ms, operation=operation, retry=retry,
        )  # fmt: skip
        return self._loop.run(work)

    def get(
        self, key: bytes, *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> messages.GetDone:
        """Reads a key with all its siblings."""
        return self._loop.run(self._bucket.get(key, r=r, strict=strict, deadline=deadline))

    def delete(
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
        """Deletes what a key holds, or exactly what was read with a context."""
        work = self._bucket.delete(
            key, context=context, w=w, strict=strict, deadline=deadline, operation=operation, retry=retry
        )
        return self._loop.run(work)

    def update(
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
        """Applies an operation to a counter, set, register or map; see :meth:`kvorum.aio.Bucket.update`."""
        work = self._bucket.update(
            key, change, w=w, strict=strict, deadline=deadline, operation=operation, retry=retry
        )
        return self._loop.run(work)

    def read(
        self, key: bytes, *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> messages.MergedDone:
        """Reads a counter, set, register or map."""
        return self._loop.run(self._bucket.read(key, r=r, strict=strict, deadline=deadline))

    def page(
        self,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        limit: int = aio.PAGE_ITEMS,
        partial: bool = False,
        deadline: float | None = None,
    ) -> messages.ListDone:
        """One page of keys in key order."""
        work = self._bucket.page(prefix, after=after, limit=limit, partial=partial, deadline=deadline)
        return self._loop.run(work)

    def keys(
        self,
        prefix: bytes = b"",
        *,
        limit: int = aio.PAGE_ITEMS,
        partial: bool = False,
        deadline: float | None = None,
    ) -> Iterator[messages.ListItem]:
        """All keys that begin with ``prefix``, in order, asked for page by page of ``limit`` keys."""
        after: bytes | None = None
        while True:
            page = self.page(prefix, after=after, limit=limit, partial=partial, deadline=deadline)
            yield from page.items
            after = page.next
            if after is None:
                return

    def put_batch(
        self,
        items: Iterable[messages.PutItem],
        *,
        w: int | None = None,
        strict: bool = False,
        deadline: float | None = None,
        retry: bool = False,
    ) -> list[messages.PutDone | RequestError]:
        """Stores several values at once; each succeeds or fails by itself."""
        work = self._bucket.put_batch(items, w=w, strict=strict, deadline=deadline, retry=retry)
        return self._loop.run(work)

    def get_batch(
        self, keys: Iterable[bytes], *, r: int | None = None, strict: bool = False, deadline: float | None = None
    ) -> list[messages.GetDone | messages.MergedDone | RequestError]:
        """Reads several keys at once; each succeeds or fails by itself."""
        return self._loop.run(self._bucket.get_batch(keys, r=r, strict=strict, deadline=deadline))
