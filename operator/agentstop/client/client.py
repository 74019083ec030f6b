"""A small client of the Kubernetes API: raw objects in, raw objects out, several threads at a time."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from agentstop.client.config import Settings, Target, find_target
from agentstop.client.credentials import Credentials, are_renewable, find_credentials
from agentstop.client.errors import ApiError, UnreachableError
from agentstop.client.transport import Transport
from agentstop.cluster.decoding import decode
from agentstop.words.tasks import Object

MERGE: Final = "application/merge-patch+json"
REQUEST_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 240
PAGE: Final = 500
PATIENT_TRIES: Final = 4
"""So often a request is sent that the API server is too busy for."""


class Api:
    """One API server, as one user."""

    def __init__(self, target: Target, *, request_seconds: float | None = None, interactive: bool = True) -> None:
        self.target = target
        self._transport = Transport(target)
        self._seconds = request_seconds or REQUEST_SECONDS
        self._interactive = interactive
        self._credentials: Credentials | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    @classmethod
    def open(cls, settings: Settings, *, interactive: bool = True, seconds: float | None = None) -> "Api":
        """Return a client for what the command line and the kubeconfig say; `seconds` is for one answer."""
        return cls(find_target(settings), request_seconds=seconds or settings.request_seconds, interactive=interactive)

    @property
    def credentials(self) -> Credentials:
        """Who the user is; a plug-in is asked again once they have expired. Raises ConfigError."""
        return self._current()

    def forget(self, refused: str | None) -> bool:
        """Take in which Authorization the API server did not take; return whether there may be another one now.

        The credentials are asked for again if these are still the ones.
        """
        with self._lock:
            if self._credentials is not None and self._credentials.authorization == refused:
                self._credentials = None
        return are_renewable(self.target)

    def request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None, kind: str = ""
    ) -> Object:
        """Make one request and return the answer. `kind` is the body's content type, where it is not plain JSON.

        Raises ApiError, UnreachableError.
        """
        for left in reversed(range(PATIENT_TRIES)):
            try:
                return self._once(method, path, query, body, kind)
            except ApiError as error:
                seconds = error.details.get("retryAfterSeconds")
                if left == 0 or error.code != 429 or seconds is None:
                    raise
                time.sleep(min(float(seconds), 10.0))
        raise AssertionError("the loop returns or raises")

    def _once(self, method: str, path: str, query: Mapping[str, str] | None, body: Any, kind: str) -> Object:
        data = None if body is None else json.dumps(body).encode()
        for again in (True, False):
            shown = self._current().authorization
            response = self._send(method, path, query, data, kind)
            content = response.read()
            if response.status != 401 or not again or not self.forget(shown):
                break
            self._close()
        answer = _parsed(content)
        if response.status >= 400:
            raise ApiError(response.status, answer)
        return answer

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, data: bytes | None, kind: str
    ) -> http.client.HTTPResponse:
        """Send a request; again on a new connection if the server had closed the old one meanwhile."""
        while True:
            kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
            fresh = kept is None or kept.sock is None or self._current().expired
            connection = self._connect(self._seconds) if fresh or kept is None else kept
            self._local.connection = connection
            try:
                return self._talk(connection, method, path, query, data, kind)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                closed = isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
                if fresh or not closed:
                    raise UnreachableError(_why(error)) from error

    def _talk(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        kind: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "agentstop"}
        if data is not None:
            headers["Content-Type"] = kind or "application/json"
        authorization = self._current().authorization
        if authorization:
            headers["Authorization"] = authorization
        if self.target.impersonate:
            headers["Impersonate-User"] = self.target.impersonate
        url = self._transport.prefix + path + (f"?{urlencode(query)}" if query else "")
        connection.putrequest(method, url)
        for name, value in headers.items():
            connection.putheader(name, value)
        for group in self.target.impersonate_groups:
            connection.putheader("Impersonate-Group", group)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        return connection.getresponse()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        try:
            return self._transport.connect(self._current(), seconds)
        except OSError as error:
            raise UnreachableError(_why(error)) from error

    def _current(self) -> Credentials:
        with self._lock:
            if self._credentials is None or self._credentials.expired:
                self._credentials = find_credentials(self.target, interactive=self._interactive)
            return self._credentials

    def _close(self) -> None:
        """Close this thread's connection, which may have shown a certificate."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

    # What objects need

    def get(self, path: str, *, cached: bool = False) -> Object:
        """Return an object; `cached` is for one that may be behind, which an API server has at hand.

        Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
        """
        return self.request("GET", path, {"resourceVersion": "0"} if cached else None)

    def page(self, path: str, query: Mapping[str, str]) -> Object:
        """Return one page of a collection."""
        return self.request("GET", path, query)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> tuple[list[Object], str]:
        """Return all objects of a collection, page by page, and the resource version of the list."""
        items: list[Object] = []
        wanted = {**(query or {}), "limit": str(PAGE)}
        while True:
            try:
                page = self.page(path, wanted)
            except ApiError as error:
                if error.code != 410 or "continue" not in wanted:
                    raise
                # The list took so long that its beginning is forgotten: in one piece, then.
                page, items = self.page(path, query or {}), []
            items += page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items, str((page.get("metadata") or {}).get("resourceVersion", ""))
            wanted["continue"] = token

    def create(self, path: str, body: Object, *, manager: str, dry_run: bool = False) -> Object:
        """Create an object."""
        return self.request("POST", path, _writing(manager, dry_run), body)

    def merge(self, path: str, body: Object, *, manager: str, dry_run: bool = False) -> Object:
        """Merge into an object."""
        return self.request("PATCH", path, _writing(manager, dry_run), body, MERGE)

    def delete(self, path: str) -> Object:
        """Delete an object."""
        return self.request("DELETE", path)

    def watch(
        self,
        path: str,
        query: Mapping[str, str],
        version: str,
        ended: Callable[[], bool],
        *,
        seconds: int = WATCH_SECONDS,
        silence: float = REQUEST_SECONDS,
    ) -> Iterator[tuple[str, Object]]:
        """Yield (type, object) from a resource version on, on a connection of its own; ends with the watch.

        It lasts so many seconds; a connection that is silent for `silence` seconds more has died without a word.
        """
        wanted = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true",
        }
        connection = self._connect(seconds + silence)
        try:
            response = self._talk(connection, "GET", path, wanted, None, "")
            if response.status >= 400:
                raise ApiError(response.status, _parsed(response.read()))
            while not ended():
                line = response.readline()
                if not line:
                    return
                event = decode(line)
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(_why(error)) from error
        finally:
            connection.close()


def _writing(manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager} | ({"dryRun": "All"} if dry_run else {})


def _parsed(content: bytes) -> Object:
    try:
        answer = decode(content or b"{}")
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": content[:200].decode(errors="replace")}


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
