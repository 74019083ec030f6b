"""What is seen of a task's pod, and what is looked at before."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.task import Phase
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.observation import Observation, Presence, Proof, Task
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.kinds.scalable import SCALED
from agentstop.workloads.objects import Boot, CacheEntry, Departure, Lister, ObjectRef, Rejection, WatchTarget
from agentstop.workloads.pods.node import NodeRecord, read_node
from agentstop.workloads.registry import KINDS, SUPPORTED, kind_of, taken
from agentstop.workloads.requests import Get
from tests.unit.objects import (
    ADOPTS,
    NOW,
    POD_REF,
    POD_UID,
    Raw,
    at,
    end,
    ended,
    entry,
    owner,
    pod,
    running,
    task,
    waiting,
    when,
)

NODE_REF = ObjectRef("Node", "", "n")
RUNS: Raw = {"name": "main", "startedAt": when(-5)}
KNOWN: Raw = {
    "apiVersion": "v1",
    "kind": "Pod",
    "name": "x",
    "uid": POD_UID,
    "pods": [{"name": "x", "uid": POD_UID, "node": "n", "phase": "Running", "containers": [RUNS]}],
}
STOPPING: Raw = {
    "phase": "Stopping",
    "workload": KNOWN,
    "stop": {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)},
}
GOING: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}


def node(read_at: float, ready: str = "True", since: float = -900, taints: list[Raw] | None = None) -> CacheEntry:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": when(since)}
    raw = {"metadata": {"name": "n", "uid": "n"}, "spec": {"taints": taints}, "status": {"conditions": [condition]}}
    return CacheEntry(seen=read_node(raw), at=at(read_at))


def seen_at(seconds: float) -> CacheEntry:
    return CacheEntry(seen=pod(), at=at(seconds))


def see(
    task: Task,
    seen: CacheEntry | None,
    node: CacheEntry | None = None,
    now: float = 0,
    **rejections: tuple[ObjectRef, Rejection],
) -> Observation:
    entries = {ref: each for ref, each in ((POD_REF, seen), (NODE_REF, node)) if each is not None}
    refused: dict[tuple[WatchTarget, str], Rejection] = {
        (ref, verb): rejection for verb, (ref, rejection) in rejections.items()
    }
    return POD.observe(task, Lister(entries, refused), at(now))


def no(code: int, message: str = "no", now: float = 0) -> Rejection:
    return Rejection(code, "Why", message, at(now))


# Who it is


def test_nothing_is_known_before_it_was_looked_at() -> None:
    assert see(task(), None).presence is Presence.UNKNOWN


def test_no_pod_yet() -> None:
    seen = see(task(), entry(None, absent=True))

    assert (seen.presence, seen.blocked, seen.refused) == (Presence.ABSENT, None, None)


def test_our_own_pod() -> None:
    seen = see(task(), entry(pod()))

    assert seen.presence is Presence.PRESENT
    assert seen.started_at == at(1)
    assert seen.workload is not None
    assert seen.workload.uid == POD_UID
    assert (seen.signaled_at, seen.ending, seen.proof, seen.blocked) == (None, None, None, None)


@pytest.mark.parametrize("owners", [[], [owner("another")]])
def test_another_pod_has_the_name(owners: list[Raw]) -> None:
    seen = see(task(), entry(pod(metadata={"ownerReferences": owners})))

    assert seen.presence is Presence.ABSENT
    assert seen.blocked is not None
    assert seen.blocked.reason == "PodNameTaken"


def test_a_pod_that_loses_its_owner_is_still_the_one_we_know() -> None:
    known = task(None, {"phase": "Running", "workload": KNOWN})

    assert see(known, entry(pod(metadata={"ownerReferences": []}))).ending is None


def test_an_adopted_pod_that_does_not_exist_is_waited_for() -> None:
    seen = see(task(ADOPTS), entry(None, absent=True))

    assert seen.waiting is not None
    assert seen.waiting.reason == "WorkloadNotFound"


def test_a_pod_with_a_controller_is_refused_and_the_controller_named() -> None:
    seen = see(task(ADOPTS), entry(pod(metadata={"ownerReferences": [owner("u", "Job", "nightly")]})))

    assert seen.refused is not None
    assert seen.refused.reason == "WorkloadHasController"
    assert "point workloadRef at Job nightly" in seen.refused.message


def test_a_static_pod_is_refused_with_what_really_ends_it() -> None:
    mirror = pod(metadata={"ownerReferences": [owner(uid="node-uid", kind="Node", name="n")]})
    refused = see(task(ADOPTS), entry(mirror)).refused

    assert refused is not None
    assert (refused.reason, "manifest" in refused.message) == ("StaticPod", True)


def test_a_pod_that_somebody_takes_over_after_it_was_adopted_goes_on_elsewhere() -> None:
    taken_over = entry(pod(metadata={"ownerReferences": [owner(uid="rs-uid", kind="ReplicaSet", name="rs")]}))
    elsewhere = see(task(ADOPTS, {"workload": KNOWN, "phase": "Running"}), taken_over).elsewhere

    assert elsewhere is not None
    assert "ReplicaSet rs" in elsewhere.message
    assert see(task(None, {"workload": KNOWN, "phase": "Running"}), entry(pod())).elsewhere is None, "our own"


def test_a_pod_that_was_gone_before_it_was_adopted_is_none() -> None:
    bare = pod(metadata={"ownerReferences": []})

    assert see(task(ADOPTS), entry(bare, absent=True)).presence is Presence.ABSENT


def test_another_pod_of_the_adopted_ones_name_is_another_pod() -> None:
    adopting = task(ADOPTS, {"phase": "Running", "workload": KNOWN})
    seen = see(adopting, entry(pod(metadata={"ownerReferences": []}, uid="another")))

    assert seen.ending is not None
    assert seen.ending.word.reason == "WorkloadLost"


@pytest.mark.parametrize(
    ("code", "final", "reason"),
    [(422, True, "InvalidPodTemplate"), (400, True, "InvalidPodTemplate"), (403, False, "CreateForbidden")],
)
def test_a_refused_creation(code: int, final: bool, reason: str) -> None:
    seen = see(task(), entry(None, absent=True), create=(POD_REF, no(code, "spec.containers: Required value")))
    word = seen.refused if final else seen.blocked

    assert word is not None
    assert (word.reason, word.message) == (reason, "spec.containers: Required value")
    assert (seen.refused is None) is not final


def test_the_kinds_that_have_a_module() -> None:
    for (api_version, kind), module in KINDS.items():
        refers = task({"workloadRef": {"apiVersion": api_version, "kind": kind, "name": "x"}})
        assert kind_of(refers) is module
        assert f"{kind} of {api_version}" in SUPPORTED
    assert kind_of(task()) is POD


@pytest.mark.parametrize(("api_version", "kind"), [("v2", "Pod"), ("apps/v1", "Deployment"), ("example.com/v1", "Job")])
def test_whatever_else_there_is_may_be_scaled(api_version: str, kind: str) -> None:
    refers = task({"workloadRef": {"apiVersion": api_version, "kind": kind, "name": "x"}})

    assert kind_of(refers) is SCALED


def test_a_workload_that_is_another_tasks_is_refused_naming_that() -> None:
    refused = taken(task(ADOPTS), task(ADOPTS, name="first")).refused

    assert refused is not None
    assert refused.reason == "WorkloadTaken"
    assert "Pod x is the workload of AgentTask first already" in refused.message


# What it waits for


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        (
            {"nodeName": None},
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1"}]},
            "Unschedulable",
        ),
        ({}, {"containerStatuses": [waiting(reason="ImagePullBackOff")]}, "ImagePullBackOff"),
        ({}, {"containerStatuses": [running(), waiting("b", "CrashLoopBackOff")]}, "CrashLoopBackOff"),
        ({}, {}, None),
    ],
)
def test_what_the_pod_waits_for(spec: Raw, status: Raw, reason: str | None) -> None:
    waits = see(task(), entry(pod(spec=spec, status=status))).waiting

    assert (waits.reason if waits is not None else None) == reason


def test_a_main_container_that_is_not_there_is_said() -> None:
    blocked = see(task({"podTemplate": {}, "mainContainer": "agent"}), entry(pod())).blocked

    assert blocked is not None
    assert blocked.reason == "MainContainerNotFound"


# Proof


def proof(status: Raw, metadata: Raw | None = None, spec: Raw | None = None, **more: Any) -> Proof | None:
    seen = entry(pod(metadata=metadata, spec=spec, status=status), **more)
    return see(task(None, STOPPING), seen).proof


def test_what_the_node_reported_is_proof() -> None:
    assert proof({"phase": "Failed", "containerStatuses": [ended(code=137)]}) is Proof.ENDED
    assert proof({"phase": "Failed", "containerStatuses": [waiting()]}) is Proof.NEVER_STARTED
    assert proof({}) is None
    assert proof({}, GOING) is None


def test_what_is_cleaned_up_on_a_node_out_of_service_may_have_run() -> None:
    """The garbage collector of pods writes that it has failed, and there nothing tells it from a kubelet's word."""
    seen = entry(pod(metadata=GOING, status={"phase": "Failed", "containerStatuses": [waiting()]}))
    stopping = task(None, STOPPING)

    assert see(stopping, seen, node(900, "Unknown", taints=OUT_OF_SERVICE), 900).proof is Proof.NODE_FENCED
    assert see(stopping, seen, node(900, "Unknown"), 900).proof is Proof.NEVER_STARTED
    ran = entry(pod(metadata=GOING, status={"phase": "Failed", "containerStatuses": [ended()]}))
    assert see(stopping, ran, node(900, "Unknown", taints=OUT_OF_SERVICE), 900).proof is Proof.ENDED


