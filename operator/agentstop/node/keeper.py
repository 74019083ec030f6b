"""One pod that is to be in a state: what is done to its cgroup at one look, and what the kernel said then."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentstop.node.cgroups import PodCgroup, is_unified
from agentstop.node.layouts import pod_cgroup
from agentstop.node.looks import Look, Outcome

GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})
"""What the kernel answers of a cgroup that was removed."""

RUNNING: Final = Look(Outcome.RUNNING, "The kernel says that the pod is not frozen")
THAWING: Final = Look(
    Outcome.THAWING, "The kernel was told to let the pod go on, and calls it frozen still; a cgroup above may be frozen"
)
FREEZING: Final = Look(
    Outcome.FREEZING, "The kernel was told to freeze the pod, and something in it runs; it may wait for a disk"
)
EMPTY: Final = Look(Outcome.EMPTY, "The kernel says that no process of the pod is left, and none can be started", 0)
HYBRID: Final = Look(
    Outcome.HYBRID,
    "What ran is killed; beside cgroups of version 1, the runtime of this node may start a container outside of those"
    " of version 2, so that the kubelet has to say that nothing is left",
    0,
)


class Keeper:
    """Brings one pod into a state and keeps it there, look by look.

    `namespace` is that of the PodControl. `alone` says that no container of the node is started outside of these
    cgroups.
    """

    def __init__(self, root: Path, uid: str, namespace: str, *, alone: bool) -> None:
        self._root = root
        self._uid = uid
        self._namespace = namespace
        self._over = EMPTY if alone else HYBRID
        self._closed = False
        self._frozen: Look | None = None
        """What was said when it became frozen: processes are counted once."""
        self._ways: dict[str, Callable[[PodCgroup], Look]] = {
            "Running": self._thaw,
            "Frozen": self._freeze,
            "Killed": self._kill,
        }

    def knows(self, state: str) -> bool:
        """Whether it is a state that a pod can be brought into."""
        return state in self._ways

    def look(self, state: str) -> Look:
        """Do what is still to be done to have the pod in this state, and say how it is. A killed one stays killed."""
        if not is_unified(self._root):
            return Look(Outcome.UNSUPPORTED, f"{self._root} is no root of cgroups of version 2, so nothing is done")
        state = "Killed" if self._closed else state
        look = None
        try:
            found = pod_cgroup(self._root, self._uid)
            look = self._ways[state](PodCgroup(found)) if found is not None else None
        except OSError as error:
            if error.errno not in GONE:
                look = Look(Outcome.REFUSED, f"The kernel refuses what the pod's cgroup is asked: {error.strerror}")
        self._frozen = look if look is not None and look.outcome is Outcome.FROZEN else None
        if look is not None:
            return look
        if self._closed:
            # Only one without processes can be removed, and since it was closed nothing came in.
            return self._over
        return Look(Outcome.NO_CGROUP, "The node has no cgroup of this pod; if one is made, it is seen to at once")

    def _freeze(self, cgroup: PodCgroup) -> Look:
        if not cgroup.freezable:
            return Look(Outcome.UNSUPPORTED, "The kernel of this node cannot freeze a cgroup, which takes Linux 5.2")
        if not cgroup.to_be_frozen or cgroup.mark != self._namespace:
            self._frozen = None
            cgroup.freeze(self._namespace)
        if not cgroup.frozen:
            return FREEZING
        return self._frozen or Look(Outcome.FROZEN, "The kernel says that nothing of the pod runs", cgroup.count())

    def _thaw(self, cgroup: PodCgroup) -> Look:
        if not cgroup.freezable:
            return RUNNING  # and never was anything else
        if cgroup.to_be_frozen:
            cgroup.thaw()
        return THAWING if cgroup.frozen else RUNNING

    def _kill(self, cgroup: PodCgroup) -> Look:
        # A frozen one stays so: what is in it ends all the same, and what is put into it meanwhile does no work.
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
