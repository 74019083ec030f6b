"""Where kinds live that not every cluster has: asked of the API server, and asked again where the answer is old."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from agentstop.cluster.errors import ApiError
from agentstop.cluster.resources import PLACES, APIResource, by_scale
from agentstop.workloads.controlled.rejections import NO_SCALE, NOT_SERVED
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.registry import SUPPORTED

NOT_FOUND: Final = 404


class Discovery:
    """Finds the places of kinds. `get` reads a path of the API server."""

    def __init__(self, get: Callable[[str], Awaitable[dict[str, Any]]]) -> None:
        self._get = get
        self._known: dict[tuple[str, str], APIResource] = dict(PLACES)

    async def place(self, ref: ObjectRef) -> APIResource:
        """Return where objects of this kind live.

        Raises ApiError with reason KindNotServed where the API server has no such kind, which may change at any time,
        and NoScale where it is no kind that anybody could stop.
        """
        kind = ref.api_version, ref.kind
        place = self._known.get(kind)
        if place is None:
            place = self._known[kind] = await self._ask(ref)
        return place

    def forget(self, ref: ObjectRef) -> None:
        """Ask anew where this kind lives: it may have been removed."""
        kind = ref.api_version, ref.kind
        if kind not in PLACES:
            self._known.pop(kind, None)

    async def _ask(self, ref: ObjectRef) -> APIResource:
        prefix = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
        try:
            resources = (await self._get(prefix)).get("resources") or ()
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            resources = ()
        names = {each["name"] for each in resources}
        found = [each for each in resources if each["kind"] == ref.kind and "/" not in each["name"]]
        if not found:
            message = f"the API server does not serve kind {ref.kind} of {ref.api_version}; install its definition"
            raise ApiError(NOT_FOUND, NOT_SERVED, message)
        plural = found[0]["name"]
        return APIResource(prefix, plural, scales=f"{plural}/scale" in names and bool(found[0].get("namespaced")))


def check_scalable(ref: ObjectRef, place: APIResource) -> None:
    """Raise ApiError with reason NoScale unless objects of this kind can be stopped."""
    if by_scale(ref) and not place.scales:
        message = (
            f"workloadRef points at kind {ref.kind} of {ref.api_version}, which agentstop cannot stop: it has no scale"
            f" subresource; supported: {SUPPORTED}"
        )
        raise ApiError(NOT_FOUND, NO_SCALE, message)
