"""What controllers do to pods: many at a time, each by its UID."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final

from agentstop_playground.api_client import ApiError, Object
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import POD

_STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"


class Pods:
    """Creates and deletes pods of one API server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.cache = hub.cache(POD)

    async def create(self, namespace: str, pods: Iterable[Object]) -> list[Object]:
        """Create pods; raises ApiError if one is refused, after the others were tried too."""
        created: list[Object] = []

        async def create(pod: Object) -> None:
            created.append(await self._hub.create(POD, namespace, pod))

        await together(create(pod) for pod in pods)
        return created

    async def delete(self, pods: Iterable[Object], finalizer: str = "") -> None:
        """Delete pods, each with its own grace; what is gone already is no error.

        ``finalizer`` is one of ours that the pods are to be without before.
        """

        async def delete(pod: Object) -> None:
            if finalizer in (pod["metadata"].get("finalizers") or ()):
                await self._release(pod, finalizer)
            try:
                await self._hub.delete(POD, pod)
            except ApiError as error:
                if error.code not in {404, 409}:
                    raise

        await together(delete(pod) for pod in pods)

    async def adopt(self, pod: Object, owner: Object) -> None:
        """Make a reference's owner the controller of a pod that has none; a pod that is gone is no error."""
        owners = [*(pod["metadata"].get("ownerReferences") or ()), owner]
        version = pod["metadata"]["resourceVersion"]
        try:
            await self._hub.patch(POD, pod, {"metadata": {"ownerReferences": owners, "resourceVersion": version}})
        except ApiError as error:
            if error.code not in {404, 409, 422}:
                raise

    async def release(self, pods: Iterable[Object], finalizer: str) -> None:
        """Take a finalizer off pods."""
        await together(self._release(pod, finalizer) for pod in pods)

    async def _release(self, pod: Object, finalizer: str) -> None:
        body = {"metadata": {"$deleteFromPrimitiveList/finalizers": [finalizer]}}
        try:
            await self._hub.patch(POD, pod, body, _STRATEGIC_PATCH)
        except ApiError as error:
            # Of another UID, or gone: this one has no finalizer any more.
            if error.code not in {404, 409, 422}:
                raise


async def together(work: Iterable[Awaitable[object]]) -> None:
    """Do all of it at once; raises the first error once all has ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def from_template(template: Object, owner: Object, **metadata: object) -> Object:
    """A pod as a template describes it, controlled by the owner that a reference names; ``metadata`` is added."""
    stated = template.get("metadata") or {}
    kept = {key: dict(stated[key]) for key in ("labels", "annotations") if stated.get(key)}
    for key in ("labels", "annotations"):
        added = metadata.pop(key, None)
        if isinstance(added, dict) and added:
            kept[key] = {**kept.get(key, {}), **added}
    return {"metadata": {**kept, **metadata, "ownerReferences": [owner]}, "spec": template["spec"]}
