"""Client of a Kvorum cluster.

>>> import kvorum
>>> def example() -> None:
...     with kvorum.connect("127.0.0.1:7401") as client:
...         bucket = client.bucket("default")
...         bucket.put(b"greeting", b"hello")
...         read = bucket.get(b"greeting")
...         print(read.values)
...         bucket.put(b"greeting", b"hello again", context=read.context)

The same with ``await``: :mod:`kvorum.aio`. What can go wrong: :mod:`kvorum.errors`. What is said on the wire:
``protocol/README.md``.
"""

from kvorum import aio, errors
from kvorum.aio import draw_operation, put_item
from kvorum.client import Bucket, Client, connect
from kvorum.endpoint import Endpoint, Identity
from kvorum.errors import ConnectError, KvorumError, NoAnswer, ProtocolError, RequestError
from kvorum.messages import (
    ADMIN,
    READ,
    WRITE,
    Add,
    Assign,
    BucketDescription,
    BucketSettings,
    Clear,
    CounterValue,
    Decrement,
    Dot,
    FieldChange,
    Fields,
    GetDone,
    Grant,
    Increment,
    JoinedField,
    ListDone,
    ListedToken,
    ListItem,
    MapValue,
    MergedDone,
    MergeRule,
    OtherValue,
    PutDone,
    PutItem,
    RegisterValue,
    Remove,
    SetValue,
    UpdateDone,
    Version,
)
from kvorum.routing import Place, Topology

__all__ = [
    "ADMIN",
    "READ",
    "WRITE",
    "Add",
    "Assign",
    "Bucket",
    "BucketDescription",
    "BucketSettings",
    "Clear",
    "Client",
    "ConnectError",
    "CounterValue",
    "Decrement",
    "Dot",
    "Endpoint",
    "FieldChange",
    "Fields",
    "GetDone",
    "Grant",
    "Identity",
    "Increment",
    "JoinedField",
    "KvorumError",
    "ListDone",
    "ListedToken",
    "ListItem",
    "MapValue",
    "MergedDone",
    "MergeRule",
    "NoAnswer",
    "OtherValue",
    "Place",
    "ProtocolError",
    "PutDone",
    "PutItem",
    "RegisterValue",
    "Remove",
    "RequestError",
    "SetValue",
    "Topology",
    "UpdateDone",
    "Version",
    "aio",
    "connect",
    "draw_operation",
    "errors",
    "put_item",
]