def test_an_unbound_pod_that_is_going_can_not_be_started_any_more() -> None:
    unbound = {"phase": "Pending", "containerStatuses": None}

    assert proof(unbound, None, {"nodeName": None}) is None
    assert proof(unbound, GOING, {"nodeName": None}) is Proof.NEVER_STARTED
    assert proof(unbound, None, {"nodeName": None}, absent=True, departure=Departure.SEEN) is Proof.NEVER_STARTED


GONE = entry(pod(metadata=GOING), absent=True)
NO_NODE = CacheEntry(seen=None, absent=True, at=NOW)
UNREACHABLE: Raw = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "lastTransitionTime": when(-10)}
OUT_OF_SERVICE = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]


@pytest.mark.parametrize(
    ("seen", "node", "now", "expected"),
    [
        pytest.param(GONE, None, 900, None, id="the node was not looked at"),
        pytest.param(GONE, node(10), 10, None, id="removed by force: the grace period is running"),
        pytest.param(GONE, node(45), 45, None, id="a node is called ready for a while after its end"),
        pytest.param(GONE, node(91), 91, Proof.GONE, id="the node lived when all was over"),
        pytest.param(GONE, node(91), 200, Proof.GONE, id="the reading stays true"),
        pytest.param(GONE, node(91, since=80), 91, None, id="the node is only just back"),
        pytest.param(GONE, node(150, since=80), 150, Proof.GONE, id="the node is back for long"),
        pytest.param(GONE, node(900, ready="Unknown"), 900, None, id="the node does not answer"),
        pytest.param(GONE, node(900, "Unknown", taints=OUT_OF_SERVICE), 900, Proof.NODE_FENCED, id="out of service"),
        pytest.param(GONE, node(39, "Unknown", taints=OUT_OF_SERVICE), 39, None, id="it had answered before"),
        pytest.param(GONE, NO_NODE, 39, None, id="no such node: its machine may live"),
        pytest.param(GONE, NO_NODE, 40, Proof.NODE_FENCED, id="no such node: by then it has ended all"),
    ],
)
def test_a_pod_whose_object_is_gone(
    seen: CacheEntry, node: CacheEntry | None, now: float, expected: Proof | None
) -> None:
    assert see(task(None, STOPPING), seen, node, now).proof is expected


