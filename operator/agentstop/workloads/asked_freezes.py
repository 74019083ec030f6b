"""What the nodes were asked to freeze for a task, by their PodControls: its own record may not have it yet."""

from agentstop.lifecycle.observation import Task
from agentstop.workloads.controlled.roster import known_pods
from agentstop.workloads.objects import Lister
from agentstop.workloads.pods.controls import FROZEN


def is_asked_to_freeze(task: Task, lister: Lister) -> bool:
    """Whether the node of a pod that a task has on record was asked to freeze it."""
    asked = (lister.controls.get((task.namespace, each.uid)) for each in known_pods(task.status.workload))
    return any(each is not None and each.state == FROZEN for each in asked)
