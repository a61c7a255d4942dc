"""Every description that Twisted documents is accepted and means the same.

The positional orders, spellings and defaults are those of Twisted 26: its how-to on endpoints, and the
parameters of its parsers. What is left on purpose is in the migration guide.
"""

from __future__ import annotations

from typing import Any

import pytest

from asyncendpoints import (
    ClientSpec,
    DescriptionError,
    ProxyProtocolServer,
    ServerSpec,
    StdioServer,
    SystemdServer,
    TCPClient,
    TCPServer,
    TLSClient,
    TLSServer,
    UNIXClient,
    UNIXServer,
    parse_client,
    parse_server,
)

KEYS: dict[str, Any] = {"private_key": "k.pem", "cert_key": "c.pem"}


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        # tcp: port, interface, backlog
        ("tcp:80", TCPServer(80)),
        ("tcp:port=80", TCPServer(80)),
        ("tcp:80:", TCPServer(80)),
        ("tcp:80:interface=127.0.0.1", TCPServer(80, "127.0.0.1")),
        ("tcp:80:127.0.0.1", TCPServer(80, "127.0.0.1")),
        ("tcp:80:127.0.0.1:50", TCPServer(80, "127.0.0.1", 50)),
        ("tcp:80:backlog=50:interface=127.0.0.1", TCPServer(80, "127.0.0.1", 50)),
        (r"tcp:80:interface=\:\:1", TCPServer(80, "::1")),
        ("tcp:0", TCPServer(0)),
        # tcp6: port, backlog, interface
        ("tcp6:80", TCPServer(80, "::")),
        ("tcp6:port=80", TCPServer(80, "::")),
        ("tcp6:80:50", TCPServer(80, "::", 50)),
        (r"tcp6:80:50:\:\:1", TCPServer(80, "::1", 50)),
        (r"tcp6:80:interface=2001\:0DB8\:f00e\:eb00\:\:1", TCPServer(80, "2001:0DB8:f00e:eb00::1")),
        (r"tcp6:80:interface=fe80\:\:1%eth0", TCPServer(80, "fe80::1%eth0")),
        ("TCP6:80", TCPServer(80, "::")),
        # unix: address, mode, backlog, lockfile
        ("unix:/var/run/finger", UNIXServer("/var/run/finger")),
        ("unix:address=/var/run/finger", UNIXServer("/var/run/finger")),
        ("unix:/x:mode=660", UNIXServer("/x", 0o660)),
        ("unix:/x:mode=0o660", UNIXServer("/x", 0o660)),
        ("unix:/x:660", UNIXServer("/x", 0o660)),
        ("unix:/x:660:50", UNIXServer("/x", 0o660, 50)),
        ("unix:/x:660:50:0", UNIXServer("/x", 0o660, 50, lockfile=False)),
        ("unix:/x:mode=666:backlog=50:lockfile=1", UNIXServer("/x", 0o666, 50, lockfile=True)),
        ("unix:/x:lockfile=0", UNIXServer("/x", lockfile=False)),
        ("unix:\0name:lockfile=0", UNIXServer("@name", lockfile=False)),
        # ssl: port, privateKey, certKey, sslmethod, interface, backlog, extraCertChain, dhParameters
        ("ssl:443:privateKey=k.pem:certKey=c.pem", TLSServer(port=443, **KEYS)),
        ("ssl:port=443:privateKey=k.pem:certKey=c.pem", TLSServer(port=443, **KEYS)),
        ("ssl:443:k.pem:c.pem", TLSServer(port=443, **KEYS)),
        ("ssl:443:k.pem:c.pem::127.0.0.1", TLSServer(port=443, interface="127.0.0.1", **KEYS)),
        (
            "ssl:443:k.pem:c.pem::127.0.0.1:50:chain.pem:dh.pem",
            TLSServer(
                port=443,
                interface="127.0.0.1",
                backlog=50,
                extra_cert_chain="chain.pem",
                dh_parameters="dh.pem",
                **KEYS,
            ),
        ),
        (
            "ssl:443:privateKey=k.pem:extraCertChain=chain.pem:dhParameters=dh.pem",
            TLSServer(
                port=443,
                private_key="k.pem",
                extra_cert_chain="chain.pem",
                dh_parameters="dh.pem",
            ),
        ),
        ("ssl:443", TLSServer(port=443)),
        # tls: path, port, backlog, interface
        ("tls:/certs", TLSServer("/certs")),
        ("tls:path=/certs", TLSServer("/certs")),
        ("tls:/certs:8443", TLSServer("/certs", 8443)),
        ("tls:/certs:port=8443", TLSServer("/certs", 8443)),
        ("tls:/certs:8443:50", TLSServer("/certs", 8443, 50)),
        (r"tls:/certs:8443:50:\:\:1", TLSServer("/certs", 8443, 50, "::1")),
        (r"tls:/certs:backlog=50:interface=\:\:1", TLSServer("/certs", 443, 50, "::1")),
        # systemd: domain, index, name
        ("systemd:domain=INET:index=0", SystemdServer("INET", 0)),
        ("systemd:domain=INET6:index=3", SystemdServer("INET6", 3)),
        ("systemd:INET:0", SystemdServer("INET", 0)),
        ("systemd:domain=UNIX:name=my-web-server", SystemdServer("UNIX", name="my-web-server")),
        ("systemd:UNIX::my-web-server", SystemdServer("UNIX", name="my-web-server")),
        # haproxy: another description
        ("haproxy:tcp:80", ProxyProtocolServer(TCPServer(80))),
        (
            "haproxy:tcp:80:interface=127.0.0.1",
            ProxyProtocolServer(TCPServer(80, "127.0.0.1")),
        ),
        (
            "haproxy:ssl:443:privateKey=k.pem:certKey=c.pem",
            ProxyProtocolServer(TLSServer(port=443, **KEYS)),
        ),
        # stdio
        ("stdio:", StdioServer()),
        ("stdio", StdioServer()),
    ],
)
def test_server(text: str, spec: ServerSpec) -> None:
    """A description of a server of Twisted's documentation means what it means there."""
    assert parse_server(text) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        # tcp: host, port
        ("tcp:host=example.com:port=80", TCPClient("example.com", 80)),
        ("tcp:example.com:80", TCPClient("example.com", 80)),
        ("tcp:example.com:port=80", TCPClient("example.com", 80)),
        ("tcp:port=80:host=example.com", TCPClient("example.com", 80)),
        ("tcp:host=example.com:80", TCPClient("example.com", 80)),
        ("tcp:80:host=example.com", TCPClient("example.com", 80)),
        ("tcp:port=80:example.com", TCPClient("example.com", 80)),
        ("TCP:example.com:80", TCPClient("example.com", 80)),
        ("tcp:example.com:80:timeout=15", TCPClient("example.com", 80, timeout=15)),
        (
            "tcp:example.com:80:bindAddress=192.0.2.1",
            TCPClient("example.com", 80, bind_address="192.0.2.1"),
        ),
        (r"tcp:host=2001\:db8\:\:1:port=80", TCPClient("2001:db8::1", 80)),
        # ssl: host, port
        ("ssl:host=web.example.com:port=443", TLSClient("web.example.com", 443)),
        ("ssl:web.example.com:443", TLSClient("web.example.com", 443)),
        ("ssl:host=web.example.com:443", TLSClient("web.example.com", 443)),
        (
            "ssl:web.example.com:443:timeout=15:bindAddress=192.0.2.1:hostname=www.example.com",
            TLSClient(
                "web.example.com", 443, 15, bind_address="192.0.2.1", hostname="www.example.com"
            ),
        ),
        (
            "ssl:web.example.com:443:caCertsDir=/etc/ssl/certs:privateKey=k.pem:certKey=c.pem",
            TLSClient("web.example.com", 443, trust_roots="/etc/ssl/certs", **KEYS),
        ),
        # unix has one position
        ("unix:/var/run/web.sock", UNIXClient("/var/run/web.sock")),
        ("unix:path=/var/run/web.sock", UNIXClient("/var/run/web.sock")),
        ("unix:path=/x:lockfile=1:timeout=9", UNIXClient("/x", timeout=9, lockfile=True)),
        ("unix:/x:checkPID=1", UNIXClient("/x", lockfile=True)),
        # tls has timeout, bindAddress, certificate, privateKey, trustRoots and endpoint behind those
        ("tls:example.com:443", TLSClient("example.com", 443)),
        ("tls:host=example.com:port=443", TLSClient("example.com", 443)),
        (
            "tls:example.com:443:15:192.0.2.1:c.pem:k.pem:/roots",
            TLSClient("example.com", 443, 15, "192.0.2.1", "c.pem", "k.pem", "/roots"),
        ),
        (
            "tls:example.com:443:certificate=c.pem:privateKey=k.pem:trustRoots=/roots",
            TLSClient("example.com", 443, trust_roots="/roots", **KEYS),
        ),
        (
            r"tls:example.com:443:endpoint=tcp\:host=127.0.0.1\:port=8443",
            TLSClient("example.com", 443, endpoint=TCPClient("127.0.0.1", 8443)),
        ),
        (
            r"tls:example.com:443::::::unix\:/x\\\:y",
            TLSClient("example.com", 443, endpoint=UNIXClient("/x:y")),
        ),
    ],
)
def test_client(text: str, spec: ClientSpec) -> None:
    """A description of a client of Twisted's documentation means what it means there."""
    assert parse_client(text) == spec


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("ssl:443:k.pem:c.pem:TLSv1_2_METHOD", 20),
        ("ssl:443:privateKey=k.pem:sslmethod=SSLv3_METHOD", 25),
    ],
)
def test_sslmethod(text: str, position: int) -> None:
    """An sslmethod is refused with what to write in its place."""
    with pytest.raises(DescriptionError, match="min_version") as caught:
        parse_server(text)
    assert caught.value.position == position
