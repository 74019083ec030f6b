"""What is known of the objects in the cluster, in records small enough to keep tens of thousands of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from agentstop.workloads.lightening import TOO_LARGE


class ObjectRef(NamedTuple):
    """An object by its kind, namespace (empty for cluster-wide kinds), name and API version."""

    kind: str
    namespace: str
    name: str
    api_version: str = "v1"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class PodsOf(NamedTuple):
    """The pods that a label selector finds for a workload which makes its own."""

    namespace: str
    selector: str

    def __str__(self) -> str:
        return f"pods {self.namespace}/{self.selector}"


WatchTarget = ObjectRef | PodsOf
"""What can be followed: one object, or the pods of a workload."""


def version_order(version: str) -> tuple[int, str]:
    """Return what resource versions of one kind of object are ordered by: they are numbers of any length.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions (KEP-5504)
    """
    return len(version), version


class Boot(NamedTuple):
    """One boot of a node."""

    boot_id: str
    read_at: datetime
    """When the node said so last, by our clock."""


class Record(Protocol):
    """What is kept of an object, whatever its kind: a PodRecord, NodeRecord or OwnerRecord."""

    @property
    def uid(self) -> str:
        """UID of the object."""


class Departure(StrEnum):
    """How much is known of the way in which an object went."""

    UNSEEN = "Unseen"
    """It was found to be gone, and may have changed before that since it was seen last."""
    SEEN = "Seen"
    """The state in which it was seen last is the one in which it went."""
    FORGOTTEN = "Forgotten"
    """It went unseen, and the API server does not remember how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """The newest that is known of one object."""

    seen: Record | None
    """Its last state; kept after the object is gone, for what that state proves."""
    absent: bool = False
    """Whether the API server said that there is no such object any more."""
    departure: Departure = Departure.UNSEEN
    """Of what is gone: how much is known of how it went."""
    at: datetime
    """When this was learnt, by our clock."""
    version_at: datetime | None = None
    """When the version that is known was learnt first, where it was looked at again since."""
    since: datetime | None = None
    """When this object was first known to be there, where another one had its name before."""
    signaled_at: datetime | None = None
    """When the API server accepted a change of ours that ends the object's processes."""
    stale: bool = False
    """Whether something speaks against it, so that it must be looked at live before anything is decided."""
    unlisted: bool = False
    """Of a pod of a workload: whether no watch shows it, since it has lost the labels by which it is found."""
    boots: tuple["Boot", ...] = ()
    """Of a node: its latest boots that were seen, oldest first; they are kept when its object goes."""


@dataclass(slots=True)
class PodGroup:
    """What is known of the pods that a selector found, each by its UID: a later pod may have the name of an earlier."""

    pods: dict[str, CacheEntry] = field(default_factory=dict)
    listed_at: datetime | None = None
    """When they were listed live last."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The API server's answer to a request that it will not carry out."""

    code: int
    """HTTP status code."""
    reason: str
    """Kubernetes' reason, such as Forbidden, Invalid or AlreadyExists."""
    message: str
    """The server's own words."""
    at: datetime
    """When it was given; it does not count for long, since rights and quotas change."""


class Right(NamedTuple):
    """Whether we may stop the workloads of a kind in a namespace."""

    word: str | None
    """What is not granted, in the words of RBAC; None where nothing is missing."""
    at: datetime
    """When the API server said so."""


class Schedule(StrEnum):
    """What became of a CronJob that was to be suspended with a Job of its own."""

    SUSPENDED = "Suspended"
    GONE = "Gone"
    """There is none any more."""
    DENIES = "Denies"
    """It does not count the Job among those that it has made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecord:
    """A PodControl: what the component on a pod's node was asked for, and what it answered."""

    uid: str
    """Its own UID, not the pod's."""
    resource_version: str
    task: str
    node: str
    """The node that is to act, and whose word it is."""
    state: str = "Killed"
    """What it is asked for: Running, Frozen or Killed."""
    generation: int = 0
    asked_at: datetime
    """When we first saw this generation of it, by our clock."""
    answered: bool = False
    """Whether the component has answered to this generation."""
    heard: bool = False
    """Whether it has answered to any."""
    is_in: str | None = None
    """What the kernel says that the pod's processes are in; None where it does not know."""
    since: datetime | None = None
    """Since when, by the node's clock."""
    nothing_there: bool = False
    """Whether the node has nothing of the pod that could be frozen, as it says."""
    empty_at: datetime | None = None
    """When the kernel said that no process of the pod is left and none can be started, by the node's clock."""
    heard_at: datetime | None = None
    """When we first heard of that, by our clock."""
    problem: str | None = None
    """What keeps the node from it, in its words; None where nothing does."""
    slow: str | None = None
    """What is to be said of a kernel that was told and has not done it yet, in the node's words."""


class PodOnNode(NamedTuple):
    """A pod, and the node that can speak of it."""

    namespace: str
    uid: str
    node: str | None


REFUSAL_COUNTS_FOR: Final = timedelta(seconds=8)
"""How long a refusal counts. Shorter than the pause after which a blocked task is decided on again, so that each of
these decisions tries anew."""


@dataclass(frozen=True, slots=True)
class Lister:
    """All that a workload module may look at. Read-only to it."""

    entries: Mapping[ObjectRef, CacheEntry] = field(default_factory=dict)
    rejections: Mapping[tuple[WatchTarget, str], Rejection] = field(default_factory=dict)
    """The newest refusal for an object and a verb (create, patch, delete, get, list)."""
    groups: Mapping[PodsOf, PodGroup] = field(default_factory=dict)
    rights: Mapping[tuple[str, str, str], Right] = field(default_factory=dict)
    """What we may do, by API version, kind and namespace."""
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Templates of tasks whose pods are being made, by the task's UID."""
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    """What became of the CronJobs that were to be suspended with one of their Jobs, by the Job's UID."""
    controls: Mapping[tuple[str, str], ControlRecord] = field(default_factory=dict)
    """What the nodes were asked for, by the namespace and the UID of the pod."""

    def right(self, ref: ObjectRef) -> Right | None:
        """Return whether we may stop such an object, if that was asked."""
        return self.rights.get((ref.api_version, ref.kind, ref.namespace))

    def rejection(self, ref: WatchTarget, verb: str, now: datetime) -> Rejection | None:
        """Return the refusal of a verb on an object, if one counts now."""
        rejection = self.rejections.get((ref, verb))
        return rejection if rejection is not None and now < rejection.at + REFUSAL_COUNTS_FOR else None

    def too_large(self, ref: ObjectRef, now: datetime) -> Rejection | None:
        """Return the refusal of a change or deletion of an object because it is too large, if one counts now."""
        rejections = (self.rejection(ref, verb, now) for verb in ("lighten", "patch", "delete"))
        return next((each for each in rejections if each is not None and each.reason == TOO_LARGE), None)

    def node(self, name: str) -> CacheEntry | None:
        """Return what is known of the node of this name, if it was ever looked at."""
        return self.entries.get(ObjectRef("Node", "", name))
