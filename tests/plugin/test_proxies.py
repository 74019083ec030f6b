"""Connections through proxies, against proxies that know just enough."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from agentstop.client.proxies import connect_through
from tests.support.waiting import PATIENCE


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection on loopback and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(PATIENCE)
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(PATIENCE)


def test_an_http_proxy_is_asked_for_a_tunnel() -> None:
    heard = b""

    def talk(connection: socket.socket) -> None:
        nonlocal heard
        while b"\r\n\r\n" not in heard:
            heard += connection.recv(1024)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello")

    with (
        serving(talk) as port,
        connect_through(urlsplit(f"http://jane:p%40w@127.0.0.1:{port}"), "k.example", 6443, PATIENCE) as tunnel,
    ):
        assert tunnel.recv(5) == b"hello"
    assert heard.startswith(b"CONNECT k.example:6443 HTTP/1.1\r\nHost: k.example:6443\r\n")
    assert b"Proxy-Authorization: Basic amFuZTpwQHc=" in heard


def test_an_http_proxy_that_refuses() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with serving(talk) as port, pytest.raises(OSError, match="403 Forbidden"):
        connect_through(urlsplit(f"http://127.0.0.1:{port}"), "k.example", 6443, PATIENCE)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("k.example", b"\x03\x09k.example"),
        ("10.1.2.3", b"\x01\x0a\x01\x02\x03"),
        ("::1", b"\x04" + bytes(15) + b"\x01"),
    ],
)
def test_a_socks_proxy_looks_up_names_by_itself(host: str, address: bytes) -> None:
    heard = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(3))
        connection.sendall(b"\x05\x00")
        heard.append(connection.recv(1024))
        connection.sendall(b"\x05\x00\x00\x01" + bytes(6) + b"hello")

    with serving(talk) as port, connect_through(urlsplit(f"socks5://127.0.0.1:{port}"), host, 6443, PATIENCE) as tunnel:
        assert tunnel.recv(5) == b"hello"
    assert heard == [b"\x05\x01\x00", b"\x05\x01\x00" + address + (6443).to_bytes(2, "big")]


def test_a_socks_proxy_that_cannot_connect() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(3)
        connection.sendall(b"\x05\x00")
        connection.recv(1024)
        connection.sendall(b"\x05\x04\x00\x01" + bytes(6))

    with serving(talk) as port, pytest.raises(OSError, match="host unreachable"):
        connect_through(urlsplit(f"socks5://127.0.0.1:{port}"), "k.example", 6443, PATIENCE)
