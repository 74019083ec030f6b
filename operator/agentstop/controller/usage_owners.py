"""Owner references: what was counted of a task goes with it, though whoever counts may not have said whose it is."""

import logging

from agentstop.api.meta import API_VERSION
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.usage_store import UsageStore, owner_uid
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef

log = logging.getLogger(__name__)


class UsageOwners:
    """Makes tasks the owners of their usages."""

    def __init__(self, store: UsageStore, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    async def own(self, task: Task) -> None:
        """Make a task the owner of its usage, if nobody is; where that is refused, it counts all the same."""
        record = self._store.without_owner(task)
        if record is None or task.gone:
            return
        ref = ObjectRef(USAGE_KIND, task.namespace, task.name, API_VERSION)
        try:
            found = (await self._gateway.get_own(ref))["metadata"]
            if found["uid"] != record.uid or owner_uid(found) is not None:
                return
            owner = {"apiVersion": API_VERSION, "kind": KIND, "name": task.name, "uid": task.uid}
            owners = [*(found.get("ownerReferences") or ()), owner]
            version = {"uid": found["uid"], "resourceVersion": found["resourceVersion"]}
            await self._gateway.patch_own(ref, {"metadata": version | {"ownerReferences": owners}})
        except ApiError as error:
            if not error.refused:
                return  # with the next report it is tried again
            self._store.note_unownable(record)
            log.warning("TaskUsage %s/%s was given no owner: %s", task.namespace, task.name, error)
