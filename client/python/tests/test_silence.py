"""A connection is given up when it says nothing at all, and for nothing less."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted import Node

from kvorum import aio, errors, messages

PUT = messages.PutDone(b"context", messages.Dot(1, 1), (), 2, 0, 2)
GET = messages.GetDone((messages.Version(messages.Dot(1, 1), b"v"),), b"context", True, 2, 0, 2)

DEADLINE_S = 1.5
"""Half of it is an attempt's, which is long enough to call a connection silent."""


def play(hanging: int, work: Callable[[Node, aio.Client, aio.Bucket], Awaitable[None]]) -> None:
    """Lets a client work with a node that leaves the first so many requests for the key ``hang`` without an answer."""
    left = iter(range(hanging))

    async def answer(request: Any) -> Any:
        if request.key == b"hang" and next(left, None) is not None:
            await asyncio.Event().wait()
        return PUT if isinstance(request, messages.Put) else GET

    async def main() -> None:
        async with Node(answer).running() as node, await aio.connect(node.endpoint) as client:
            await work(node, client, client.bucket())

    asyncio.run(asyncio.wait_for(main(), 20))


async def meanwhile(bucket: aio.Bucket, other: Awaitable[Any]) -> None:
    """Gets a key again and again while something else happens; each get is answered at once."""
    task = asyncio.ensure_future(other)
    answered = 0
    while not task.done():
        assert await bucket.get(b"k", deadline=DEADLINE_S) == GET
        answered += 1
    assert answered > 100
    await task


def test_one_request_without_an_answer_costs_the_others_nothing() -> None:
    async def work(node: Node, _client: aio.Client, bucket: aio.Bucket) -> None:
        await meanwhile(bucket, bucket.put(b"hang", b"v", deadline=DEADLINE_S))
        first, second = (request.options for request in node.asked if isinstance(request, messages.Put))
        assert (first.retry, second.retry) == (False, True)
        assert (node.connections, node.last_on) == (1, 1)

    play(1, work)


def test_a_topology_that_does_not_come_costs_the_requests_nothing() -> None:
    async def work(node: Node, client: aio.Client, bucket: aio.Bucket) -> None:
        node.mute = 1
        await meanwhile(bucket, client.refresh_topology())
        await bucket.get(b"k")
        assert (node.connections, node.last_on) == (2, 1), "the requests keep the one they had"

    play(0, work)


def test_a_silent_node_is_given_up_and_its_connection_is_closed() -> None:
    async def work(node: Node, _client: aio.Client, bucket: aio.Bucket) -> None:
        with pytest.raises(errors.NoAnswer):
            await bucket.get(b"hang", deadline=0.4)
        while node.ended == 0:
            await asyncio.sleep(0)
        await bucket.get(b"k")
        assert (node.connections, node.last_on) == (2, 2)

    play(1, work)


def test_what_was_asked_over_a_connection_given_up_before_leaves_the_next_one_alone() -> None:
    async def work(node: Node, _client: aio.Client, bucket: aio.Bucket) -> None:
        long = asyncio.ensure_future(bucket.get(b"hang", deadline=6))
        with pytest.raises(errors.NoAnswer):
            await bucket.get(b"hang", deadline=0.4)
        assert node.ended == 0, "somebody still waits there"
        while node.last_on < 2:
            try:
                await bucket.get(b"k", deadline=DEADLINE_S)
            except errors.KvorumError:
                continue
        assert await long == GET
        while node.ended == 0:
            await asyncio.sleep(0)
        assert (node.connections, node.last_on) == (2, 2), "the new one was kept"

    play(2, work)


def test_an_answer_that_comes_when_nobody_waits_for_it_any_more_is_dropped() -> None:
    async def main() -> None:
        late = asyncio.Event()

        async def answer(request: Any) -> Any:
            if request.key == b"late":
                await late.wait()
            return GET

        async with Node(answer).running() as node, await aio.connect(node.endpoint) as client:
            bucket = client.bucket()
            with pytest.raises(errors.NoAnswer):
                # Too short to tell anything about the connection.
                await bucket.get(b"late", deadline=0.01)
            late.set()
            for _ in range(100):
                assert await bucket.get(b"k") == GET
            assert (node.connections, node.last_on) == (1, 1)

    asyncio.run(asyncio.wait_for(main(), 20))
