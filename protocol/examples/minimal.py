"""A Kvorum client of sixty lines, written from protocol/README.md alone. Usage: minimal.py HOST PORT"""

import os
import socket
import sys

import msgpack

LATEST, BUCKET = [1], b"default"


class Client:
    def __init__(self, host: str, port: int) -> None:
        self.stream = socket.create_connection((host, port), timeout=15).makefile("rwb")
        self.last_id = -1
        if self.call(1, 1, 1)[0] != 2:  # hello: we speak versions 1 to 1; its id is 0
            raise SystemExit("refused")

    def call(self, tag: int, *fields: object) -> list:
        self.last_id += 1
        body = msgpack.packb([tag, self.last_id, *fields])
        self.stream.write(len(body).to_bytes(4, "big") + body)
        self.stream.flush()
        length = int.from_bytes(self.stream.read(4), "big")
        tag, _request_id, *fields = msgpack.unpackb(self.stream.read(length))
        return [tag, *fields]

    def data(self, tag: int, *fields: object) -> list:
        answer, *fields = self.call(tag, BUCKET, *fields, [os.urandom(16)])  # options: a fresh operation id
        if answer == 1:
            raise RuntimeError(f"error {fields[0]}")
        return fields

    def put(self, key: bytes, value: bytes, replaces: list = LATEST) -> None:
        self.data(10, key, value, replaces)

    def get(self, key: bytes) -> tuple[list[bytes], list]:
        values, context, *_ = self.data(11, key)
        return [value for _dot, value, *_ in values], [3, context]

    def delete(self, key: bytes, replaces: list = LATEST) -> None:
        self.data(12, key, replaces)

    def keys(self, prefix: bytes = b"", after: bytes | None = None) -> list[bytes]:
        items, after, *_ = self.data(13, prefix, after, 1000, False)
        return [key for key, *_ in items] + (self.keys(prefix, after) if after is not None else [])


client = Client(sys.argv[1], int(sys.argv[2]))
client.put(b"cart/1", b"milk")
_, context = client.get(b"cart/1")
client.put(b"cart/1", b"milk, bread", context)  # two writers with the same context: siblings
client.put(b"cart/1", b"milk, eggs", context)
siblings, context = client.get(b"cart/1")
assert sorted(siblings) == [b"milk, bread", b"milk, eggs"]
client.put(b"cart/1", b"milk, bread, eggs", context)  # replaces both
assert client.get(b"cart/1")[0] == [b"milk, bread, eggs"] and client.keys(b"cart/1") == [b"cart/1"]
client.delete(b"cart/1")
assert client.get(b"cart/1")[0] == [] and client.keys(b"cart/1") == []
print("put, get, two siblings, delete, list: as the specification says")
