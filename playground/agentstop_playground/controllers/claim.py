"""The controller of SandboxClaims: gives each a Sandbox, out of its warm pool or made for it."""

from typing import Final

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import SANDBOX, SANDBOX_CLAIM, SANDBOX_TEMPLATE, SANDBOX_WARM_POOL
from agentstop_playground.controllers.objects import condition, controller_of, deleting, owner_reference, uid
from agentstop_playground.controllers.sandbox_status import POD_NAME
from agentstop_playground.controllers.warm_pool import POOL_LABEL, from_sandbox_template

ASSIGNED: Final = "agents.x-k8s.io/sandbox-name"
CLAIM_LABEL: Final = "agents.x-k8s.io/claim-uid"


class NotBoundError(Exception):
    """A claim has no Sandbox; ``reason`` and ``message`` are for its condition Ready."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SandboxClaimController(Controller):
    """Binds claims. The claim's annotation is written before the Sandbox changes hands, so that none is lost."""

    kind = SANDBOX_CLAIM

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, SANDBOX)
        self._sandboxes = hub.cache(SANDBOX)
        self._templates = hub.cache(SANDBOX_TEMPLATE)
        self._pools = hub.cache(SANDBOX_WARM_POOL)
        self._templates.subscribe(self._source_changed)
        self._pools.subscribe(self._source_changed)

    async def reconcile(self, key: str) -> float | None:
        """Find or make the claim's Sandbox, and copy what that says of itself."""
        claim = self.objects.get(key)
        if claim is None or deleting(claim):
            return None
        problem, sandbox = None, None
        try:
            sandbox = self._bound(claim) or await self._adopted(claim) or await self._made(claim)
        except NotBoundError as error:
            problem = error
        claim = self.objects.get(key) or claim
        await self.hub.write_status(SANDBOX_CLAIM, claim, _status(claim, sandbox, problem))
        return None

    def _source_changed(self, change: str, obj: Object, old: Object | None) -> None:  # noqa: ARG002
        """A pool or template has changed: claims that wait for one look again."""
        for claim in self.objects.all():
            if not _sandbox_name(claim) and claim["metadata"]["namespace"] == obj["metadata"]["namespace"]:
                self.queue.add(uid(claim))

    def _bound(self, claim: Object) -> Object | None:
        """The Sandbox that the claim controls already."""
        metadata = claim["metadata"]
        for name in (_sandbox_name(claim), _assigned(claim), metadata["name"]):
            found = self._sandboxes.named(metadata["namespace"], name) if name else None
            if found is not None and (controller_of(found) or {}).get("uid") == uid(claim):
                return found
        return None

    async def _adopted(self, claim: Object) -> Object | None:
        """A Sandbox of the claim's pool, which belongs to the claim from now on; None if the pool has none."""
        metadata = claim["metadata"]
        pool = self._pools.named(metadata["namespace"], claim["spec"]["warmPoolRef"]["name"])
        offered = [item for item in self._sandboxes.controlled_by(uid(pool)) if not deleting(item)] if pool else []
        taken = {name for other in self.objects.all() if other is not claim and (name := _assigned(other))}
        offered = [item for item in offered if item["metadata"]["name"] not in taken and _addresses(item)]
        if not offered:
            if _assigned(claim):
                await self._assign(claim, None)
            return None
        chosen = next((item for item in offered if item["metadata"]["name"] == _assigned(claim)), None)
        chosen = chosen or min(offered, key=lambda item: (not _ready(item), item["metadata"]["name"]))
        await self._assign(claim, chosen["metadata"]["name"])
        name = chosen["metadata"]["name"]
        body: Object = {
            "metadata": {
                "resourceVersion": chosen["metadata"]["resourceVersion"],
                "ownerReferences": [owner_reference(SANDBOX_CLAIM, claim)],
                "labels": {POOL_LABEL: None, CLAIM_LABEL: uid(claim)},
                "annotations": {POD_NAME: name},
            },
            "spec": {"podTemplate": {"metadata": {"labels": {CLAIM_LABEL: uid(claim)}}}},
        }
        adopted = await self.hub.patch(SANDBOX, chosen, body)
        self.record(claim, "SandboxAdopted", f'Adopted warm pool Sandbox "{name}"')
        return adopted

    async def _assign(self, claim: Object, name: str | None) -> None:
        if _assigned(claim) != (name or ""):
            await self.hub.patch(SANDBOX_CLAIM, claim, {"metadata": {"annotations": {ASSIGNED: name}}})

    async def _made(self, claim: Object) -> Object:
        """A Sandbox of the claim's own name, from the template of its pool; raises NotBoundError."""
        metadata, pool_name = claim["metadata"], claim["spec"]["warmPoolRef"]["name"]
        namespace, name = metadata["namespace"], metadata["name"]
        if self._sandboxes.named(namespace, name) is not None:
            message = f'sandbox "{name}" is not controlled by claim "{name}": choose another name, or delete it'
            raise NotBoundError("ReconcilerError", f"Error seen: {message}")
        pool = self._pools.named(namespace, pool_name)
        if pool is None:
            raise NotBoundError("WarmPoolNotFound", f'SandboxWarmPool "{pool_name}" not found')
        template_name = pool["spec"]["sandboxTemplateRef"]["name"]
        template = self._templates.named(namespace, template_name)
        if template is None:
            raise NotBoundError("TemplateNotFound", f'SandboxTemplate "{template_name}" not found')
        labels = {CLAIM_LABEL: uid(claim)}
        sandbox = from_sandbox_template(template, owner_reference(SANDBOX_CLAIM, claim), labels, name=name)
        made = await self.hub.create(SANDBOX, namespace, sandbox)
        self.record(claim, "SandboxProvisioned", f'Created Sandbox "{name}"')
        return made


