"""Pods whose containers are started again slowly, by a pull or a hook: that may go on when they are removed, unseen."""

import pytest

from agentstop.api.workload_status import WorkloadStatus
from agentstop.cluster.object_store import ObjectStore
from agentstop.lifecycle.observation import Observation, Proof, Task
from agentstop.workloads.controlled.membership import owned_pods_of
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Departure, Lister, PodGroup
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.restarting import Role, may_restart, rules_restart_all
from agentstop.workloads.requests import Recall
from tests.unit.objects import (
    NAMESPACE,
    NOW,
    POD_REF,
    POD_UID,
    Raw,
    at,
    end,
    ended,
    entry,
    pod,
    raw_pod,
    running,
    task,
    waiting,
    when,
)
from tests.unit.workloads.owners import JOB_UID, job_pod

from .pods.test_recorded import NODE_REF, alive

FORCED: Raw = {"deletionTimestamp": when(0), "deletionGracePeriodSeconds": 0}
GOING: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
PULLS: Raw = {"name": "main", "imagePullPolicy": "Always"}
HOOKED: Raw = {"name": "main", "lifecycle": {"postStart": {}}}
PROBE: Raw = {"livenessProbe": {"periodSeconds": 1}}
RULED: Raw = {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {}}]}
STOP: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
LONG_AFTER = 9000


def spec(container: Raw, policy: str = "Always") -> Raw:
    return {"restartPolicy": policy, "containers": [container]}


def stopping(workload: Raw | None = None) -> Task:
    known = workload or {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}
    return task(None, {"phase": "Stopping", "workload": known, "stop": STOP})


def see(found: CacheEntry, known: Raw | None = None) -> Observation:
    return POD.observe(stopping(known), Lister({POD_REF: found, NODE_REF: alive(LONG_AFTER)}), at(LONG_AFTER))


def on_record(found: CacheEntry) -> WorkloadStatus:
    """What the status says of a pod; nobody sees it going."""
    workload = see(found).workload
    assert workload is not None
    return workload


@pytest.mark.parametrize(
    ("container", "policy", "unseen", "seen"),
    [
        (PULLS, "Always", False, True),
        (HOOKED, "OnFailure", False, True),
        (PULLS | RULED, "Never", False, True),
        (PULLS | PROBE, "Always", False, False),
        (PULLS | PROBE, "Never", True, True),
        (PULLS, "Never", True, True),
        (PULLS | {"imagePullPolicy": "IfNotPresent"} | PROBE, "Always", True, True),
    ],
)
def test_what_runs_may_be_started_again_slowly(container: Raw, policy: str, unseen: bool, seen: bool) -> None:
    """A kubelet starts what failed its probe again without a word, and what ended by itself says so before."""
    for departure, proven in ((Departure.UNSEEN, unseen), (Departure.FORGOTTEN, unseen), (Departure.SEEN, seen)):
        last = pod(metadata=FORCED if departure is Departure.SEEN else {}, spec=spec(container, policy))
        found = see(entry(last, absent=True, departure=departure))
        assert (found.proof is Proof.GONE) is proven, departure
        assert (found.blocked is not None and found.blocked.reason == "KubeletBusy") is not proven
        assert (found.ending is not None) is proven, "it can be stopped while it may be started yet"


def test_what_was_asked_to_go_while_it_ran_is_not_started_again() -> None:
    last = pod(metadata=GOING, spec=spec(PULLS))
    assert see(entry(last, absent=True)).proof is Proof.GONE
    assert on_record(entry(last)).pods[0].restarts_slowly is None


@pytest.mark.parametrize(("over_at", "proven"), [(-1, False), (0, False), (1, True)])
def test_what_ended_in_the_second_of_the_removal_may_be_started_again(over_at: float, proven: bool) -> None:
    """Both are told in whole seconds: it may have ended, and be in its start hook once more, when the pod went."""
    status = {"containerStatuses": [ended(finished=over_at, started=-5)]}
    found = see(entry(pod(metadata=FORCED, spec=spec(HOOKED), status=status), absent=True, departure=Departure.SEEN))

    assert (found.proof is Proof.GONE) is proven
    assert (found.ending is not None) is proven


