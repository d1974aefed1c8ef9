"""One connection to one node: a greeting, then requests and answers in any order.

Frames that are asked for in the same turn of the event loop leave in one write. When the stream ends, every request that waits
learns that its answer will never come. An answer that comes when nobody waits for it any more is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from kvorum import messages, wire
from kvorum.endpoint import Endpoint, Identity, server_name
from kvorum.errors import ConnectError, UnknownError
from kvorum.wire import DecodeError

CONNECT_PATIENCE_S = 2.0
"""How long opening a connection may take, greeting included. A node that needs longer is better passed over."""

SILENCE_S = 0.3
"""How long a connection must say nothing, with a request waiting, to be called silent. Shorter waits prove nothing."""

IN_FLIGHT = 1024
"""Requests in flight on one connection: as many as a node takes."""

_READ_BYTES = 256 * 1024


class NotSent(Exception):
    """The request never left."""


class Lost(Exception):
    """The request was sent, and the connection ended."""


class Silent(TimeoutError):
    """The request was sent, and then not a byte came: the node hangs or is out of reach. A mere ``TimeoutError`` says nothing
    about the connection: others may well be answered on it."""


class Connection:
    """An open connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: messages.Welcome
    ) -> None:
        self.node: bytes = welcome.node
        self.cluster: str = welcome.cluster_name
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[messages.Response]] = {}
        self._last_id = 0
        self._outgoing: list[bytes] = []
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._is_open = True
        self._heard = 0
        self._is_given_up = False
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def open(cls, endpoint: Endpoint, identity: Identity | None, token: str) -> Connection:
        """Connects, and exchanges greetings.

        :raises ConnectError: says why the node cannot be used.
        """
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                return await cls._open(endpoint, identity, token)
        except TimeoutError as error:
            raise ConnectError(f"{endpoint}: no answer within {CONNECT_PATIENCE_S:g} s") from error
        except (OSError, EOFError, DecodeError) as error:
            raise ConnectError(f"{endpoint}: {error or type(error).__name__}") from error

    @classmethod
    async def _open(cls, endpoint: Endpoint, identity: Identity | None, token: str) -> Connection:
        if endpoint.node is None:
            if not endpoint.is_loopback:
                raise ConnectError(f"{endpoint}: plaintext is for loopback only; name the node's id: ID@HOST:PORT")
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        else:
            if identity is None:
                raise ConnectError(f"{endpoint}: TLS needs an identity")
            name = server_name(endpoint.node)
            reader, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=identity.context, server_hostname=name
            )
        try:
            version = messages.PROTOCOL_VERSION
            hello = messages.Hello(version, version, 0, token.encode())
            writer.write(wire.write_frame(messages.GREETING, 0, hello))
            body = await reader.readexactly(wire.frame_length(await reader.readexactly(4)))
            tag, _, fields = wire.read_head(body)
            answer = messages.GREETING.take_kind(tag, fields)
            if isinstance(answer, messages.Refused):
                raise ConnectError(f"{endpoint}: refused: {answer.error}", answer.error) from answer.error
            if not isinstance(answer, messages.Welcome) or answer.protocol != version:
                raise DecodeError("not a welcome to this version")
            if endpoint.node is not None and answer.node != endpoint.node:
                raise ConnectError(f"{endpoint}: another node answered: {answer.node.hex()}")
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer, answer)

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent."""
        return self._is_open

    async def ask(self, request: messages.Request, patience_s: float) -> messages.Response:
        """Sends a request and waits for its answer.

        :raises NotSent: the request never left.
        :raises Lost: it was sent, and the connection ended.
        :raises Silent: it was sent, and then nothing at all came.
        :raises TimeoutError: it was sent, and no answer came in time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[messages.Response] | None = None
        sent_at, heard_before = 0.0, 0
        end = loop.time() + patience_s
        try:
            async with asyncio.timeout(patience_s), self._places:
                if not self._is_open:
                    raise NotSent
                self._last_id += 1
                request_id = self._last_id
                frame = wire.write_frame(messages.REQUEST, request_id, request)
                answer = loop.create_future()
                sent_at, heard_before = loop.time(), self._heard
                self._waiting[request_id] = answer
                self._send(frame)
                try:
                    return await answer
                finally:
                    self._waiting.pop(request_id, None)
                    self._close_if_done_with()
        except TimeoutError:
            if answer is None:
                raise NotSent from None
            if end - sent_at >= SILENCE_S and self._heard == heard_before:
                raise Silent from None
            raise

    def give_up(self) -> None:
        """Nobody will ask here any more: it is closed as soon as no request waits on it."""
        self._is_given_up = True
        self._close_if_done_with()

    def _close_if_done_with(self) -> None:
        if self._is_given_up and not self._waiting:
            self._close()
            # Who does not speak does not read either: what is still to be written would keep it open for ever.
            self._writer.transport.abort()

    def _send(self, frame: bytes) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(frame)

    def _flush(self) -> None:
        frames, self._outgoing = self._outgoing, []
        if self._is_open:
            self._writer.write(b"".join(frames))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        try:
            while True:
                start = 0
                while len(buffer) - start >= 4:
                    end = start + 4 + wire.frame_length(bytes(buffer[start : start + 4]))
                    if len(buffer) < end:
                        break
                    self._deliver(bytes(buffer[start + 4 : end]))
                    start = end
                del buffer[:start]
                more = await reader.read(_READ_BYTES)
                if not more:
                    return
                self._heard += 1
                buffer += more
        except (OSError, DecodeError):
            return
        finally:
            self._close()

    def _deliver(self, body: bytes) -> None:
        tag, request_id, fields = wire.read_head(body)
        answer = self._waiting.get(request_id)
        if answer is None or answer.done():
            return
        try:
            message: Any = messages.RESPONSE.take_kind(tag, fields)
        except DecodeError:
            # The frame was whole, so only this request is concerned; a write counts as perhaps applied.
            message = messages.Failed(UnknownError(0))
        answer.set_result(message)

    def _close(self) -> None:
        self._is_open = False
        self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Lost())
        self._waiting.clear()

    async def close(self) -> None:
        """Ends the connection."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._close()
