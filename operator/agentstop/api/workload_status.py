"""What a task's status says of its workload: the pods that were seen, and how each of their containers ended."""

from typing import Final

from pydantic import Field

from agentstop.api.meta import Model, Seconds, Time, schema

MAX_LISTED_PODS: Final = 32
"""So many pods are listed in a status; `podCount` has the true number."""

MAX_OTHER_PODS: Final = 4096
"""So many more are on record by their UIDs alone."""


class ContainerEnd(Model):
    """What is known of one container of the workload."""

    name: str
    """Name of the container."""
    exit_code: int | None = None
    """Exit code; absent while the container runs or where it never ran."""
    signal: int | None = None
    """Signal that ended the container, where the runtime reports it."""
    reason: str | None = None
    """The runtime's word for the state, such as Completed, Error or OOMKilled."""
    started_at: Time | None = None
    """When the container was started."""
    finished_at: Time | None = None
    """When the container ended."""


class PodEvidence(Model):
    """What is known of one pod of the workload."""

    name: str
    """Name of the pod."""
    uid: str
    """UID of the pod."""
    node: str | None = None
    """Node that the pod was bound to."""
    resource_version: str | None = None
    """Resource version in which the pod was seen without a node: if it goes while no operator looks, the API server is asked for the changes since then."""  # noqa: E501
    boot_id: str | None = Field(None, alias="bootID")
    """Boot ID of the node where only its reboot can prove the end: the pod was asked to go, or removed by force, while a container of it was being started."""  # noqa: E501
    grace_period_seconds: Seconds | None = None
    """The longest grace period that may run for it, where that is not Kubernetes' 30 seconds: removal by force shortens none, and its processes may outlive the pod for so long."""  # noqa: E501
    restarts_slowly: bool | None = None
    """Whether a container that has run may be in a slow start when the pod goes: its image is pulled, or a hook runs, each time that it is started again. No time proves the end of such a pod if it goes while no operator looks."""  # noqa: E501
    runtime_class: str | None = None
    """Runtime class that the pod asks for; absent where it has the node's own. Of another one's processes the node's kernel may know nothing."""  # noqa: E501
    empty_at: Time | None = None
    """When the kernel of its node said that no process of the pod was left and none could be started in it, by the node's clock; only where the component on the node was asked to kill it."""  # noqa: E501
    frozen_at: Time | None = None
    """Since when the kernel of its node says that the processes of the pod are frozen, by the node's clock; absent where they are not."""  # noqa: E501
    phase: str | None = None
    """Phase of the pod as it was seen last; Succeeded and Failed say that all its containers had ended for good, and Unknown that it is gone, or that others than its node said so, while a container of it may have been started."""  # noqa: E501
    containers: tuple[ContainerEnd, ...] = Field((), json_schema_extra=schema(x_kubernetes_list_type="atomic"))
    """Its containers; init containers and sidecars too, where they ran."""


class OtherPods(Model):
    """Pods of one node that are not shown."""

    node: str | None = None
    """Node that they were bound to."""
    started: bool | None = None
    """Whether all their containers had been started, once at least."""
    uids: tuple[str, ...] = Field(
        (), max_length=MAX_OTHER_PODS, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Their UIDs, each as its 16 bytes in base64url without padding, which are 22 characters; whatever is no UUID stands there as it is, after an equals sign."""  # noqa: E501


class BoundTo(Model):
    """The object that runs a workload in its place."""

    api_version: str
    """API version of that object."""
    kind: str
    """Kind of that object, such as Sandbox."""
    name: str
    """Name of that object."""
    uid: str
    """UID of that object: another one of the same name does not count."""


class WorkloadStatus(Model):
    """The workload that the task stands for."""

    api_version: str
    """API version of the workload."""
    kind: str
    """Kind of the workload."""
    name: str
    """Name of the workload."""
    uid: str
    """UID of the workload: another object of the same name is another workload."""
    pods: tuple[PodEvidence, ...] = Field(
        (), max_length=MAX_LISTED_PODS, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Its pods with their containers' exit codes, at most 32."""
    pod_count: int = Field(0, ge=0)
    """How many pods the workload has or had: those that are or were seen, or where none was, as many as its controller counts."""  # noqa: E501
    other_pods: tuple[OtherPods, ...] | None = Field(
        None, max_length=MAX_OTHER_PODS, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Pods that may still run and are not among those shown, by their nodes, at most 4,096, so that none is forgotten that loses its labels while no operator runs."""  # noqa: E501
    other_pod_count: int | None = Field(None, ge=0)
    """How many such pods there are. Where they are more than are on record, nothing is proven before all are known."""
    replicas: int | None = None
    """To how many pods it was scaled when it last ran; absent where it cannot be scaled."""
    bound_to: BoundTo | None = None
    """What runs in its place: the Sandbox of a SandboxClaim."""
    logs_gone: str | None = Field(None, max_length=1024)
    """Why the operator deleted the pod though it was to be kept, so that its logs are gone; absent where they are kept, or were not to be."""  # noqa: E501
    selector: str | None = None
    """Label selector that finds its pods (`kubectl get pods -l`), where a controller makes them."""