def test_an_init_container_runs_again_in_another_sandbox() -> None:
    both = {"initContainers": [PULLS | {"name": "init"}], "containers": [{"name": "main"}], "restartPolicy": "Always"}
    status: Raw = {"initContainerStatuses": [ended("init")], "containerStatuses": [running()]}

    assert see(entry(pod(spec=both, status=status), absent=True)).proof is None
    seen = entry(pod(metadata=FORCED, spec=both, status=status), absent=True, departure=Departure.SEEN)
    assert see(seen).proof is Proof.GONE


@pytest.mark.parametrize("departure", [None, Departure.SEEN])
@pytest.mark.parametrize("state", [running(), waiting(last=end(code=1))])
def test_it_is_on_record_for_a_process_that_sees_nothing_of_the_pod(state: Raw, departure: Departure | None) -> None:
    how = {"absent": True, "departure": departure} if departure is not None else {}
    last = pod(metadata=FORCED if how else {}, spec=spec(PULLS), status={"containerStatuses": [state]})
    known = on_record(entry(last, **how))
    proven = "running" in state["state"] and departure is Departure.SEEN

    found = see(CacheEntry(seen=None, absent=True, at=NOW), known.wire())
    assert (found.proof is Proof.GONE) is proven
    assert (found.blocked is not None and found.blocked.reason == "KubeletBusy") is not proven


def test_of_pods_that_are_not_shown_no_more_is_known() -> None:
    member = entry(read_pod(job_pod("a", spec=spec(PULLS))))
    group = PodGroup({"a-uid": member})
    members = owned_pods_of(JOB_UID, NAMESPACE, group, (), Lister())
    assert [each.started for each in members.left(group, asked=False)] == [False]


@pytest.mark.parametrize("known", [True, False], ids=["its watch was blind", "no operator ran"])
def test_the_api_server_is_asked_how_it_went(known: bool) -> None:
    store = ObjectStore()
    workload = on_record(entry(pod(spec=spec(PULLS)))).wire()
    if known:
        store.see(POD_REF, raw_pod(spec=spec(PULLS), version=7), NOW)
        store.mark_stale(POD_REF)
    store.see_absent(POD_REF, at(5))
    asked = Recall(POD_REF, (POD_UID,), "7" if known else "1")
    assert POD.required_reads(stopping(workload), store.lister, at(6)) == (asked,)

    over: Raw = {"phase": "Succeeded", "containerStatuses": [ended(code=0)]}
    store.recalled(POD_REF, (POD_UID,), [raw_pod(metadata=FORCED, spec=spec(PULLS), status=over, version=9)], at(6))
    assert POD.observe(stopping(workload), store.lister, at(7)).proof is Proof.ENDED


@pytest.mark.parametrize(
    ("container", "policy", "role", "expected"),
    [
        ({}, "Always", Role.MAIN, True),
        ({}, "OnFailure", Role.INIT, True),
        ({}, "Never", Role.MAIN, False),
        ({"restartPolicy": "Never"}, "Always", Role.MAIN, False),
        ({"restartPolicy": "Always"}, "Never", Role.SIDECAR, True),
        (RULED, "Never", Role.MAIN, True),
        ({"restartPolicyRules": RULED["restartPolicyRules"]}, "Never", Role.MAIN, False),
        ({}, "Always", Role.EPHEMERAL, False),
    ],
)
def test_which_containers_may_be_started_again(container: Raw, policy: str, role: Role, expected: bool) -> None:
    assert may_restart(container, policy, role) is expected


@pytest.mark.parametrize(("action", "restarts"), [("RestartAllContainers", False), ("Restart", True)])
def test_a_rule_of_one_container_may_start_all_again(action: str, restarts: bool) -> None:
    ruled = {"name": "other", "restartPolicy": "Never", "restartPolicyRules": [{"action": action, "exitCodes": {}}]}
    both = {"restartPolicy": "Never", "containers": [PULLS, ruled]}
    assert rules_restart_all(both) is not restarts
    assert (see(entry(pod(spec=both), absent=True)).proof is Proof.GONE) is restarts
