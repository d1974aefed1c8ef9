"""A Kvorum client of sixty lines, written from protocol/README.md alone. Usage: minimal.py HOST PORT"""

import os
import socket
import sys
import time

import msgpack


class Client:
    def __init__(self, host: str, port: int) -> None:
        self.stream = socket.create_connection((host, port), timeout=15).makefile("rwb")
        self.last_id = -1
        assert self.call(1, 1, 1)[0] == 2, "refused"  # hello: we speak versions 1 to 1; its id is 0

    def call(self, tag: int, *fields: object) -> list:
        self.last_id += 1
        body = msgpack.packb([tag, self.last_id, *fields])
        self.stream.write(len(body).to_bytes(4, "big") + body)
        self.stream.flush()
        tag, _request_id, *fields = msgpack.unpackb(self.stream.read(int.from_bytes(self.stream.read(4), "big")))
        return [tag, *fields]

    def data(self, tag: int, *fields: object) -> list:
        answer, *fields = self.call(tag, b"default", *fields, [os.urandom(16)])  # options: a fresh operation id
        if answer == 1:
            raise RuntimeError(f"error {fields[0]}")
        return fields

    def put(self, key: bytes, value: bytes, replaces: tuple = (1,)) -> None:  # (1,): whatever is the latest
        self.data(10, key, value, replaces)

    def get(self, key: bytes) -> tuple[list[bytes], tuple]:  # the second is what a write says to replace these
        values, context, *_ = self.data(11, key)
        return [value for _dot, value, *_ in values], (3, context) if context else (2,)

    def delete(self, key: bytes, replaces: tuple = (1,)) -> None:
        self.data(12, key, replaces)

    def keys(self, prefix: bytes = b"", after: bytes | None = None) -> list[bytes]:
        items, after, *_ = self.data(13, prefix, after, 1000, False)
        return [key for key, *_ in items] + (self.keys(prefix, after) if after is not None else [])

    def lists(self, *keys: bytes) -> bool:  # a listing may lag behind for a moment
        return any(self.keys(b"cart/") == [*keys] or time.sleep(0.1) for _ in range(100))


client = Client(sys.argv[1], int(sys.argv[2]))
client.put(b"cart/1", b"milk", client.get(b"cart/1")[1])  # a new key: replaces nothing
_, context = client.get(b"cart/1")
for value in (b"milk, bread", b"milk, eggs"):  # two writers with the same context: siblings
    client.put(b"cart/1", value, context)
siblings, context = client.get(b"cart/1")
assert sorted(siblings) == [b"milk, bread", b"milk, eggs"]
client.put(b"cart/1", b"milk, bread, eggs", context)  # replaces both
assert client.get(b"cart/1")[0] == [b"milk, bread, eggs"] and client.lists(b"cart/1")
client.delete(b"cart/1")
assert client.get(b"cart/1")[0] == [] and client.lists()
print("put, get, two siblings, delete, list: as the specification says")
