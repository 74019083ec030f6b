"""One pod that is to be killed: what is done to its cgroup at one look, and what the kernel said then."""

import errno
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from agentstop.node.cgroups import PodCgroup, is_unified
from agentstop.node.layouts import pod_cgroup

GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})
"""What the kernel answers of a cgroup that was removed."""


class Outcome(StrEnum):
    """What came of a look; a reason of the condition Ready, too."""

    EMPTY = "Empty"
    """No process is left, and none can be started in the cgroup."""
    KILLING = "Killing"
    """SIGKILL was sent, and processes are left: they are on their way out, or wait in the kernel."""
    HYBRID = "HybridLayout"
    """No process is left in the cgroup, but on this node a container could be started outside of it."""
    NO_CGROUP = "CgroupNotFound"
    """This node has no cgroup of the pod: its kubelet has not made one, or has removed it."""
    UNSUPPORTED = "NoCgroupV2"
    """The node has no cgroups of version 2 at this root, or its kernel cannot kill one as a whole."""
    REFUSED = "CgroupRefused"
    """The kernel does not let the component write."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one look."""

    outcome: Outcome
    message: str
    processes: int | None = None


EMPTY: Final = Look(Outcome.EMPTY, "The kernel says that no process of the pod is left, and none can be started", 0)


HYBRID: Final = Look(
    Outcome.HYBRID,
    "What ran is killed; beside cgroups of version 1, the runtime of this node may start a container outside of those"
    " of version 2, so that the kubelet has to say that nothing is left",
    0,
)


class Killing:
    """Kills one pod: again and again, until the kernel says that nothing is left.

    `alone` says that no container of the node is started outside of these cgroups.
    """

    def __init__(self, root: Path, uid: str, *, alone: bool) -> None:
        self._root = root
        self._over = EMPTY if alone else HYBRID
        self._uid = uid
        self._closed = False

    def look(self) -> Look:
        """Close the pod's cgroup, kill what is in it, and say what is left."""
        if not is_unified(self._root):
            return Look(Outcome.UNSUPPORTED, f"{self._root} is no root of cgroups of version 2, so nothing is done")
        try:
            found = pod_cgroup(self._root, self._uid)
            look = self._kill(PodCgroup(found)) if found is not None else None
        except OSError as error:
            if error.errno not in GONE:
                return Look(Outcome.REFUSED, f"The kernel does not let the pod's cgroup be killed: {error.strerror}")
            look = None
        if look is not None:
            return look
        if self._closed:
            # Only one without processes can be removed, and since it was closed nothing came in.
            return self._over
        return Look(Outcome.NO_CGROUP, "The node has no cgroup of this pod; if one is made, it is killed at once")

    def _kill(self, cgroup: PodCgroup) -> Look:
        if not cgroup.killable:
            return Look(Outcome.UNSUPPORTED, "The kernel of this node cannot kill a cgroup, which takes Linux 5.14")
        cgroup.close()
        self._closed = True
        if cgroup.populated:
            cgroup.kill()
        cgroup.prune()
        # In this order: what was put into a cgroup that is still there counts, and where there is none nothing can be.
        if cgroup.pruned and not cgroup.populated:
            return self._over
        left = cgroup.count()
        return Look(Outcome.KILLING, f"SIGKILL was sent; {left} processes are left", left)
