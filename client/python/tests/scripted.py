"""A node that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from kvorum import messages, wire
from kvorum.errors import RequestError

NODE = bytes(15) + b"\x01"
BUCKET = messages.BucketDescription("default", messages.BucketSettings())

Answer = Callable[[Any], Awaitable[Any]]


class Drop(Exception):
    """Raised by an answer: the connection ends instead."""


class Node:
    """One node of a cluster of one. ``answer`` is asked for what a request for data is answered."""

    def __init__(self, answer: Answer, refusal: RequestError | None = None) -> None:
        self.asked: list[Any] = []
        self.connections = 0
        self.ended = 0
        """How many of them the client has ended."""
        self.last_on = 0
        """Which of them, from 1 on, brought the last request for data."""
        self.mute = 0
        """So many questions about the cluster get no answer."""
        self.endpoint = ""
        self._answer = answer
        self._refusal = refusal

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        """The node, while it listens."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering: list[asyncio.Task[None]] = []
        self.connections += 1
        number = self.connections
        try:
            while True:
                body = await reader.readexactly(wire.frame_length(await reader.readexactly(4)))
                tag, request_id, fields = wire.read_head(body)
                if request_id == 0:
                    greeting: Any = messages.Welcome(1, 0, NODE, "test")
                    greeting = messages.Refused(self._refusal) if self._refusal else greeting
                    writer.write(wire.write_frame(messages.GREETING, 0, greeting))
                    continue
                request = messages.REQUEST.take_kind(tag, fields)
                if isinstance(request, messages.ListBuckets | messages.GetTopology):
                    if self.mute:
                        self.mute -= 1
                        continue
                else:
                    self.last_on = number
                answering.append(asyncio.create_task(self._respond(request_id, request, writer)))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended += 1
            writer.close()

    async def _respond(self, request_id: int, request: Any, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(wire.write_frame(messages.RESPONSE, request_id, await self._response(request)))
        except Drop:
            writer.close()

    async def _response(self, request: Any) -> Any:
        if isinstance(request, messages.ListBuckets):
            return messages.Buckets((BUCKET,))
        if isinstance(request, messages.GetTopology):
            node = messages.TopologyNode(NODE, "n1", "default", 100, "", self.endpoint, "", True)
            name = messages.LayoutName(1, 1, bytes(32))
            # No layout that we know: any node will do.
            return messages.TopologyDone("test", NODE, (node,), name, b"\x91\x02", 1)
        self.asked.append(request)
        answer = await self._answer(request)
        return messages.Failed(answer) if isinstance(answer, RequestError) else answer
