"""Where a node listens for clients, how it is named there, and who we are to it.

>>> Endpoint.parse("127.0.0.1:7401")
Endpoint(host='127.0.0.1', port=7401, node=None)
>>> Endpoint.parse("00ab00000000000000000000000000ff@[::1]:7401").host
'::1'
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

ALPN = "kvorum-client/1"


@dataclass(frozen=True)
class Endpoint:
    """A node's client port: ``[ID@]HOST:PORT``.

    With an id the node is reached over TLS and must prove that it is that node. Without one it is reached in plaintext, on
    loopback alone, as ``kv dev`` opens its ports.
    """

    host: str
    port: int
    node: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """The endpoint that a text names.

        :raises ValueError: says what is wrong with it.
        """
        identity, _, address = text.rpartition("@")
        host, colon, port = address.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError(f"{text!r}: an endpoint ends in ':' and a port from 1 to 65535")
        host = host.removeprefix("[").removesuffix("]")
        if not host:
            raise ValueError(f"{text!r}: an endpoint has a host")
        if not identity:
            return cls(host, int(port))
        if len(identity) != 32 or any(digit not in "0123456789abcdef" for digit in identity):
            raise ValueError(f"{text!r}: what stands before '@' is a node id of 32 lowercase hex digits")
        return cls(host, int(port), bytes.fromhex(identity))

    @property
    def is_loopback(self) -> bool:
        """Whether this can only be the machine that we run on."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        prefix = "" if self.node is None else f"{self.node.hex()}@"
        return f"{prefix}{host}:{self.port}"


class Identity:
    """The cluster's authority, the only one that is believed, and the certificate and key of a client that has them.

    ``kv cluster init`` writes the three files into the directory ``client``: ``Identity.from_directory("cluster/client")``.
    A client with an access token needs the authority alone: ``Identity("authority.pem")``.
    """

    def __init__(
        self, authority: str | Path, certificate: str | Path | None = None, key: str | Path | None = None
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cafile=str(authority))
        if certificate is not None:
            context.load_cert_chain(str(certificate), None if key is None else str(key))
        context.set_alpn_protocols([ALPN])
        self.context = context

    @classmethod
    def from_directory(cls, directory: str | Path) -> Identity:
        """The identity in a directory that ``kv cluster init`` made."""
        directory = Path(directory)
        return cls(directory / "authority.pem", directory / "client.pem", directory / "client.key")


def server_name(node: bytes) -> str:
    """The one DNS name in a node's certificate."""
    return f"{node.hex()}.node.kvorum.internal"
