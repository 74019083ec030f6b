"""A small client of the Kubernetes API for tests and benchmarks: raw objects in, raw objects out."""

import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from agentstop_playground.node import kubeconfig
from tests.support.waiting import PATIENCE

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

WATCH_SECONDS = 290

DEEPEST = 100_000
"""Nested so deep may be what is read here; the API server takes JSON up to 10,000 levels."""


@dataclass(frozen=True)
class Kind:
    """Where a kind of object lives in the API."""

    prefix: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection, of an object, or of its subresource."""
        parts = [self.prefix, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


PODS = Kind("/api/v1", "pods")
NODES = Kind("/api/v1", "nodes")
NAMESPACES = Kind("/api/v1", "namespaces")
EVENTS = Kind("/apis/events.k8s.io/v1", "events")
JOBS = Kind("/apis/batch/v1", "jobs")
CRON_JOBS = Kind("/apis/batch/v1", "cronjobs")
POD_CONTROLS = Kind("/apis/agentstop.dev/v1alpha1", "podcontrols")
SECRETS = Kind("/api/v1", "secrets")
CONFIG_MAPS = Kind("/api/v1", "configmaps")
DEPLOYMENTS = Kind("/apis/apps/v1", "deployments")
REPLICA_SETS = Kind("/apis/apps/v1", "replicasets")
STATEFUL_SETS = Kind("/apis/apps/v1", "statefulsets")
RAY_CLUSTERS = Kind("/apis/ray.io/v1", "rayclusters")
SANDBOXES = Kind("/apis/agents.x-k8s.io/v1beta1", "sandboxes")
SANDBOX_CLAIMS = Kind("/apis/extensions.agents.x-k8s.io/v1beta1", "sandboxclaims")
SANDBOX_TEMPLATES = Kind("/apis/extensions.agents.x-k8s.io/v1beta1", "sandboxtemplates")
WARM_POOLS = Kind("/apis/extensions.agents.x-k8s.io/v1beta1", "sandboxwarmpools")
TASKS = Kind("/apis/agentstop.dev/v1alpha1", "agenttasks")
USAGES = Kind("/apis/agentstop.dev/v1alpha1", "taskusages")
CRDS = Kind("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
ROLES = Kind("/apis/rbac.authorization.k8s.io/v1", "roles")
ROLE_BINDINGS = Kind("/apis/rbac.authorization.k8s.io/v1", "rolebindings")
CLUSTER_ROLES = Kind("/apis/rbac.authorization.k8s.io/v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = Kind("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings")


class KubeError(Exception):
    """An answer that is no success: a Kubernetes Status."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        super().__init__(f"{code} {self.reason}: {self.message}")


@contextmanager
def missing_ignored() -> Iterator[None]:
    """Take it as done if what is to be changed is not there."""
    try:
        yield
    except KubeError as error:
        if error.code != 404:
            raise


def decode(content: bytes) -> Any:
    """Read JSON however deep it is nested: whoever cleans up after an attack must be able to look at it."""
    try:
        return json.loads(content)
    except RecursionError:
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(DEEPEST)
        try:
            return json.loads(content)
        finally:
            sys.setrecursionlimit(usual)


class Kube:
    """A connection to one API server, as the user of a kubeconfig."""

    def __init__(
        self, url: str, token: str | None, context: ssl.SSLContext | None, *, seconds: float = PATIENCE
    ) -> None:
        """`seconds` is how long an answer may take, where a request does not say it."""
        self.url = url
        self._seconds = seconds
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=context if context is not None else True, limit=0),
            read_bufsize=1 << 20,
        )

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Return a client for the current context of a kubeconfig."""
        connection = kubeconfig.load(path)
        return cls(connection.url, connection.token, connection.ssl)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Object:
        """Make one request, whose body is sent as it is if it is text; raises KubeError for what is no success."""
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        data = None if text is None else text.encode()
        code, content = await self.raw(method, path, data, content_type=content_type, query=query, seconds=seconds)
        try:
            answer = decode(content or b"{}")
        except ValueError:
            answer = {"message": content.decode(errors="replace")}
        if code >= 400:
            raise KubeError(code, answer)
        return dict(answer)

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> tuple[int, bytes]:
        """Make one request with any bytes; return the status and the bytes of the answer, whatever they are."""
        async with self._session.request(
            method,
            self.url + path,
            data=body,
            params=query,
            headers={"Content-Type": content_type, "Accept": accept},
            timeout=aiohttp.ClientTimeout(total=seconds if seconds is not None else self._seconds),
        ) as response:
            return response.status, await response.read()

    async def rows(self, kind: Kind, namespace: str = "") -> dict[str, list[Any]]:
        """Return what `kubectl get` prints of the objects of a namespace, by name, without reading the objects."""
        query = {"includeObject": "None"}
        code, content = await self.raw("GET", kind.path(namespace), accept=TABLE, query=query)
        answer = decode(content)
        if code >= 400:
            raise KubeError(code, answer)
        return {str(row["cells"][0]): row["cells"] for row in answer.get("rows") or ()}

    async def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the text at a path; raises KubeError for what is no success."""
        async with self._session.get(self.url + path, params=query) as response:
            content = await response.text()
        if response.status >= 400:
            raise KubeError(response.status, {"message": content})
        return content

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object."""
        return await self.call("GET", kind.path(namespace, name))

    async def list(self, kind: Kind, namespace: str = "", **query: str) -> list[Object]:
        """Return all objects of a kind."""
        answer = await self.call("GET", kind.path(namespace), query=query)
        return list(answer.get("items") or ())

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create an object."""
        return await self.call("POST", kind.path(namespace), body)

    async def patch(self, path: str, body: Object) -> Object:
        """Merge into what is at a path."""
        return await self.call("PATCH", path, body, content_type=MERGE)

    async def merge(self, kind: Kind, namespace: str, name: str, body: Object, subresource: str = "") -> Object:
        """Merge into an object."""
        return await self.patch(kind.path(namespace, name, subresource), body)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        grace: int | None = None,
        missing_ok: bool = False,
        propagation: str = "Background",
    ) -> None:
        """Delete an object; `grace` in seconds."""
        options: Object = {"propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self.call("DELETE", kind.path(namespace, name), options)
        except KubeError as error:
            if error.code != 404 or not missing_ok:
                raise

    async def watch(self, kind: Kind, namespace: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield (event type, object) from a resource version on; ends with the watch."""
        async for _, event_type, item in self.arrivals(kind.path(namespace), version):
            yield event_type, item

    async def arrivals(
        self, path: str, version: str, *, seconds: int = WATCH_SECONDS, **query: str
    ) -> AsyncIterator[tuple[float, str, Object]]:
        """Yield (moment of arrival by time.perf_counter, event type, object) of a collection; ends with the watch."""
        wanted = {**query, "watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE)
        async with self._session.get(self.url + path, params=wanted, timeout=timeout) as response:
            if response.status >= 400:
                raise KubeError(response.status, {"message": await response.text()})
            buffer = b""
            async for chunk in response.content.iter_any():
                at = time.perf_counter()
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = decode(line)
                    yield at, event["type"], event["object"]