def held_up(status: Raw) -> Raw:
    """What is held up by a node that does not answer."""
    return status | {"conditions": [UNREACHABLE]}


@pytest.mark.parametrize("seen", [GONE, entry(None, absent=True)], ids=["it was seen", "the operator was down"])
@pytest.mark.parametrize(
    "status", [STOPPING, {"phase": "Pausing", "workload": KNOWN}, {"phase": "Running", "workload": KNOWN}]
)
def test_a_node_that_is_deleted_proves_at_once_only_what_had_not_answered_before(seen: CacheEntry, status: Raw) -> None:
    """Else its kubelet may go on without a Node object, and ends what it runs in the time that this has."""
    early, late = see(task(None, status), seen, NO_NODE, 39), see(task(None, status), seen, NO_NODE, 40)
    assert (early.proof, late.proof) == (None, Proof.NODE_FENCED)
    assert (early.ending, late.ending and late.ending.word.reason) == (None, "WorkloadLost"), "it can be stopped yet"
    assert early.look_again_at == at(40)
    assert early.late is not None
    assert (early.late.reason, f"{at(40):%H:%M:%S}" in early.late.message) == ("NodeDeleted", True)
    assert see(task(None, held_up(status)), seen, NO_NODE, 1).proof is Proof.NODE_FENCED


