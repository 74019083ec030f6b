"""Pods that were frozen, and that nobody asks to be frozen any more: these go on.

A freeze outlasts the component that asked the kernel for it. So it can outlast its PodControl, too: where that went
while the component was away.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from agentstop.node.cgroups import PodCgroup
from agentstop.node.layouts import pod_cgroup, pod_uids

log = logging.getLogger(__name__)


def thaw_leftovers(root: Path, asked: Collection[tuple[str, str]], namespaces: Collection[str]) -> bool:
    """Thaw what the component froze and no PodControl names any more; return whether nothing of that is left.

    `asked` has the namespace and the pod's UID of each PodControl of this node. Without `namespaces` these are all
    there are; otherwise what was frozen for another namespace may be asked for by an object that is not seen.
    """
    try:
        uids = list(pod_uids(root))
    except OSError as error:
        log.warning("the pods below %s cannot be seen: %s", root, error.strerror)
        return False
    tidy = True
    for uid in uids:
        try:
            found = pod_cgroup(root, uid)
            mark = PodCgroup(found).mark if found is not None else None
            if found is None or mark is None or (mark, uid) in asked or (namespaces and mark not in namespaces):
                continue
            PodCgroup(found).thaw()
            log.info("pod %s of namespace %s is thawed: no PodControl names it any more", uid, mark)
        except FileNotFoundError:
            continue  # it went meanwhile
        except OSError as error:
            log.warning("pod %s is frozen without a PodControl and cannot be thawed: %s", uid, error.strerror)
            tidy = False
    return tidy
