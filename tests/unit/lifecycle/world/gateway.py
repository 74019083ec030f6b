"""The way from the operator to the world's API server, with everything that can go wrong on it."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from agentstop.api.meta import TASK_LABEL
from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import PAUSE_MANAGER
from agentstop.cluster.resources import pod_of
from agentstop.controller.processors import METRICS
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef, PodsOf, Schedule
from agentstop.workloads.pods.record import STOP_MANAGER
from agentstop.workloads.requests import (
    AccessReview,
    AskNode,
    Create,
    Delete,
    FindPods,
    Get,
    GetLease,
    GetPod,
    GetTemplate,
    Lighten,
    ListPods,
    LiveRead,
    Meaning,
    Patch,
    Recall,
    Request,
    Suspend,
)

from .server import Raw, Server

MERGED = ("finalizers", "ownerReferences")


class Fault(StrEnum):
    """What happens to one request."""

    NONE = "none"
    LOST = "lost"
    """It never arrives."""
    UNANSWERED = "unanswered"
    """It is carried out, and the answer gets lost."""
    BUSY = "busy"
    """429."""
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    INTERFERE = "interfere"
    """Somebody else is faster by a moment."""


class CrashError(BaseException):
    """The operator's process ends here and now."""


class ModelGateway:
    """Has the methods of the real gateway that the controller uses; none of them ever waits."""

    def __init__(self, server: Server, check: Callable[[Request], None]) -> None:
        self._server = server
        self._check = check
        self.faults: list[Fault] = []
        self.interfere: Callable[[], None] = lambda: None
        self.forbidden: set[str] = set()
        """Verbs on pods and nodes that are refused."""
        self.forgetful = False
        """Whether the API server remembers no change that was before this moment."""
        self.has_component = False
        """Whether there are PodControls."""
        self.millicores: int | None = None
        """How much of a processor every pod uses; None where nobody measures that."""
        self.requests = 0
        """How many requests of any kind were made."""
        self.writes = 0
        """How many of them ask for a change."""

    async def send(self, request: Request) -> Raw:
        self._check(request)
        return self._carried(lambda: self._answer(request), write=not isinstance(request, LiveRead))

    async def send_all(self, requests: Sequence[Request]) -> list[Raw | ApiError]:
        answers: list[Raw | ApiError] = []
        for request in requests:
            try:
                answers.append(await self.send(request))
            except ApiError as error:
                answers.append(error)
        return answers

    async def get_task(self, namespace: str, name: str) -> Raw:
        return self._carried(lambda: self._server.get(ObjectRef(KIND, namespace, name)))

    async def get_own(self, ref: ObjectRef) -> Raw:
        return self._carried(lambda: self._server.get(ObjectRef(ref.kind, ref.namespace, ref.name)))

    async def call(self, method: str, where: str, *, timeout: float) -> Raw:
        """Answer as metrics.k8s.io does."""
        assert (method, where.startswith(METRICS)) == ("GET", True)
        if self.millicores is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return {"containers": [{"usage": {"cpu": f"{self.millicores}m"}}]}

    async def list_children(self, namespace: str, name: str) -> AsyncIterator[Raw]:
        def carry_out() -> Raw:
            return {"items": self._server.children(namespace, name)}

        for child in self._carried(carry_out)["items"]:
            yield child

    async def write_status(self, task: Raw) -> Raw:
        return self._carried(lambda: self._server.write_status(task), write=True)

    async def patch_own(self, own: ObjectRef, body: Mapping[str, Any]) -> Raw:
        ref = ObjectRef(own.kind, own.namespace, own.name)

        def edit(raw: Raw) -> None:
            raw["spec"].update(body.get("spec") or {})
            raw["metadata"].update({name: body["metadata"][name] for name in MERGED if name in body["metadata"]})

        def carry_out() -> Raw:
            metadata = self._server.get(ref)["metadata"]
            wanted = body["metadata"]
            if any(wanted[key] != metadata[key] for key in ("uid", "resourceVersion")):
                raise ApiError(409, "Conflict", f"{ref} has been modified")
            return self._server.change(ref, edit)

        return self._carried(carry_out, write=True)

    async def delete_own(self, own: ObjectRef, uid: str, resource_version: str) -> None:
        ref = ObjectRef(KIND, own.namespace, own.name)
        self._carried(lambda: self._server.delete(ref, uid, version=resource_version), write=True)

    async def list_metadata(self, kind: str, namespace: str, selector: str = "") -> list[Raw]:
        def carry_out() -> Raw:
            return {"items": list(self._listed(kind, namespace, selector))}

        items: list[Raw] = self._carried(carry_out)["items"]
        return items

    def _listed(self, kind: str, namespace: str, selector: str) -> Iterator[Raw]:
        for ref, raw in self._server.objects.items():
            if ref.kind == kind and (not selector or selector in (raw["metadata"].get("labels") or {})):
                yield raw["metadata"]

    def _carried(self, carry_out: Callable[[], Raw], *, write: bool = False) -> Raw:
        self.requests += 1
        self.writes += write
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        match fault:
            case Fault.LOST:
                raise ApiError(0, "Unreachable", "the API server did not answer in time")
            case Fault.BUSY:
                raise ApiError(429, "TooManyRequests", "busy")
            case Fault.CRASH_BEFORE:
                raise CrashError
            case Fault.INTERFERE:
                self.interfere()
        answer = carry_out()
        if fault is Fault.CRASH_AFTER:
            raise CrashError
        if fault is Fault.UNANSWERED:
            raise ApiError(0, "Unreachable", "the API server did not answer in time")
        return answer

    def _answer(self, request: Request) -> Raw:
        kind = "Pod" if isinstance(request.ref, PodsOf) else request.ref.kind
        verb = f"{request.verb} {kind}"
        if verb in self.forbidden:
            raise ApiError(403, "Forbidden", f"{verb} is forbidden")
        match request:
            case AccessReview():
                wanted = {"verb": "patch", "resource": f"{kind.lower()}s", "namespace": request.ref.namespace}
                allowed = f"patch {kind}" not in self.forbidden
                return {"spec": {"resourceAttributes": wanted}, "status": {"allowed": allowed}}
            case GetTemplate(ref):
                return self._server.get(ObjectRef(KIND, ref.namespace, ref.name))
            case Get(ref) | GetPod(ref) | GetLease(ref):
                return self._server.get(ref)
            case ListPods(pods):
                return {"items": [pod_of(each) for each in self._server.selected(pods)]}
            case FindPods(pods, uids):
                everywhere = [each for each in self._server.pods() if each["metadata"]["namespace"] == pods.namespace]
                return {"items": [pod_of(each) for each in everywhere if each["metadata"]["uid"] in uids]}
            case Recall():
                return self._recalled(request)
            case Create(ref, body):
                return self._server.create(ref, body)
            case AskNode():
                return self._asked(request)
            case Patch():
                return self._patched(request)
            case Suspend():
                return {"schedule": Schedule.GONE}
            case Lighten():
                return self._lightened(request)
            case Delete(ref, uid, grace):
                return self._server.delete(ref, uid, grace, request.resource_version)

    def _asked(self, request: AskNode) -> Raw:
        ref, wanted = request.ref, {"state": request.state}
        if not self.has_component:
            raise ApiError(404, "Unknown", "404 page not found")
        if request.uid is None and ref not in self._server.objects:
            return self._server.create(ref, request.body)
        raw = self._server.get(ref)
        if request.uid not in {None, raw["metadata"]["uid"]}:
            raise ApiError(409, "Conflict", f"{ref}: the UID differs")
        if request.uid is None and raw["spec"]["state"] == "Killed":
            return raw
        return self._server.change(ref, lambda each: each["spec"].update(wanted))

    def _lightened(self, request: Lighten) -> Raw:
        ref = request.ref
        if self._server.get(ref)["metadata"]["uid"] != request.uid:
            raise ApiError(409, "Conflict", f"{ref}: the UID differs")

        def edit(raw: Raw) -> None:
            raw.pop(IS_HEAVY, None)
            labels = raw["metadata"].get("labels") or {}
            raw["metadata"]["labels"] = {key: labels[key] for key in labels if key == TASK_LABEL}
            raw["spec"].update(request.spec)

        return self._server.change(ref, edit, STOP_MANAGER if request.spec else None, request.spec)

    def _recalled(self, request: Recall) -> Raw:
        if self.forgetful:
            raise ApiError(410, "Expired", f"too old resource version: {request.since}")
        return {"items": self._server.deleted_since(request.since, request.uids)}

    def _patched(self, request: Patch) -> Raw:
        ref, wanted = request.ref, request.body.get("spec", {})
        raw = self._server.get(ref)
        if raw["metadata"]["uid"] != request.uid:
            raise ApiError(409, "Conflict", f"{ref}: the UID differs")
        if request.resource_version not in {None, raw["metadata"]["resourceVersion"]}:
            raise ApiError(409, "Conflict", f"{ref} has been modified")
        if request.meaning is Meaning.UNTRACK:
            (dropped,) = request.body["metadata"]["$deleteFromPrimitiveList/finalizers"]
            kept = [each for each in raw["metadata"].get("finalizers") or () if each != dropped]
            return self._server.change(ref, lambda each: each["metadata"].update(finalizers=kept))
        old, new = raw["spec"].get("activeDeadlineSeconds"), wanted.get("activeDeadlineSeconds")
        if old is not None and new is not None and new > old:
            raise ApiError(422, "Invalid", "spec.activeDeadlineSeconds may only be lowered")
        manager = STOP_MANAGER if request.meaning is Meaning.STOP else PAUSE_MANAGER
        return self._server.change(ref, lambda each: each["spec"].update(wanted), manager, wanted)