def test_what_runs_beside_a_main_container_has_the_time_too() -> None:
    ended_main = {"containerStatuses": [ended(finished=5), running("beside")]}
    gone = entry(pod(metadata=GOING, status=ended_main), absent=True, signaled_at=at(6))
    spec: Raw = {"podTemplate": {}, "mainContainer": "main"}
    running_task = task(spec, {"phase": "Running", "workload": KNOWN})
    early, late = see(running_task, gone, NO_NODE, 39), see(running_task, gone, NO_NODE, 40)
    assert early.main_ending is not None
    assert (early.proof, late.proof) == (None, Proof.NODE_FENCED)
    assert decide(running_task, early, at(39)).status.phase is Phase.RUNNING
    assert decide(running_task, late, at(40)).status.phase is Phase.COMPLETED


def test_a_pod_that_waits_for_its_removal_from_a_deleted_node_is_not_held_up_by_an_unreachable_one() -> None:
    """That would count as if the node had not answered before."""
    blocked = [see(task(None, each), entry(pod()), NO_NODE, 900).blocked for each in (STOPPING, held_up(STOPPING))]
    assert [each and each.reason for each in blocked] == ["NodeDeleted", "NodeUnreachable"]


STARTING: Raw = {"phase": "Pending", "containerStatuses": [waiting()]}
HOOKED: Raw = {"containers": [{"name": "main", "lifecycle": {"postStart": {}}}], "restartPolicy": "Always"}
AGAIN: Raw = {"containerStatuses": [waiting(reason="CrashLoopBackOff", last=end(1))]}
REMOVED = [entry(pod(metadata=GOING, status=STARTING), absent=True), entry(None, absent=True)]


def booted(read_at: float, boot_id: str, **more: Any) -> CacheEntry:
    seen = node(read_at, **more)
    assert isinstance(seen.seen, NodeRecord)
    return replace(seen, seen=replace(seen.seen, boot_id=boot_id), boots=(Boot(boot_id, at(read_at)),))


def recorded(boot_id: str | None, **container: Any) -> Raw:
    """A stop whose pod was on record, with a container that had not been started."""
    evidence = {
        "name": "x",
        "uid": POD_UID,
        "node": "n",
        "bootID": boot_id,
        "containers": [{"name": "main", **container}],
    }
    return STOPPING | {"workload": KNOWN | {"pods": [evidence]}}


