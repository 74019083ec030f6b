"""Pages without a browser and without HTTP, before a pretended API server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from aiohttp.test_utils import make_mocked_request

from agentstop.api.order import ORDER_KIND
from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Transport
from agentstop.gateway import cookies, page
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller, Callers
from agentstop.gateway.changes import Changes
from agentstop.gateway.dialect import Call, Core, Dialect
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.order_index import OrderIndex
from agentstop.gateway.streams import Streams
from tests.unit.objects import Raw

SOMEBODY = Caller("somebody", headers=(), own=True, identity="somebody")


NO_HEADERS: Mapping[str, str] = MappingProxyType({})
COOKIE: Mapping[str, str] = MappingProxyType({"Cookie": f"{cookies.COOKIE}=secret"})
"""Sent by a browser that has a session."""


class _Callers:
    """Knows one caller."""

    def identify(self, *_: Any, **__: Any) -> Caller:
        return SOMEBODY


@dataclass
class Stand:
    """What a gateway knows, and an API server that has just these objects."""

    namespaces: Sequence[str] = ()
    rights: Callable[[Raw], bool] = lambda _: True
    objects: dict[str, Raw] = field(default_factory=dict)
    """By their paths."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Methods and paths, without questions about rights."""
    asked: list[Raw] = field(default_factory=list)
    """What was asked about rights."""
    during: Callable[[], Awaitable[None] | None] = lambda: None
    """Is called while the API server answers."""

    def __post_init__(self) -> None:
        """Join what it consists of."""
        self.now = 0.0
        self.index = TaskIndex({}, lambda: self.now)
        self.changes = Changes(self.index, OrderIndex(lambda: self.now), self.namespaces)
        self.streams = Streams()
        transport = cast("Transport", self)
        self.core = Core(
            index=self.index,
            changes=self.changes,
            access=CallerAccess(transport, transport, lambda: 0.0),
            callers=cast("Callers", _Callers()),
            streams=self.streams,
            wait=0.01,
        )

    async def call(self, method: str, where: str, _: Any = None, body: Any = None, *__: Any, **___: Any) -> Raw:
        """Answer as the API server."""
        self.during()
        if "selfsubjectaccessreviews" in where:
            asked = body["spec"]["resourceAttributes"]
            self.asked.append(asked)
            return {"status": {"allowed": self.rights(asked)}}
        self.requests.append((method, where))
        if where.endswith("/events"):
            return {"items": []}
        if where in self.objects:
            return self.objects[where]
        raise ApiError(404, "NotFound", f"{where} not found")

    def tell(self, *raws: Raw) -> None:
        """Have it hear of tasks and orders."""
        for each in raws:
            self.changes.changed(each["kind"], "MODIFIED", each)

    def page(
        self, path: str, dialect: Dialect = page.DIALECT, headers: Mapping[str, str] = NO_HEADERS, **params: str
    ) -> Call:
        """Return a request for a page."""
        request = make_mocked_request("GET", path, headers={"Accept": "text/html", **headers})
        return Call(request=request, dialect=dialect, core=self.core, params=params, sender=SOMEBODY)


def task(name: str, namespace: str = "ns", version: int = 1, **status: Any) -> Raw:
    """Return a task that runs."""
    return {**_object(KIND, name, namespace, version), "spec": {}, "status": {"phase": "Running", **status}}


def order(name: str, namespace: str = "ns", *, kind: str = ORDER_KIND, **spec: Any) -> Raw:
    """Return an order that is complete."""
    status: Mapping[str, Any] = {"phase": "Complete"}
    return {**_object(kind, name, namespace, 1), "spec": {"selector": {}, **spec}, "status": status}


def _object(kind: str, name: str, namespace: str, version: int) -> Raw:
    uid = f"{kind}-{namespace}-{name}"
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version), "creationTimestamp": "2026-01-01T00:00:00Z"}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "agentstop.dev/v1alpha1", "kind": kind, "metadata": metadata}
