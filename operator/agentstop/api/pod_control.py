"""PodControl: what the component on a pod's node is to do to the pod's processes, and what the kernel says of them."""

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field

from agentstop.api.meta import API_VERSION, NAME_PATTERN, Condition, Model, Time, rule, schema

CONTROL_KIND: Final = "PodControl"
CONTROL_PLURAL: Final = "podcontrols"

POD_UID_PATTERN: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""What the UID of a pod looks like. It becomes part of a path on the node: nothing else may ever lead there."""

MAX_NODE_NAME: Final = 253
MAX_TASK_NAME: Final = 63


class ControlState(StrEnum):
    """What the processes of a pod are in, or are to be in."""

    RUNNING = "Running"
    FROZEN = "Frozen"
    """The kernel lets none of them run. Memory, files and connections stay."""
    KILLED = "Killed"
    """They were sent SIGKILL, and none can be started in the pod's cgroup any more."""


def _fixed(name: str) -> dict[str, Any]:
    return schema(rule("self == oldSelf", f"spec.{name} cannot be changed"))


class PodControlSpec(Model):
    """What is asked of the node."""

    node_name: str = Field(
        min_length=1, max_length=MAX_NODE_NAME, pattern=NAME_PATTERN, json_schema_extra=_fixed("nodeName")
    )
    """The node that the pod is bound to."""
    pod_uid: str = Field(alias="podUID", pattern=POD_UID_PATTERN, max_length=36, json_schema_extra=_fixed("podUID"))
    """UID of the pod, which is the name of this object, too."""
    task_name: str = Field(
        min_length=1, max_length=MAX_TASK_NAME, pattern=NAME_PATTERN, json_schema_extra=_fixed("taskName")
    )
    """The AgentTask in this namespace that has the pod's UID on record. Without such a record nothing is done to it."""
    state: ControlState = Field(
        json_schema_extra=schema(rule("oldSelf != 'Killed' || self == 'Killed'", "what is Killed stays so"))
    )
    """What the pod's processes are to be in. Frozen: the kernel lets none of them run, nor any that is started meanwhile; Running: they go on where they were; Killed: all are sent SIGKILL, and none is started any more, for good."""  # noqa: E501


class PodControlStatus(Model):
    """What the kernel of the node says of the pod's cgroup, written by the component on that node."""

    observed_generation: int = Field(0, ge=0)
    """The generation of the spec that this answers to."""
    state: ControlState | None = None
    """What the processes are in by the kernel's word; absent where the node does not know."""
    since: Time | None = None
    """When the kernel said so first, by the node's clock, in microseconds."""
    processes: int | None = Field(None, ge=0)
    """How many processes are left, or were frozen; absent where they run."""
    empty: bool | None = None
    """Whether the kernel said that no process is left, and none can be started any more. Once true it stays true."""
    boot_id: str | None = Field(None, alias="bootID", max_length=64)
    """Boot ID of the node."""
    conditions: tuple[Condition, ...] = Field((), json_schema_extra=schema(x_kubernetes_list_type="atomic"))
    """Ready: whether the node has done what is asked; the reason says what keeps it from that."""


class PodControl(Model):
    """Has the component on a pod's node do what no kubelet does: freeze it, have it go on, kill it. The operator makes it, and only that component answers; nobody else writes it."""  # noqa: E501

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["PodControl"] = CONTROL_KIND
    metadata: dict[str, Any]
    spec: PodControlSpec
    status: PodControlStatus = PodControlStatus()