@pytest.mark.parametrize("seen", REMOVED, ids=["it was seen", "the operator was down"])
def test_a_pod_removed_while_its_kubelet_starts_it_is_not_proven_gone_by_a_node_that_answers(seen: CacheEntry) -> None:
    first = see(task(None, recorded(None)), seen, booted(900, "one"), 900)
    assert (first.proof, first.blocked and first.blocked.reason) == (None, "KubeletBusy")
    assert first.workload is not None
    assert first.workload.pods[0].boot_id == "one", "what a reboot is told by is on record"

    stopping = task(None, recorded("one"))
    assert see(stopping, seen, booted(2000, "one", since=1500), 2000).proof is None, "it was away, and is the same"
    assert see(stopping, seen, booted(2000, "two"), 2000).proof is Proof.GONE
    assert see(stopping, seen, node(900, "Unknown", taints=OUT_OF_SERVICE), 900).proof is Proof.NODE_FENCED
    assert see(stopping, seen, entry(None), 0).proof is None, "a node of which nothing is known proves nothing"
    unknown = see(stopping, seen, booted(900, "one", ready="Unknown"), 900).blocked
    assert unknown is not None
    assert unknown.reason == "NodeUnreachable"


@pytest.mark.parametrize("late", [running(since=8), running(since=-9)], ids=["a pull", "a hook"])
def test_the_grace_period_runs_from_when_a_kubelet_was_through_with_a_start(late: Raw) -> None:
    """It was asked to end the pod meanwhile, and heard of that only then; the Node was deleted later on."""
    hooked = {"name": "main", "lifecycle": {"postStart": {}}} if late == running(since=-9) else {"name": "main"}
    status = {"phase": "Running", "startTime": when(-10), "containerStatuses": [late]}
    spec = {"nodeName": "n", "containers": [hooked]}
    going = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
    gone = replace(entry(pod(metadata=going, status=status, spec=spec), absent=True), at=at(20))
    stopping = task(None, STOPPING)
    assert see(stopping, gone, replace(NO_NODE, at=at(59)), 59).proof is None
    assert see(stopping, gone, replace(NO_NODE, at=at(60)), 60).proof is Proof.NODE_FENCED


def test_a_reboot_is_told_by_what_the_node_said_after_the_pod_had_gone() -> None:
    """Also where the boot ID is on no record: that of a task whose object is gone, or of one pod among many."""
    removed = replace(REMOVED[0], at=at(100))
    before, since, after = Boot("one", at(50)), Boot("two", at(150)), Boot("three", at(900))
    stopping = task(None, recorded(None))
    for boots, expected in (
        ((before, since), None),
        ((before, after), None),
        ((before, since, after), Proof.GONE),
    ):
        seen = replace(booted(900, boots[-1].boot_id), boots=boots)
        assert see(stopping, removed, seen, 900).proof is expected, boots


@pytest.mark.parametrize("seen", REMOVED, ids=["it was seen", "the operator was down"])
def test_a_pod_removed_while_its_kubelet_starts_it_is_not_lost_before_that_is_proven(seen: CacheEntry) -> None:
    pending = task(None, {"phase": "Pending", "workload": recorded("one")["workload"]})

    assert see(pending, seen, booted(900, "one"), 900).ending is None
    ending = see(pending, seen, booted(900, "two"), 900).ending
    assert ending is not None
    assert ending.word.reason == "WorkloadLost"


