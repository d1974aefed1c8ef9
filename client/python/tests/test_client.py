"""What the client says is true, whatever its node does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted import Drop, Node

import kvorum
from kvorum import aio, errors, messages
from kvorum.blake3 import derived

PUT = messages.PutDone(b"context", messages.Dot(1, 1), (), 2, 0, 2)
GET = messages.GetDone((messages.Version(messages.Dot(1, 1), b"v"),), b"context", True, 2, 0, 2)


def play(script: list[Any], work: Callable[[aio.Bucket], Awaitable[Any]]) -> tuple[Node, Any]:
    """Lets a client work with a node that answers in this order; the outcome, an error included."""
    left = iter(script)

    async def answer(_request: Any) -> Any:
        step = next(left)
        if isinstance(step, type) and issubclass(step, Exception):
            raise step
        if step is None:
            await asyncio.Event().wait()
        return step

    async def main() -> tuple[Node, Any]:
        async with Node(answer).running() as node, await aio.connect(node.endpoint) as client:
            try:
                return node, await work(client.bucket())
            except errors.KvorumError as error:
                return node, error

    return asyncio.run(main())


def test_a_write_whose_connection_is_lost_is_repeated_as_a_retry_of_the_same_operation() -> None:
    node, outcome = play([Drop, PUT], lambda bucket: bucket.put(b"k", b"v"))
    assert outcome == PUT
    first, second = (request.options for request in node.asked)
    assert (first.retry, second.retry) == (False, True)
    assert first.operation == second.operation


def test_once_a_write_may_be_applied_no_later_refusal_makes_it_not_applied() -> None:
    for refusal in (errors.NoSuchBucket(), errors.DiskFull(), errors.TooManySiblings()):
        node, outcome = play([Drop] + [refusal] * 20, lambda bucket: bucket.put(b"k", b"v", deadline=1))
        assert isinstance(outcome, errors.OutcomeUnknown)
        assert not outcome.not_applied
        assert outcome.operation_id == node.asked[0].options.operation


def test_what_a_node_refuses_is_not_applied_and_not_asked_again() -> None:
    node, outcome = play([errors.DiskFull()], lambda bucket: bucket.put(b"k", b"v"))
    assert isinstance(outcome, errors.DiskFull)
    assert outcome.not_applied
    assert len(node.asked) == 1


def test_a_refused_retry_of_another_process_leaves_the_earlier_attempt_in_doubt() -> None:
    refusal = errors.EarlierAttemptUnknown(bytes(16), errors.DiskFull())
    _, outcome = play([refusal], lambda bucket: bucket.put(b"k", b"v", operation=bytes(16), retry=True))
    assert isinstance(outcome, errors.EarlierAttemptUnknown)
    assert isinstance(outcome.refusal, errors.DiskFull)
    assert not outcome.not_applied


def test_an_overloaded_node_is_asked_again_no_sooner_than_it_wants() -> None:
    began = time.monotonic()
    _, outcome = play([errors.Overloaded(200), GET], lambda bucket: bucket.get(b"k"))
    assert outcome == GET
    assert time.monotonic() - began >= 0.2


def test_silence_is_no_answer_to_a_read_and_doubt_to_a_write() -> None:
    _, outcome = play([None] * 20, lambda bucket: bucket.get(b"k", deadline=0.3))
    assert isinstance(outcome, errors.NoAnswer)
    _, outcome = play([None] * 20, lambda bucket: bucket.put(b"k", b"v", deadline=0.3))
    assert isinstance(outcome, errors.OutcomeUnknown)


def test_requests_are_in_flight_together_and_answered_in_any_order() -> None:
    async def main() -> None:
        all_here = asyncio.Event()

        async def answer(request: Any) -> Any:
            # The first is answered last.
            if request.key == b"0":
                await all_here.wait()
            if request.key == b"99":
                all_here.set()
            return messages.GetDone((messages.Version(messages.Dot(1, 1), request.key),), None, True, 1, 0, 1)

        async with Node(answer).running() as node, await aio.connect(node.endpoint) as client:
            bucket = client.bucket()
            found = await asyncio.gather(*(bucket.get(b"%d" % number) for number in range(100)))
            assert [read.values for read in found] == [(b"%d" % number,) for number in range(100)]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_item_of_a_batch_fails_by_itself() -> None:
    done = messages.BatchPutDone((PUT, messages.Failed(errors.TooManySiblings())))
    items = [kvorum.put_item(b"a", b"1"), kvorum.put_item(b"b", b"2")]
    node, outcome = play([done], lambda bucket: bucket.put_batch(items))
    assert outcome[0] == PUT
    assert isinstance(outcome[1], errors.TooManySiblings)
    assert len({item.operation for item in node.asked[0].items}) == 2


def test_a_refused_greeting_and_a_silent_port_say_why() -> None:
    async def answer(_request: Any) -> Any:
        return GET

    async def main(node: Node, cluster: str | None = None) -> None:
        async with node.running():
            await aio.connect(node.endpoint, cluster=cluster)

    refused = Node(answer, errors.Unauthenticated(errors.AccessReason.REVOKED))
    with pytest.raises(errors.ConnectError, match="REVOKED"):
        asyncio.run(main(refused))
    with pytest.raises(errors.ConnectError, match="another cluster"):
        asyncio.run(main(Node(answer), cluster="production"))
    with pytest.raises(errors.ConnectError, match="loopback"):
        kvorum.connect("192.0.2.1:7401")
    with pytest.raises(errors.ConnectError, match="identity"):
        kvorum.connect("00ab00000000000000000000000000ff@127.0.0.1:1")


def test_what_no_node_would_take_is_refused_here() -> None:
    def wrong(work: Callable[[aio.Bucket], Awaitable[Any]]) -> None:
        with pytest.raises(ValueError):
            play([], work)

    wrong(lambda bucket: bucket.get(b""))
    wrong(lambda bucket: bucket.put(b"k" * 4097, b"v"))
    wrong(lambda bucket: bucket.put(b"k", b"v", context=b"c", sibling=True))
    for name in ("", "Upper", "-a", "a" * 65, "ä"):
        with pytest.raises(ValueError):
            aio.check_bucket(name)
    for text in ("h", "h:0", "h:70000", ":1", "n1@h:1"):
        with pytest.raises(ValueError):
            kvorum.Endpoint.parse(text)


def test_of_a_token_only_the_digest_of_its_secret_is_told() -> None:
    listed = messages.ListedToken(7, "shop", (messages.Grant("carts", kvorum.READ),), 1, None, None)

    async def main() -> tuple[list[Any], str]:
        async def answer(_request: Any) -> Any:
            return messages.Tokens((listed,))

        async with Node(answer).running() as node, await aio.connect(node.endpoint) as client:
            text, made = await client.create_token("shop", listed.grants, expires_at_ms=9, in_flight=2, rate=3)
            assert made == listed
            assert await client.list_tokens() == (listed,)
            assert await client.revoke_token(7) == listed
            return node.asked, text

    (create, _, revoke), text = asyncio.run(main())
    prefix, number, secret = text.split("_")
    assert (prefix, int(number, 16), len(secret)) == ("kvorum", create.id, 64)
    material = create.id.to_bytes(8, "big") + bytes.fromhex(secret)
    assert create.terms.digest == derived("kvorum 2026-11 access token", material)
    assert bytes.fromhex(secret) not in repr(create).encode()
    assert (create.terms.name, create.terms.grants, create.terms.expires_at_ms) == ("shop", listed.grants, 9)
    assert (create.terms.in_flight, create.terms.rate) == (2, 3)
    assert revoke.id == 7 and revoke.revoked_at_ms > 0


def test_the_key_derivation_is_that_of_the_published_vectors() -> None:
    context = "BLAKE3 2019-12-27 16:29:52 test vectors context"
    assert derived(context, b"").hex() == "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"
