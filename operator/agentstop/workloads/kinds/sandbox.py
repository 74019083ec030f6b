"""Sandboxes of agent-sandbox: their operating mode is set to suspended."""

from typing import Final

from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import ObjectRef

SANDBOX_API: Final = "agents.x-k8s.io/v1beta1"


def _unclaimed(ref: ObjectRef, owner: OwnerRecord) -> Reason | None:
    if owner.controller is None or owner.controller.kind != "SandboxWarmPool":
        return None
    pool = owner.controller.name
    message = (
        f"Sandbox {ref.name} waits in warm pool {pool}, and nobody has claimed it; point workloadRef at a SandboxClaim"
    )
    return Reason("SandboxUnclaimed", message)


SANDBOX_SPEC: Final = KindSpec(
    halt={"spec": {"operatingMode": "Suspended"}},
    resume=lambda _: {"spec": {"operatingMode": "Running"}},
    deed="suspended",
    refuses=_unclaimed,
)

SANDBOX: Final = Controlled(SANDBOX_SPEC)
