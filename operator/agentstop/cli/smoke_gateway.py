"""The gateway, as `agentstop try` stops its task through it: one request after the other, with the pod's own token."""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from agentstop.cli.errors import UserError
from agentstop.cli.in_cluster import PAUSE_SECONDS

REQUEST_SECONDS: Final = 90.0
"""The answer to a stop waits for the proof, up to 60 seconds."""

SHOWN: Final = 300
"""So many characters of an answer are shown."""


class Gateway:
    """A gateway at a URL. Its methods raise UserError with what it did instead of what it was to do."""

    def __init__(self, url: str, authorization: str | None, certificate: Path | None = None) -> None:
        """`certificate` is the one that it has to show, whatever names are in it; without, the system's roots count."""
        self._url = url.rstrip("/")
        self._parts = urlsplit(self._url)
        self._headers = {"Authorization": authorization} if authorization is not None else {}
        self._context = _only(certificate) if certificate is not None else None

    def stop(self, uid: str, seconds: float) -> None:
        """Stop the task with this UID; again where the gateway is away, or the API server does not take stops yet."""
        until = time.monotonic() + seconds
        while True:
            code, text = self._ask("POST", uid, "/stop")
            if code == 200:
                return
            if code not in {0, 503} or time.monotonic() > until:
                raise UserError(f"the gateway {self._url} did not stop the task: {_told(code, text)}")
            time.sleep(PAUSE_SECONDS)

    def check_stopped(self, uid: str, seconds: float) -> None:
        """Have the gateway say that the task is stopped."""
        until = time.monotonic() + seconds
        while True:
            code, text = self._ask("GET", uid)
            if code == 200 and _object(text).get("status") == "stopped":
                return
            if time.monotonic() > until:
                raise UserError(f"the gateway {self._url} does not call the task stopped: {_told(code, text)}")
            time.sleep(PAUSE_SECONDS)

    def _ask(self, method: str, uid: str, verb: str = "") -> tuple[int, str]:
        """Return code and text of an answer; 0 and why where there is none."""
        try:
            connection = self._connection()
        except (OSError, ValueError) as error:
            return 0, str(error)
        try:
            connection.request(method, f"{self._parts.path}/xpander/v1/tasks/{uid}{verb}", headers=self._headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error) or type(error).__name__
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=REQUEST_SECONDS, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)


def _only(certificate: Path) -> ssl.SSLContext:
    """Return a context that takes one certificate, and no other that its issuer made. Raises UserError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    end = "-----END CERTIFICATE-----"
    try:
        first, found, _ = certificate.read_text(encoding="ascii").partition(end)
        context.load_verify_locations(cadata=first + found)
    except (OSError, ValueError) as error:
        raise UserError(f"{certificate} cannot be used: {error}") from error
    return context


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(code: int, text: str) -> str:
    said = " ".join(text.split())[:SHOWN]
    return f"it answered {code}: {said}" if code else said