@pytest.mark.parametrize("seen", REMOVED, ids=["it was seen", "the operator was down"])
def test_the_deletion_of_its_node_proves_nothing_of_what_a_kubelet_starts(seen: CacheEntry) -> None:
    """However long ago that was: a pull has no end that anybody knows."""
    for stopping in (task(None, recorded("one")), task(None, {"phase": "Pending", **workload_of(recorded("one"))})):
        found = see(stopping, seen, NO_NODE, 9000)
        assert (found.proof, found.ending, found.blocked and found.blocked.reason) == (None, None, "NodeDeleted")
        back = replace(booted(9000, "one"), boots=(Boot("one", at(9000)),))
        assert see(stopping, seen, back, 9000).proof is None, "its kubelet was only started again, or somebody made it"
        assert see(stopping, seen, booted(9000, "two"), 9000).proof is Proof.GONE
    fenced = node(900, "Unknown", taints=OUT_OF_SERVICE)
    assert see(task(None, recorded("one")), seen, fenced, 900).proof is Proof.NODE_FENCED
    assert see(task(None, held_up(recorded("one"))), seen, NO_NODE, 1).proof is Proof.NODE_FENCED


def workload_of(status: Raw) -> Raw:
    return {"workload": status["workload"]}


@pytest.mark.parametrize("metadata", [GOING, {}], ids=["asked to go", "not asked to go"])
def test_the_boot_of_a_node_is_read_once_a_pod_that_it_starts_is_asked_to_go(metadata: Raw) -> None:
    """Later the Node object may be gone; before, another boot could start the pod anew."""
    starting = CacheEntry(seen=pod(metadata=metadata, status=STARTING), at=at(3))
    known = task(None, STOPPING)

    assert required_reads(known, starting, None, 3) == (["Node"] if metadata else [])
    seen = see(known, starting, booted(4, "one"), 4)
    assert seen.workload is not None
    assert seen.workload.pods[0].boot_id == ("one" if metadata else None)
    assert required_reads(known, starting, booted(4, "one"), 4) == []


def test_what_a_kubelet_does_before_it_acts_on_a_stop() -> None:
    stopping = task(None, STOPPING)
    busy = see(stopping, entry(pod(metadata=GOING, status=STARTING)), node(4), 4).busy
    assert busy is not None
    assert (busy.reason, "container main" in busy.message) == ("KubeletBusy", True)
    assert see(stopping, entry(pod(metadata=GOING)), None, 4).busy is None
    assert see(stopping, REMOVED[0], node(900), 900).busy is None, "it is not the pod that it waits for then"


def unreported(bound: float, asked: float) -> CacheEntry:
    """A pod that was removed by force so long after it was bound, and of which its kubelet had said nothing."""
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": when(bound)}
    status = {"phase": "Pending", "startTime": None, "containerStatuses": None, "conditions": [scheduled]}
    forced = {"deletionTimestamp": when(asked), "deletionGracePeriodSeconds": 0}
    return entry(pod(metadata=forced, status=status), absent=True)


@pytest.mark.parametrize(("bound", "asked", "busy"), [(0, 0, False), (0, 1, False), (0, 2, True), (0, 600, True)])
def test_a_pod_of_which_its_kubelet_had_said_nothing_may_be_started_yet(bound: float, asked: float, busy: bool) -> None:
    """Its first report was on the way; but nothing is pulled in the moment in which it is bound."""
    seen = unreported(bound, asked)
    found = see(task(None, STOPPING), seen, booted(900, "one"), 900)
    assert found.proof is (None if busy else Proof.NEVER_STARTED)
    assert (found.blocked and found.blocked.reason) == ("KubeletBusy" if busy else None)
    assert found.workload is not None
    again = task(None, STOPPING | {"workload": found.workload.wire()})
    for known in (seen, entry(None, absent=True)):  # and when the operator was down meanwhile
        if busy:
            assert see(again, known, booted(990, "one"), 990).proof is None
            assert see(again, known, booted(990, "two"), 990).proof is Proof.GONE
    running_task = task(None, {"phase": "Pending", "workload": found.workload.wire()})
    assert (see(running_task, seen, booted(990, "one"), 990).ending is None) is busy


