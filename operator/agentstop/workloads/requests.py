"""Requests to the API server, as data: workload modules say what to send, the gateway sends it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from agentstop.workloads.objects import ObjectRef, PodsOf


@dataclass(frozen=True, slots=True)
class Get:
    """Read the object live, because what is cached cannot prove what has to be known."""

    verb: ClassVar[str] = "get"
    ref: ObjectRef
    link: bool = False
    """Whether only its own controller matters."""


@dataclass(frozen=True, slots=True)
class ListPods:
    """List the pods live, because what is cached cannot prove that there are no others."""

    verb: ClassVar[str] = "list"
    ref: PodsOf


@dataclass(frozen=True, slots=True)
class GetPod:
    """Read one pod of a group live, because it does not show among the others any more."""

    verb: ClassVar[str] = "get"
    ref: ObjectRef
    uid: str
    group: PodsOf


@dataclass(frozen=True, slots=True)
class FindPods:
    """Look among all pods of the namespace for some of a group of which nothing but the UID is known."""

    verb: ClassVar[str] = "find"
    ref: PodsOf
    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask in which state pods went while nobody looked: the API server remembers its latest changes for a while.

    `since` is a resource version from before they went. One of another kind of object will do: where the two are not
    of one count, nothing is found, or what is found has the right UID all the same.
    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
    """

    verb: ClassVar[str] = "watch"
    ref: ObjectRef | PodsOf
    uids: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class GetTemplate:
    """Read the task live: its template is kept nowhere, and nothing is made without a last look at what is asked."""

    verb: ClassVar[str] = "get"
    ref: ObjectRef
    uid: str
    """The task's."""


@dataclass(frozen=True, slots=True)
class GetLease:
    """Read a Lease that tasks are tethered to. It is no workload: what it means is not the cache's to know."""

    verb: ClassVar[str] = "get"
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Create:
    """Create the object."""

    verb: ClassVar[str] = "create"
    ref: ObjectRef
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccessReview:
    """Ask whether we may change such objects in their namespace, before that is urgent."""

    verb: ClassVar[str] = "ask"
    ref: ObjectRef
    scale: bool
    """Whether it is their scale subresource that would be changed."""


class Meaning(StrEnum):
    """What a change means for the processes of an object."""

    STOP = "stop"
    """It ends them for good; the API server keeps the mark of it in the object's managedFields."""
    PAUSE = "pause"
    """It ends them until they are wanted again."""
    RESUME = "resume"
    """It has them started again."""
    UNTRACK = "untrack"
    """It does nothing to them: whoever made the object counts its end no more."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge this into the object, if it still has this UID."""

    verb: ClassVar[str] = "patch"
    ref: ObjectRef
    uid: str
    body: Mapping[str, Any]
    meaning: Meaning
    resource_version: str | None = None
    """Also only if it still is at this version."""
    scale: bool = False
    """Whether it goes to the object's scale subresource."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object, if it still has this UID."""

    verb: ClassVar[str] = "delete"
    ref: ObjectRef
    uid: str
    grace_seconds: int | None = None
    """Grace period in seconds, at least 1; None for the object's own."""
    ends_processes: bool = True
    resource_version: str | None = None
    """Also only if it still is at this version."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """Have a CronJob make no more Jobs, if it has this UID and says itself that it has made a certain one.

    What the Job says of its maker does not count: whoever may make a Job could have any CronJob suspended with it.
    """

    verb: ClassVar[str] = "suspend"
    ref: ObjectRef
    uid: str
    job: str
    """UID of the Job."""


@dataclass(frozen=True, slots=True)
class Lighten:
    """Take the bulk off an object that has become too large to be changed, and change it in the same request.

    All its labels and annotations go but ours and those to keep, and the record of who wrote what: it is the one case
    in which an object of somebody else's is changed in more than what stops it.
    """

    verb: ClassVar[str] = "lighten"
    ref: ObjectRef
    uid: str
    at: datetime
    """When that is asked for, which stands in the mark of it."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What is set in its spec with that; nothing where it is only to become smaller."""
    keep: tuple[str, ...] = ()
    """Names of labels that stay."""


@dataclass(frozen=True, slots=True)
class AskNode:
    """Ask the component on a pod's node to bring it into a state: make its PodControl, or change the one there is."""

    verb: ClassVar[str] = "ask node"
    ref: ObjectRef
    """The PodControl: its name is the pod's UID."""
    body: Mapping[str, Any]
    """The PodControl, where there is none; its `spec.state` is what is asked for."""
    uid: str | None = None
    """UID of the PodControl that is known, which is changed if it still has that; None where none is."""

    @property
    def state(self) -> str:
        """Running, Frozen or Killed."""
        state: str = self.body["spec"]["state"]
        return state


LiveRead = Get | ListPods | GetPod | FindPods | Recall | GetTemplate | AccessReview
Request = LiveRead | GetLease | Create | Patch | Suspend | Lighten | Delete | AskNode
