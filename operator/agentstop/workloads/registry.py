"""Which module speaks for which kind of workload."""

from collections.abc import Mapping
from typing import Final

from agentstop.lifecycle.observation import Observation, Presence, Reason, Task
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.kinds.job import JOB
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.kinds.ray_cluster import RAY_API, RAY_CLUSTER
from agentstop.workloads.kinds.sandbox import SANDBOX, SANDBOX_API
from agentstop.workloads.kinds.sandbox_claim import CLAIM, CLAIM_API
from agentstop.workloads.kinds.scalable import SCALED

KINDS: Final[Mapping[tuple[str, str], WorkloadKind]] = {
    ("v1", "Pod"): POD,
    ("batch/v1", "Job"): JOB,
    (SANDBOX_API, "Sandbox"): SANDBOX,
    (CLAIM_API, "SandboxClaim"): CLAIM,
    (RAY_API, "RayCluster"): RAY_CLUSTER,
}
"""Workload modules by API version and kind: the only table of them. A new kind is one module and one line here.
Whatever else can be scaled is stopped by scaling it."""

SUPPORTED: Final = ", ".join(
    [*(f"{kind} of {version}" for version, kind in KINDS), "and kinds with a scale subresource such as Deployment"]
)


def kind_of(task: Task) -> WorkloadKind:
    """Return the module for the task's workload."""
    ref = task.spec.workload_ref
    return POD if ref is None else kind_called(ref.api_version, ref.kind)


def kind_called(api_version: str, kind: str) -> WorkloadKind:
    """Return the module for workloads of this API version and kind."""
    return KINDS.get((api_version, kind), SCALED)


def taken(task: Task, by: Task) -> Observation:
    """Return what is seen of a workload that is another task's already."""
    ref = task.spec.workload_ref
    named = f"{ref.kind} {ref.name}" if ref else "The workload"
    message = f"{named} is the workload of AgentTask {by.name} already; stop it there, or delete that task first"
    return Observation(presence=Presence.ABSENT, refused=Reason("WorkloadTaken", message))
