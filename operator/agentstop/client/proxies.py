"""Proxies between the user and the API server: HTTP and SOCKS5, from the kubeconfig or the environment."""

import base64
import os
import socket
import struct
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from agentstop.client.errors import ConfigError

if TYPE_CHECKING:
    import ipaddress

_SOCKS: Final = frozenset({"socks5", "socks5h"})
_SOCKS_ANSWERS: Final = {2: "it does not allow this", 3: "network unreachable", 4: "host unreachable", 5: "refused"}


def proxy_for(server: SplitResult, configured: str | None) -> SplitResult | None:
    """Return the proxy to use, if any: the kubeconfig's, or the environment's. Raises ConfigError.

    Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy
    """
    url = configured or _from_environment(server)
    if not url:
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme not in _SOCKS | {"http"} or not proxy.hostname:
        raise ConfigError(f"the proxy {url} cannot be used: give one as http://HOST:PORT or socks5://HOST:PORT")
    return proxy


def connect_through(proxy: SplitResult, host: str, port: int, seconds: float) -> socket.socket:
    """Return a connection to a host through a proxy. Raises OSError."""
    default = 1080 if proxy.scheme in _SOCKS else 80
    connection = socket.create_connection((proxy.hostname or "", proxy.port or default), seconds)
    try:
        if proxy.scheme in _SOCKS:
            _socks(connection, proxy, host, port)
        else:
            _tunnel(connection, proxy, host, port)
    except BaseException:
        connection.close()
        raise
    return connection


def _from_environment(server: SplitResult) -> str | None:
    name = f"{server.scheme}_proxy"
    url = os.environ.get(name.upper()) or os.environ.get(name)
    if not url or _bypassed(server.hostname or "", server.port):
        return None
    return url


def _bypassed(host: str, port: int | None) -> bool:
    import ipaddress  # only where there is a proxy

    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").replace(" ", "").split(","):
        if not entry:
            continue
        if entry == "*":
            return True
        name, _, number = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if number and number != str(port):
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(name, strict=False):
                    return True
            except ValueError:
                continue
        elif host == name.lstrip("*.") or host.endswith("." + name.lstrip("*.")):
            return True
    return False


def _address(host: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    import ipaddress

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _tunnel(connection: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        # One byte at a time: what follows the head belongs to the API server.
        answer += _receive(connection, 1)
        if len(answer) > 65_536:
            raise OSError("the proxy's answer has no end")
    status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
    if status.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy answers {status}")


def _socks(connection: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """Source: https://www.rfc-editor.org/rfc/rfc1928 and rfc1929."""
    methods = b"\x00\x02" if proxy.username else b"\x00"
    connection.sendall(b"\x05" + bytes([len(methods)]) + methods)
    chosen = _receive(connection, 2)[1]
    if chosen == 2 and proxy.username:
        name, password = unquote(proxy.username).encode(), unquote(proxy.password or "").encode()
        connection.sendall(b"\x01" + bytes([len(name)]) + name + bytes([len(password)]) + password)
        if _receive(connection, 2)[1] != 0:
            raise OSError("the proxy does not accept the user and password of its URL")
    elif chosen != 0:
        raise OSError("the proxy wants a way to log in that is not given")
    address = _address(host)
    if address is None:
        encoded = host.encode("idna")
        target = b"\x03" + bytes([len(encoded)]) + encoded
    else:
        target = (b"\x01" if address.version == 4 else b"\x04") + address.packed
    connection.sendall(b"\x05\x01\x00" + target + struct.pack("!H", port))
    _, code, _, kind = _receive(connection, 4)
    if code != 0:
        raise OSError(f"the proxy cannot connect to {host}:{port}: {_SOCKS_ANSWERS.get(code, f'error {code}')}")
    length = {1: 4, 4: 16}.get(kind) or _receive(connection, 1)[0]
    _receive(connection, length + 2)


def _receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError("the proxy closed the connection")
        data += more
    return data