@pytest.mark.parametrize(
    ("status", "spec", "proven"),
    [
        pytest.param({}, HOOKED, True, id="it runs: its hook is over"),
        pytest.param(AGAIN, {"restartPolicy": "Always"}, True, id="started again, which takes a moment"),
        pytest.param(AGAIN, HOOKED, False, id="started again with a hook"),
        pytest.param({"containerStatuses": [running(), ended("second")]}, {}, True, id="one of two has ended for good"),
    ],
)
def test_only_a_start_makes_a_kubelet_busy(status: Raw, spec: Raw, proven: bool) -> None:
    seen = entry(pod(metadata=GOING, status=status, spec=spec), absent=True)

    assert (see(task(None, STOPPING), seen, node(900), 900).proof is Proof.GONE) is proven


def test_a_pod_whose_end_nobody_saw() -> None:
    absent = CacheEntry(seen=None, absent=True, at=NOW)

    assert see(task(None, STOPPING), absent, node(10), 10).proof is None
    assert see(task(None, STOPPING), absent, node(91), 91).proof is Proof.GONE


@pytest.mark.parametrize(
    ("seen", "node", "reason"),
    [
        (GONE, node(900, "Unknown"), "NodeUnreachable"),
        (entry(pod()), node(900, "Unknown"), "NodeUnreachable"),
        (entry(pod(metadata=GOING)), node(900, "False"), "NodeUnreachable"),
        (entry(pod()), node(900), None),
        (
            entry(pod(metadata=GOING | {"finalizers": ["example.com/holds"]})),
            CacheEntry(seen=None, absent=True, at=at(900)),
            "BlockedByFinalizer",
        ),
    ],
)
def test_what_holds_up_the_end(seen: CacheEntry, node: CacheEntry, reason: str | None) -> None:
    blocked = see(task(None, STOPPING), seen, node, 900).blocked

    assert (blocked.reason if blocked is not None else None) == reason


def test_no_right_to_delete() -> None:
    blocked = see(task(None, STOPPING), entry(pod()), delete=(POD_REF, no(403))).blocked

    assert blocked is not None
    assert blocked.reason == "DeleteForbidden"


def test_without_the_right_to_read_nodes_nothing_is_proven() -> None:
    seen = see(task(None, STOPPING), GONE, None, 900, get=(NODE_REF, no(403, now=899)))

    assert seen.proof is None
    assert seen.blocked is not None


# What is looked at first


def required_reads(task: Task, seen: CacheEntry | None, node: CacheEntry | None = None, now: float = 0) -> list[str]:
    entries = {ref: each for ref, each in ((POD_REF, seen), (NODE_REF, node)) if each is not None}
    found = POD.required_reads(task, Lister(entries), at(now))
    refs = [each.ref for each in found if isinstance(each, Get)]
    assert len(refs) == len(found)
    return [ref.kind for ref in refs]


@pytest.mark.parametrize(
    ("status", "seen", "node", "now", "expected"),
    [
        pytest.param({}, None, None, 0, ["Pod"], id="never seen"),
        pytest.param({}, entry(pod()), None, 0, [], id="known"),
        pytest.param({}, entry(pod(), stale=True), None, 0, ["Pod"], id="doubted"),
        pytest.param({}, entry(pod(metadata={"ownerReferences": []})), None, 1, [], id="in the way"),
        pytest.param({}, entry(pod(metadata={"ownerReferences": []})), None, 61, ["Pod"], id="still in the way"),
        pytest.param(STOPPING, entry(pod()), None, 1, [], id="in its grace period"),
        pytest.param(STOPPING, entry(pod()), None, 30, ["Pod", "Node"], id="late"),
        pytest.param(STOPPING, seen_at(28), node(28), 30, [], id="late, looked at just now"),
        pytest.param(STOPPING, seen_at(28), node(20), 30, ["Node"], id="late, its node looked at a while ago"),
        pytest.param(STOPPING, GONE, node(-1), 1, ["Node"], id="gone, the node looked at before that"),
        pytest.param({"phase": "Stopped"}, None, None, 0, [], id="over"),
    ],
)
def test_looks(status: Raw, seen: CacheEntry | None, node: CacheEntry | None, now: float, expected: list[str]) -> None:
    assert required_reads(task(None, status), seen, node, now) == expected


