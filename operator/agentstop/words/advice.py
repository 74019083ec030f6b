"""What to do about what holds a task up, by the reason of its condition Stalled or Reconciling."""

from typing import Final

_IMAGE: Final = "correct the image, or the right to pull it; a task's image cannot be changed: create a new one"

GRACE_RUNS: Final = "GracePeriodRuns"
"""Reason of the Event that less time was asked for than ran already."""

ADVICE: Final = {
    GRACE_RUNS: "wait for SIGKILL: nothing in Kubernetes brings it forward. Whoever may act on node {node} can kill the"
    " processes there. Next time, ask for less with the first stop, or set spec.stop.gracePeriodSeconds before",
    "NodeUnreachable": "bring node {node} back; or, once it is certainly shut down, delete it or taint it"
    " node.kubernetes.io/out-of-service",
    "NodeDeleted": "make sure that the machine of node {node} is off: its Node object is gone, and it may run on. What"
    " it was starting is proven gone once it has rebooted and registered again, or once a Node {node} has taint"
    " node.kubernetes.io/out-of-service",
    "NodeUnknown": "look for the containers of the pod on the nodes that it may have been bound to: it went while"
    " nobody looked, and no object says where it was. Once there are none, set spec.stop.onUnconfirmed to MarkStopped,"
    " and spec.stopRequested to true where nobody stops the task yet",
    "NodeComponentSilent": "see that agentstop node runs on node {node}, and its log: it was asked to do something to"
    " the pod, as the message says",
    "PodControlForged": "delete the PodControl that the message names, and see who may make PodControls",
    "NodeCannotKill": "see what keeps agentstop node on node {node} from it; what its kubelet does goes on beside it",
    "NodeCannotFreeze": "see what keeps agentstop node on node {node} from it, or set spec.pausePolicy to Terminate to"
    " have the processes ended instead",
    "NodeCannotThaw": "see what keeps agentstop node on node {node} from it; a stop ends the task all the same",
    "KernelDoesNotFreeze": "see on node {node} what a process of the pod waits for (state D in ps), such as a disk or a"
    " network file system: it is frozen when that comes back, and runs no instruction of its own before. Stop the task"
    " if it must not go on",
    "KernelDoesNotThaw": "see on node {node} whether a cgroup above the pod's is frozen (cgroup.freeze), and by whom; a"
    " stop ends the task all the same",
    "KernelDoesNotKill": "see on node {node} what a process of the pod waits for (state D in ps), such as a disk or a"
    " network file system: it ends when that comes back, and at a reboot of the node at the latest",
    "NodesNotAsked": "have the operator ask the nodes (node.enabled in the chart), or set spec.pausePolicy to Terminate"
    " to have the processes ended instead",
    "LivenessProbe": "set spec.pausePolicy to Terminate to have the processes ended, or make the pod anew without the"
    " probe: its kubelet would end what is frozen",
    "RuntimeClass": "set spec.pausePolicy to Terminate: of what a pod of this runtime class runs, the kernel of its"
    " node may see nothing",
    "PodNotStarted": "wait for the pod to start: kubectl -n {namespace} describe pod says what keeps it",
    "NodeReadForbidden": "give the operator the right to get nodes",
    "DeleteForbidden": "give the operator the right to patch and delete pods in namespace {namespace}, or see which"
    " admission webhook refuses it; it is tried again all the time",
    "StopForbidden": "give the operator the right to get, list, watch and patch {workload} in namespace {namespace};"
    " it is tried again all the time",
    "ReadForbidden": "give the operator the right to get, list and watch pods in namespace {namespace}",
    "CreateForbidden": "see what refuses the pod: a quota, pod security, or a right that the operator lacks in"
    " namespace {namespace}",
    "BlockedByFinalizer": "see who put the finalizer on the pod, and remove it if they are gone: kubectl -n {namespace}"
    " get pods -l agentstop.dev/task={name} -o jsonpath='{{..metadata.finalizers}}'",
    "NotConfirmed": "look at the kubelet of node {node}: the grace period is over, and it has not reported the end",
    "KubeletBusy": "see what the kubelet of node {node} waits for: kubectl -n {namespace} describe pod; it ends the"
    " container once that is done. Where the pod is gone, only a reboot of the node proves the end, or its"
    " taint node.kubernetes.io/out-of-service once it is shut down",
    "AwaitingNode": "wait: the pod went before its end was seen, and node {node} has to answer until every grace period"
    " is over that may run there, and a minute more",
    "ControllerNotActing": "see whether the controller of {workload} runs: it was told to end the pods, and has not",
    "StartedAgain": "stop what starts {workload} again: a Workload of Kueue by spec.active: false, a GitOps tool by"
    " what is in Git, an autoscaler or an operator by a switch of its own",
    "FailedKillPod": "see what the kubelet of node {node} says: kubectl -n {namespace} describe pod; no process of the"
    " containers is left, but the pod's network or sandbox could not be taken down",
    "ChildStalled": "see what holds up the tasks below it: agentstop get {name} -n {namespace}",
    "ParentNotFound": "create the parent {parent}, or delete this task: it waits for it",
    "ParentTooDeep": "break the chain of parentRefs: it is too long, or a loop",
    "PodNameTaken": "delete the pod {name}, which is somebody else's, or create the task under another name",
    "PodNotOwned": "look at the owner references of the pods of {workload}",
    "PodsUnknown": "look for pods of {workload} that its selector does not find, and end them; or stop it by what made"
    " it",
    "PodTooLarge": "take off the pod what makes it large, such as its labels and annotations: the operator has tried",
    "WorkloadTooLarge": "take labels and annotations off {workload}: it is too large to be changed",
    "TaskTooLarge": "take labels and annotations off the task {name}: it is too large for its status",
    "StatusNotWritable": "see what refuses the status of the task {name}: a policy, a webhook or a missing right",
    "DecisionFailed": "look at the operator's log, and report it: it is a mistake in the operator",
    "PodUnreadable": "delete the pod of task {name}: nothing can be made of what it says of itself",
    "WorkloadUnreadable": "look at {workload}: nothing can be made of what it says of itself",
    "MultiplePods": "delete the surplus pods of {workload}: its controller ends none of them while there are several",
    "MainContainerNotFound": "create the task anew with a mainContainer that is one of the pod's containers",
    "WorkloadNotFound": "create {workload}, or delete the task: it waits for it",
    "WorkloadBeingDeleted": "wait for the deletion of {workload}, or see which finalizer keeps it",
    "WorkloadHalted": "let {workload} run (suspend: false, or replicas above 0), or pause and resume the task",
    "ClaimNotBound": "see why the claim has no sandbox: kubectl -n {namespace} describe {workload}",
    "Unschedulable": "make room: kubectl -n {namespace} describe pod says what the pod needs",
    "ImagePullBackOff": _IMAGE,
    "ErrImagePull": _IMAGE,
    "KindNotServed": "install what serves {workload}, or delete the task: it waits for it",
    "HeldByOrder": "lift the order that holds it: agentstop order list -n {namespace}",
}
"""One sentence a reason; the words in braces are the task's own."""

NEVER_FROZEN: Final = frozenset({"NodeCannotFreeze", "NodesNotAsked", "LivenessProbe", "RuntimeClass"})
"""Reasons for which a task cannot be frozen: of a freeze by an order its own pausePolicy changes nothing."""

RUNS_ON: Final = (
    "stop it if it must not run on: agentstop stop {name} -n {namespace}; an order ends nothing in place of a freeze"
)
"""What to do about one of those that an order means."""

ELSEWHERE: Final = "see what the Events and conditions say: agentstop get {name} -n {namespace}"