def _sandbox_name(claim: Object) -> str:
    return str(((claim.get("status") or {}).get("sandbox") or {}).get("name") or "")


def _assigned(claim: Object) -> str:
    return str((claim["metadata"].get("annotations") or {}).get(ASSIGNED) or "")


def _addresses(sandbox: Object) -> list[str]:
    return list((sandbox.get("status") or {}).get("podIPs") or ())


def _conditions(sandbox: Object) -> list[Object]:
    return list((sandbox.get("status") or {}).get("conditions") or ())


def _ready(sandbox: Object) -> bool:
    return (condition(_conditions(sandbox), "Ready") or {}).get("status") == "True"


def _status(claim: Object, sandbox: Object | None, problem: NotBoundError | None) -> Object:
    """The claim's status: the conditions Ready and Finished are its Sandbox's."""
    old = claim.get("status") or {}
    ready: Object = {"type": "Ready", "status": "False"}
    finished = None
    if problem is not None:
        ready |= {"reason": problem.reason, "message": problem.message}
    elif sandbox is not None:
        theirs = condition(_conditions(sandbox), "Ready")
        finished = condition(_conditions(sandbox), "Finished")
        if theirs is None:
            ready |= {"reason": "SandboxNotReady", "message": "Sandbox is not ready"}
        elif theirs["reason"] == "SandboxExpired":
            message = "Underlying Sandbox resource has expired independently of the Claim."
            ready |= {"reason": "SandboxExpired", "message": message}
        else:
            ready |= {name: theirs[name] for name in ("status", "reason", "message")}
    before = condition(old.get("conditions") or (), "Ready") or {}
    same = before.get("status") == ready["status"]
    ready["lastTransitionTime"] = before["lastTransitionTime"] if same else times.rfc3339(times.now())
    ready["observedGeneration"] = claim["metadata"]["generation"]
    new: Object = {"conditions": [ready, *([finished] if finished else [])]}
    if sandbox is not None:
        addresses = _addresses(sandbox)
        new["sandbox"] = {"name": sandbox["metadata"]["name"], **({"podIPs": addresses} if addresses else {})}
    elif problem is not None and old.get("sandbox"):
        new["sandbox"] = old["sandbox"]
    return new