# Who is followed by name


@pytest.mark.parametrize(
    ("spec", "status", "seen", "followed"),
    [
        (None, {}, None, False),
        (None, {}, entry(pod()), False),
        (None, {}, entry(pod(metadata={"labels": {}})), True),
        (ADOPTS, {}, None, True),
        (ADOPTS, {"phase": "Stopped"}, None, False),
    ],
)
def test_what_no_label_of_ours_leads_to_is_followed(
    spec: Raw | None, status: Raw, seen: CacheEntry | None, followed: bool
) -> None:
    surroundings = Lister({POD_REF: seen} if seen is not None else {})

    assert POD.watches(task(spec, status), surroundings) == ((POD_REF,) if followed else ())


PROBED: Raw = {"name": "main", "livenessProbe": {"terminationGracePeriodSeconds": 270}}


@pytest.mark.parametrize("spec", [{}, {"containers": [PROBED]}], ids=["a deletion before", "a probe, and once more"])
def test_removal_by_force_shortens_no_grace_period_that_runs(spec: Raw) -> None:
    """Neither that of a probe that failed, nor a longer one of a deletion before the last."""
    first = {"deletionTimestamp": when(300), "deletionGracePeriodSeconds": 300} if not spec else GOING
    shorter = {"deletionTimestamp": when(3), "deletionGracePeriodSeconds": 1} if not spec else GOING
    status = {"containerStatuses": [running()]}
    seen = pod(metadata=shorter, spec=spec, status=status).following(pod(metadata=first, spec=spec, status=status))

    gone = entry(seen, absent=True)
    assert see(task(None, STOPPING), gone, node(350), 350).proof is None
    assert see(task(None, STOPPING), gone, node(361), 361).proof is Proof.GONE


LIVELY: Raw = {"containers": [{"name": "main", "livenessProbe": {"terminationGracePeriodSeconds": 40}}]}


@pytest.mark.parametrize(
    ("status", "spec", "reason"),
    [
        ({"containerStatuses": [running()]}, {}, None),
        ({"containerStatuses": [ended()]}, {}, "FailedKillPod"),
        ({"containerStatuses": [ended(), running("other")]}, {}, None),
        ({"containerStatuses": [running()]}, LIVELY, "KubeletBusy"),
        ({"containerStatuses": [running()]}, LIVELY | {"terminationGracePeriodSeconds": 60}, "KubeletBusy"),
        ({"phase": "Failed", "containerStatuses": [ended()]}, {}, None),
    ],
    ids=[
        "nobody knows",
        "no container is left",
        "one is left",
        "a probe",
        "a probe, and a longer time of its own",
        "over",
    ],
)
def test_what_a_late_end_waits_for(status: Raw, spec: Raw, reason: str | None) -> None:
    """That of a pod that was given 30 seconds."""
    late = see(task(None, STOPPING), entry(pod(metadata=GOING, spec=spec, status=status)), node(900), 900).late

    assert (late and late.reason) == reason


@pytest.mark.parametrize(("grace", "on_record"), [(30, None), (5, 5), (300, 300)])
def test_a_long_grace_period_is_on_record_for_when_the_pod_is_removed_unseen(grace: int, on_record: int | None) -> None:
    seen = see(task(None, {"phase": "Running"}), entry(pod(spec={"terminationGracePeriodSeconds": grace})))
    assert seen.workload is not None
    (evidence,) = seen.workload.pods
    assert evidence.grace_period_seconds == on_record

    asked = {"source": "User", "acceptedAt": when(0)}
    stopping = task(None, {"phase": "Stopping", "stop": asked, "workload": seen.workload.wire()})
    due = grace
    assert see(stopping, entry(None, absent=True), node(due + 50), due + 50).proof is None
    assert see(stopping, entry(None, absent=True), node(due + 61), due + 61).proof is Proof.GONE
