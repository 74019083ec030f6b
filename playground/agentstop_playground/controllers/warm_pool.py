"""The controller of SandboxWarmPools: keeps unclaimed Sandboxes ready."""

from typing import Final

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import SANDBOX, SANDBOX_TEMPLATE, SANDBOX_WARM_POOL
from agentstop_playground.controllers.objects import condition, deleting, owner_reference, uid
from agentstop_playground.controllers.pods import together
from agentstop_playground.controllers.sandbox_status import name_hash

POOL_LABEL: Final = "agents.x-k8s.io/warm-pool-sandbox"
TEMPLATE_LABEL: Final = "agents.x-k8s.io/sandbox-template-ref-hash"
TEMPLATE_ANNOTATION: Final = "agents.x-k8s.io/sandbox-template-ref"


class SandboxWarmPoolController(Controller):
    """Makes the Sandboxes that are missing and deletes those that are too many; what was claimed is not its own."""

    kind = SANDBOX_WARM_POOL

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, SANDBOX)
        self._sandboxes = hub.cache(SANDBOX)
        self._templates = hub.cache(SANDBOX_TEMPLATE)
        self._templates.subscribe(self._template_changed)

    async def reconcile(self, key: str) -> float | None:
        """Keep as many as are asked for."""
        pool = self.objects.get(key)
        if pool is None or deleting(pool):
            return None
        missing = int(pool["spec"].get("replicas", 1)) - len(self._unclaimed(pool))
        template = self._templates.named(pool["metadata"]["namespace"], pool["spec"]["sandboxTemplateRef"]["name"])
        if missing > 0 and template is not None:
            labels = {POOL_LABEL: name_hash(pool["metadata"]["name"])}
            prefix = f"{pool['metadata']['name']}-"
            body = from_sandbox_template(
                template, owner_reference(SANDBOX_WARM_POOL, pool), labels, generateName=prefix
            )
            await together(self.hub.create(SANDBOX, pool["metadata"]["namespace"], body) for _ in range(missing))
        elif missing < 0:
            doomed = sorted(self._unclaimed(pool), key=lambda item: (_ready(item), item["metadata"]["name"]))
            await together(self.hub.delete(SANDBOX, item) for item in doomed[:-missing])
        pool = self.objects.get(key) or pool
        await self.hub.write_status(SANDBOX_WARM_POOL, pool, self._status(pool))
        return None

    def _template_changed(self, change: str, obj: Object, old: Object | None) -> None:  # noqa: ARG002
        for pool in self.objects.all():
            if pool["metadata"]["namespace"] == obj["metadata"]["namespace"]:
                self.queue.add(uid(pool))

    def _unclaimed(self, pool: Object) -> list[Object]:
        return [item for item in self._sandboxes.controlled_by(uid(pool)) if not deleting(item)]

    def _status(self, pool: Object) -> Object:
        unclaimed = self._unclaimed(pool)
        return {
            "replicas": len(unclaimed),
            "readyReplicas": sum(_ready(item) for item in unclaimed),
            "selector": f"{POOL_LABEL}={name_hash(pool['metadata']['name'])}",
            "observedGeneration": pool["metadata"]["generation"],
        }


def from_sandbox_template(template: Object, owner: Object, labels: dict[str, str], **metadata: object) -> Object:
    """A Sandbox as a SandboxTemplate describes it; the labels go to its pod, too."""
    name = template["metadata"]["name"]
    labels = {**labels, TEMPLATE_LABEL: name_hash(name)}
    pod = template["spec"]["podTemplate"]
    stated = pod.get("metadata") or {}
    spec = {"automountServiceAccountToken": False, **pod["spec"]}
    return {
        "metadata": {
            **metadata,
            "labels": labels,
            "annotations": {TEMPLATE_ANNOTATION: name},
            "ownerReferences": [owner],
        },
        "spec": {
            "podTemplate": {"metadata": {**stated, "labels": {**(stated.get("labels") or {}), **labels}}, "spec": spec}
        },
    }


def _ready(sandbox: Object) -> bool:
    conditions = (sandbox.get("status") or {}).get("conditions") or ()
    return (condition(conditions, "Ready") or {}).get("status") == "True"
