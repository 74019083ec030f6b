"""Connections to the API server: TLS, proxies, and one kept open in each thread."""

import http.client
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from agentstop.client.config import Target
from agentstop.client.credentials import Credentials, authority_of
from agentstop.client.errors import ConfigError
from agentstop.client.proxies import connect_through, proxy_for

CONNECT_SECONDS: Final = 10.0


class Transport:
    """Makes connections to one API server."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._server = urlsplit(target.server)
        if self._server.scheme not in {"http", "https"} or not self._server.hostname:
            raise ConfigError(f"the kubeconfig's server {target.server!r} is no URL such as https://HOST:PORT")
        self.prefix = self._server.path.rstrip("/")
        self._made: tuple[tuple[str | None, bytes | None, bytes | None], ssl.SSLContext] | None = None
        """What was made of these certificates: that takes longer than to connect."""
        self._proxy = proxy_for(self._server, target.cluster.get("proxy-url"))

    def connect(self, credentials: Credentials, seconds: float) -> http.client.HTTPConnection:
        """Return an open connection whose operations may take so long each. Raises OSError."""
        host = self._server.hostname or ""
        secure = self._server.scheme == "https"
        port = self._server.port or (443 if secure else 80)
        if self._proxy is not None:
            raw = connect_through(self._proxy, host, port, CONNECT_SECONDS)
        else:
            raw = socket.create_connection((host, port), CONNECT_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            name = str(self._target.cluster.get("tls-server-name") or host)
            try:
                raw = self._context(credentials).wrap_socket(raw, server_hostname=name)
            except BaseException:
                raw.close()
                raise
        raw.settimeout(seconds)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = raw
        # A connection that was closed is not opened again behind our back, without TLS.
        connection.auto_open = 0
        return connection

    def _context(self, credentials: Credentials) -> ssl.SSLContext:
        of = (authority_of(self._target), credentials.certificate, credentials.key)
        made = self._made
        if made is None or made[0] != of:
            self._made = made = of, self._new_context(*of)
        return made[1]

    def _new_context(self, authority: str | None, certificate: bytes | None, key: bytes | None) -> ssl.SSLContext:
        if self._target.cluster.get("insecure-skip-tls-verify"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            try:
                context = ssl.create_default_context(cadata=authority)
            except ssl.SSLError as error:
                raise ConfigError(f"the kubeconfig's certificate-authority is none: {error.reason}") from error
            # Kubernetes' own authorities leave out extensions that newer Pythons insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate is not None and key is not None:
            _show(context, certificate, key)
        return context


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Show a client certificate. OpenSSL takes it from a file only: one that nobody else may read, for a moment."""
    import tempfile  # only where there is one

    with tempfile.NamedTemporaryFile(prefix="agentstop-", suffix=".pem") as file:
        file.write(certificate.rstrip() + b"\n" + key.rstrip() + b"\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ConfigError(f"the client certificate of the kubeconfig cannot be used: {reason}") from error
