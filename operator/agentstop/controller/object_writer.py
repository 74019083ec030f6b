"""What is written about our own objects, tasks and orders: statuses, finalizers, and that their time is over."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from agentstop.api.meta import API_VERSION, STOP_FINALIZER
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.lifecycle.effects import AddFinalizer, DeleteObject, ObjectEffect, PauseTask
from agentstop.workloads.objects import ObjectRef


class OwnObject(NamedTuple):
    """A task or an order, at the version that was decided on."""

    ref: ObjectRef
    uid: str
    resource_version: str


class ObjectWriter:
    """Writes about our own objects, only ever about what was decided on: by UID and resource version.

    `take_in` is given an object as the API server answers it, `gone` one that is no more. ApiError is raised for what
    does not come about, but for what was overtaken by somebody else's change.
    """

    def __init__(
        self, gateway: Gateway, take_in: Callable[[JsonObject], None], gone: Callable[[ObjectRef], None]
    ) -> None:
        self._gateway = gateway
        self._take_in = take_in
        self._gone = gone

    async def write_status(self, own: OwnObject, status: JsonObject) -> JsonObject:
        """Write a status; return the object as it is then, which is not taken in yet."""
        metadata = {"name": own.ref.name, "uid": own.uid, "resourceVersion": own.resource_version}
        if own.ref.namespace:
            metadata["namespace"] = own.ref.namespace
        body = {"apiVersion": API_VERSION, "kind": own.ref.kind, "metadata": metadata, "status": status}
        return await self._gateway.write_status(body)

    async def tidy(self, current: Callable[[], OwnObject | None], effects: Iterable[ObjectEffect]) -> bool:
        """Carry out what concerns the object itself; return False where it has changed, and has to be decided on anew.

        `current` returns the object as it is known, None where it is another one by now.
        """
        for effect in effects:
            own = current()
            if own is None:
                return True
            try:
                if not await self._change(own, effect):
                    return False
            except ApiError as error:
                if not overtaken(error):
                    raise
                await self.read_again(own.ref)
                return False
        return True

    async def _change(self, own: OwnObject, effect: ObjectEffect) -> bool:
        """Carry out one effect; return whether the object is still there for others."""
        if isinstance(effect, DeleteObject):
            await self._gateway.delete_own(own.ref, own.uid, own.resource_version)
            return True
        if isinstance(effect, PauseTask):
            version = {"uid": own.uid, "resourceVersion": own.resource_version}
            self._take_in(await self._gateway.patch_own(own.ref, {"metadata": version, "spec": {"paused": True}}))
            return True
        found = (await self._gateway.get_own(own.ref))["metadata"]
        kept = [each for each in found.get("finalizers") or () if each != STOP_FINALIZER]
        wanted = [*kept, STOP_FINALIZER] if isinstance(effect, AddFinalizer) else kept
        metadata = {"uid": own.uid, "resourceVersion": found["resourceVersion"], "finalizers": wanted}
        answer = await self._gateway.patch_own(own.ref, {"metadata": metadata})
        if "deletionTimestamp" in answer["metadata"] and not wanted:
            return False  # it is gone with its last finalizer: the watch tells of that
        self._take_in(answer)
        return True

    async def read_again(self, ref: ObjectRef) -> None:
        """Take in an object as it is now, or that it is gone."""
        try:
            found = await self._gateway.get_own(ref)
        except ApiError as error:
            if not error.absent:
                raise
            self._gone(ref)
        else:
            self._take_in(found)


def overtaken(error: ApiError) -> bool:
    """Whether somebody else was faster: the object is another one, or gone."""
    return error.absent or error.code == 409
