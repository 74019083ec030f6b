"""What the nodes are asked to freeze and to let go, and what their word says of pods in all states."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.cache import Cache
from agentstop.lifecycle.effects import Freeze, Start, Terminate, Thaw, WorkloadEffect
from agentstop.lifecycle.observation import FreezeState, Task
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import ObjectRef, Rejection
from agentstop.workloads.pods.controls import ANSWER_AFTER, DONE_AFTER
from agentstop.workloads.pods.node_freezes import together
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.pods.termination import IN_PLACE_AFTER
from agentstop.workloads.requests import AskNode, Delete, Request
from tests.unit.objects import ADOPTS, NAMESPACE, POD_REF, POD_UID, Raw, at, ended, raw_pod, task, waiting, when

CONTROL = ObjectRef("PodControl", NAMESPACE, POD_UID, "agentstop.dev/v1alpha1")
SPEC: Raw = {"nodeName": "n", "podUID": POD_UID, "taskName": "x"}
GOING: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
IN_PLACE: Raw = {"activeDeadlineSeconds": 1}
STOP = Terminate(None, PodPolicy.KEEP, None)
KILL = Terminate(None, PodPolicy.KEEP, at(30), by_nodes=True)
ASKED = 20.0
"""When the node was asked."""


def whose(*, frozen: bool = False, gone: bool = False, adopted: bool = False) -> Task:
    pods = [{"name": "x", "uid": POD_UID, "node": "n", "phase": "Running"} | ({"frozenAt": when(10)} if frozen else {})]
    workload = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID, "pods": pods}
    return replace(task(ADOPTS if adopted else None, {"phase": "Running", "workload": workload}), gone=gone)


def answered(state: str, *, generation: int = 1) -> Raw:
    return {"observedGeneration": generation, "state": state, "since": when(21)}


def cannot(reason: str) -> Raw:
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": "it cannot"}
    return {"observedGeneration": 1, "conditions": [ready]}


def control(state: str = "Frozen", status: Raw | None = None, *, generation: int = 1, **spec: Any) -> Raw:
    named = {"namespace": NAMESPACE, "name": POD_UID, "uid": "control", "resourceVersion": str(generation)}
    spec = SPEC | {"state": state} | spec
    return {"metadata": named | {"generation": generation}, "spec": spec, "status": status or {}}


def cluster(*controls: Raw, pod: Raw | None = None, absent: bool = False) -> Cache:
    cache = Cache()
    cache.objects.see(POD_REF, raw_pod() if pod is None else pod, at(5))
    if absent:
        cache.objects.see_absent(POD_REF, at(15))
    for each in controls:
        cache.controls.put(each, at(ASKED))
    return cache


def asked(cache: Cache, effect: WorkloadEffect, now: float = 25, task: Task | None = None) -> list[tuple[str, Any]]:
    requests = POD.plan_requests(task or whose(), effect, cache.lister, at(now))
    return [(each.state, each.uid) for each in requests if isinstance(each, AskNode)]


def freeze_state(cache: Cache, now: float = 25, task: Task | None = None) -> FreezeState:
    return POD.observe(task or whose(), cache.lister, at(now)).freeze_state


def frozen_at(cache: Cache, task: Task | None = None) -> Any:
    workload = POD.observe(task or whose(), cache.lister, at(25)).workload
    assert workload is not None
    return workload.pods[0].frozen_at


# What is asked for


def test_a_freeze_is_asked_for_by_an_object_that_goes_with_the_pod() -> None:
    (request,) = POD.plan_requests(whose(), Freeze(), cluster().lister, at(25))

    assert isinstance(request, AskNode)
    assert (request.ref, request.uid, request.body["spec"]) == (CONTROL, None, SPEC | {"state": "Frozen"})
    (owner,) = request.body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Pod", POD_UID)


@pytest.mark.parametrize(
    ("known", "effect", "wanted"),
    [
        (control("Frozen"), Freeze(), []),
        (control("Running"), Freeze(), [("Frozen", "control")]),
        (control("Killed"), Freeze(), []),
        (control("Frozen"), Thaw(), [("Running", "control")]),
        (control("Running"), Thaw(), []),
        (control("Killed"), Thaw(), []),
        (control(nodeName="another"), Freeze(), []),
        (control(nodeName="another"), Thaw(), []),
    ],
)
def test_a_state_is_asked_for_once_and_a_kill_is_for_good(
    known: Raw, effect: WorkloadEffect, wanted: list[tuple[str, str]]
) -> None:
    assert asked(cluster(known), effect) == wanted


def test_nobody_is_asked_to_thaw_what_nobody_froze() -> None:
    assert asked(cluster(), Thaw()) == []
    assert asked(cluster(), Thaw(), task=whose(frozen=True)) == [("Running", None)], "by the record it is frozen"


@pytest.mark.parametrize(
    "pod",
    [
        raw_pod(spec={"nodeName": None}),
        raw_pod(status={"phase": "Succeeded", "containerStatuses": [ended()]}),
    ],
    ids=["on no node", "ended"],
)
def test_there_is_nothing_to_freeze(pod: Raw) -> None:
    assert asked(cluster(pod=pod), Freeze()) == []
    assert asked(cluster(pod=pod), Thaw(), task=whose(frozen=True)) == []


def test_what_is_gone_is_not_frozen() -> None:
    assert asked(cluster(absent=True), Freeze()) == []


def test_a_refusal_counts_for_a_while_and_is_said() -> None:
    cache = cluster()
    cache.objects.refuse(CONTROL, AskNode.verb, Rejection(404, "NotFound", "no such kind", at(20)))
    late = freeze_state(cache).late

    assert late is not None
    assert late.reason == "NodesNotAsked"
    assert "no such kind" in late.message
    assert asked(cache, Freeze()) == []
    assert asked(cache, Freeze(), 30) == [("Frozen", None)]


def test_what_ended_while_it_was_frozen_makes_room_for_the_next_one() -> None:
    over = raw_pod(status={"phase": "Failed", "containerStatuses": [ended(code=137)]})

    assert POD.plan_requests(whose(), Start(), cluster(pod=over).lister, at(25)) == (
        Delete(POD_REF, POD_UID, None, ends_processes=False),
    )
    assert POD.plan_requests(whose(adopted=True), Start(), cluster(pod=over).lister, at(25)) == ()
    assert POD.plan_requests(whose(adopted=True), Start(), cluster(absent=True).lister, at(25)) == (), (
        "not ours to make"
    )


# What is known


@pytest.mark.parametrize(
    ("known", "frozen", "held"),
    [
        (control(), False, True),
        (control(status=answered("Frozen")), True, True),
        (control(status=answered("Running")), False, True),
        (control(status=answered("Frozen"), generation=3), False, True),
        (control(status=answered("Frozen"), nodeName="another"), False, False),
        (control("Running", answered("Frozen"), generation=2), False, True),
        (control("Running", answered("Frozen", generation=2), generation=2), False, True),
        (control("Running", answered("Running"), generation=2), False, True),
        (control("Running", answered("Running", generation=2), generation=2), False, False),
        (control("Running", cannot("NoCgroupV2")), False, False),
        (control("Killed", answered("Killed")), False, False),
    ],
)
def test_only_the_answer_to_what_is_asked_for_now_counts(known: Raw, frozen: bool, held: bool) -> None:
    found = freeze_state(cluster(known), 60)

    assert (found.frozen, found.held) == (frozen, held)


def test_a_node_that_never_says_anything_has_frozen_nothing_after_a_while() -> None:
    cache, late = cluster(control("Running")), ASKED + ANSWER_AFTER.total_seconds()

    assert freeze_state(cache, late - 1).held
    assert not freeze_state(cache, late).held


def test_what_the_record_says_counts_until_the_node_is_asked_again() -> None:
    assert freeze_state(cluster(), task=whose(frozen=True)).held
    assert not freeze_state(cluster(control("Running", answered("Running"))), task=whose(frozen=True)).held


def test_the_evidence_has_since_when_by_the_nodes_clock() -> None:
    assert frozen_at(cluster(control(status=answered("Frozen")))) == at(21)
    assert frozen_at(cluster(control("Running", answered("Frozen"), generation=2))) == at(21), "it is until it is not"
    assert frozen_at(cluster(), whose(frozen=True)) == at(10)
    assert frozen_at(cluster(control()), whose(frozen=True)) == at(10), "its node has not said anything else"
    assert frozen_at(cluster(control(status=answered("Running"))), whose(frozen=True)) is None
    assert frozen_at(cluster(control(status=cannot("CgroupNotFound"))), whose(frozen=True)) is None
    over = raw_pod(status={"phase": "Failed", "containerStatuses": [ended(code=137)]})
    assert frozen_at(cluster(control(status=answered("Frozen")), pod=over)) is None


def test_a_node_that_cannot_let_it_go_on_is_not_said_to_have_done_so() -> None:
    refused = cluster(control("Running", cannot("CgroupRefused")))

    assert freeze_state(refused, 60, whose(frozen=True)).held
    assert not freeze_state(refused, 60).held, "it never was frozen"


def test_what_is_gone_and_not_proven_to_have_ended_is_not_frozen_for_ever() -> None:
    found = freeze_state(cluster(absent=True), task=whose(frozen=True))

    assert (found.frozen, found.held) == (False, False)


# What keeps it


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        ({"containers": [{"name": "main", "livenessProbe": {}}]}, {}, "LivenessProbe"),
        ({"initContainers": [{"name": "side", "restartPolicy": "Always", "livenessProbe": {}}]}, {}, "LivenessProbe"),
        ({"containers": [{"name": "main", "startupProbe": {}}]}, {}, "LivenessProbe"),
        ({"runtimeClassName": "kata"}, {}, "RuntimeClass"),
    ],
)
def test_a_pod_that_its_kubelet_would_end_is_refused(spec: Raw, status: Raw, reason: str) -> None:
    found = freeze_state(cluster(pod=raw_pod(spec=spec, status=status))).refused

    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize("probe", ["readinessProbe", "startupProbe"])
def test_other_probes_do_not_count(probe: str) -> None:
    state = {"name": "main", "started": True, "state": {"running": {"startedAt": when(1)}}}
    pod = raw_pod(spec={"containers": [{"name": "main", probe: {}}]}, status={"containerStatuses": [state]})

    assert freeze_state(cluster(pod=pod)).refused is None


def test_a_node_is_given_its_time_before_it_counts_as_silent() -> None:
    cache, late = cluster(control()), ASKED + ANSWER_AFTER.total_seconds()
    early, then = freeze_state(cache, late - 1), freeze_state(cache, late)

    assert (early.late, early.due_at) == (None, at(late))
    assert then.late is not None
    assert then.late.reason == "NodeComponentSilent"
    assert "freeze pod x" in then.late.message


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("Frozen", "NoCgroupV2", "NodeCannotFreeze"),
        ("Frozen", "HybridLayout", "NodeCannotFreeze"),
        ("Frozen", "Freezing", "KernelDoesNotFreeze"),
        ("Running", "CgroupRefused", "NodeCannotThaw"),
        ("Running", "Thawing", "KernelDoesNotThaw"),
    ],
)
def test_what_a_node_says_is_passed_on(state: str, reason: str, said: str | None) -> None:
    late = freeze_state(cluster(control(state, cannot(reason))), 60).late

    assert (late.reason if late is not None else None) == said


@pytest.mark.parametrize(("state", "reason"), [("Frozen", "Freezing"), ("Running", "Thawing")])
def test_a_kernel_is_given_its_time_before_it_counts_as_held_up(state: str, reason: str) -> None:
    was = {"state": "Running" if state == "Frozen" else "Frozen", "since": when(21)}
    cache, due = cluster(control(state, cannot(reason) | was)), ASKED + DONE_AFTER.total_seconds()
    early, then = freeze_state(cache, due - 1), freeze_state(cache, due)

    assert (early.late, early.due_at) == (None, at(due))
    assert then.late is not None
    assert "it cannot" in then.late.message
    assert then.held, "it may be frozen at any moment"
    assert not then.frozen


def test_it_is_known_since_when_a_node_is_asked_to_freeze() -> None:
    assert freeze_state(cluster()).asked_at is None
    assert freeze_state(cluster(control())).asked_at == at(ASKED)
    assert freeze_state(cluster(control(nodeName="another"))).asked_at is None
    assert freeze_state(cluster(control("Running"))).asked_at is None


def test_several_pods_are_asked_once_all_are_that_are_not_frozen() -> None:
    cold = FreezeState(frozen=True, asked_at=at(1))
    first, second, other = FreezeState(asked_at=at(5)), FreezeState(asked_at=at(6)), FreezeState()

    assert together([cold, second, first]).asked_at == at(5)
    assert together([cold, second, other]).asked_at is None


def test_a_podcontrol_of_another_node_is_said_to_be_forged() -> None:
    late = freeze_state(cluster(control(nodeName="another"))).late

    assert late is not None
    assert late.reason == "PodControlForged"


def test_a_pod_that_has_not_started_is_waited_for() -> None:
    pod = raw_pod(status={"phase": "Pending", "containerStatuses": [waiting()]})
    found = freeze_state(cluster(control(status=cannot("CgroupNotFound")), pod=pod))

    assert found.waits is not None
    assert (found.waits.reason, found.late) == ("PodNotStarted", None)
    assert asked(cluster(pod=pod), Freeze()) == [("Frozen", None)], "its node has it frozen as soon as it starts"


def test_a_kill_is_not_what_a_freeze_waits_for_nor_a_freeze_what_a_kill_waits_for() -> None:
    assert freeze_state(cluster(control("Killed")), 60).late is None
    assert POD.observe(whose(), cluster(control()).lister, at(60)).late is None


# A stop


def test_a_pod_that_is_deleted_is_thawed_once_it_was() -> None:
    frozen = control(status=answered("Frozen"))

    assert asked(cluster(frozen), STOP) == []
    assert asked(cluster(frozen, pod=raw_pod(metadata=GOING)), STOP) == [("Running", "control")]
    assert asked(cluster(pod=raw_pod(metadata=GOING)), STOP) == [], "it is not frozen"


def test_one_that_is_stopped_in_place_is_thawed_once_its_kubelet_has_begun() -> None:
    cache = cluster(control(status=answered("Frozen")), pod=raw_pod(spec=IN_PLACE))
    cache.objects.see(POD_REF, raw_pod(spec=IN_PLACE, version=2), at(30), signal=True)
    due = 30 + IN_PLACE_AFTER.total_seconds()

    assert asked(cache, STOP, due - 0.1) == []
    assert POD.observe(whose(), cache.lister, at(due - 0.1)).look_again_at == at(due)
    assert asked(cache, STOP, due) == [("Running", "control")]
    assert POD.observe(whose(), cache.lister, at(due)).look_again_at is None


def test_one_of_which_nothing_can_be_made_is_thawed_once_its_deletion_was_taken() -> None:
    odd: Raw = {"status": {"phase": "Running", "containerStatuses": 5}}
    cache = cluster(control(status=answered("Frozen")), pod=raw_pod() | odd)
    assert asked(cache, STOP) == []

    cache.objects.see(POD_REF, raw_pod(metadata=GOING, version=2) | odd, at(24), signal=True)
    seen = cache.lister.entries[POD_REF].seen
    assert isinstance(seen, PodRecord)
    assert seen.unreadable is not None
    assert asked(cache, STOP) == [("Running", "control")]


def test_a_kill_needs_no_thaw() -> None:
    cache = cluster(control(status=answered("Frozen")), pod=raw_pod(metadata=GOING))

    assert asked(cache, KILL) == [("Killed", "control")]


def test_a_pod_that_goes_with_its_task_is_thawed_when_it_goes_and_an_adopted_one_at_once() -> None:
    frozen = control(status=answered("Frozen"))

    def sent(pod: Raw, task: Task) -> list[Request]:
        return list(POD.plan_requests(task, Thaw(), cluster(frozen, pod=pod).lister, at(25)))

    deletion = Delete(CONTROL, "control", ends_processes=False)
    assert sent(raw_pod(), whose(gone=True)) == []
    assert sent(raw_pod(metadata=GOING), whose(gone=True)) == [deletion]
    assert sent(raw_pod(), whose(gone=True, adopted=True)) == [deletion]
    assert not freeze_state(cluster(), task=whose(frozen=True, gone=True)).held
