"""The smallest tests of mistakes that the random histories found."""

from dataclasses import replace

import pytest

from agentstop.api.task import Phase, StopSource, StopStatus, Verdict
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.observation import Observation
from agentstop.workloads.controlled.owned_pod import OwnedPod
from agentstop.workloads.controlled.owned_pods import OwnedPods
from agentstop.workloads.controlled.pod_owner import of_the_stop
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Lister
from agentstop.workloads.pods.record import COLLECTED, STOP_MANAGER, Disruption, PodRecord
from tests.unit.objects import NAMESPACE, NOW, POD_REF, POD_UID, Raw, at, ended, entry, pod, running, task, when

from .pods.test_recorded import NODE_REF, alive, evidence

GONE = CacheEntry(seen=None, absent=True, at=NOW)
KNOWN: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}


def unseen(kill: float, now: float, **on_record: object) -> Observation:
    """What is seen of a pod that was removed by force while no operator looked, after its stop was on record."""
    found = {name: value for name, value in (evidence(None) | on_record).items() if value is not None}
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(kill)}
    stopping = task(None, {"phase": "Stopping", "workload": KNOWN | {"pods": [found]}, "stop": stop})
    return POD.observe(stopping, Lister({POD_REF: GONE, NODE_REF: alive(now)}), at(now))


def collected(grace: int) -> PodRecord:
    """A pod that the garbage collector took away with its Node while it ran."""
    status = {"phase": "Failed", "startTime": when(-5), "containerStatuses": [running()]}
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": grace}
    return pod(metadata={"deletionTimestamp": when(0), "deletionGracePeriodSeconds": 0}, spec=spec, status=status)


def test_the_grace_period_on_record_counts_for_a_stopped_pod_too() -> None:
    assert unseen(5, 80, gracePeriodSeconds=105).proof is None


@pytest.mark.parametrize("phase", ["Pending", "Unknown", None])
def test_a_pod_whose_containers_are_not_on_record_may_be_starting_one(phase: str | None) -> None:
    found = unseen(30, 900, phase=phase, containers=[])

    assert (found.proof, found.blocked and found.blocked.reason) == (None, "KubeletBusy")


def test_a_deleted_node_proves_nothing_before_the_grace_period_is_over_that_runs() -> None:
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(2), "gracePeriodSeconds": 1}
    status = {"phase": "Stopping", "startedAt": when(-5), "workload": KNOWN, "stop": stop}
    spec = {"podTemplate": {}, "stopRequested": True, "stop": {"gracePeriodSeconds": 1}}
    stopping = task(spec, status)
    lister = Lister({POD_REF: entry(collected(60), absent=True), NODE_REF: GONE})

    assert decide(stopping, POD.observe(stopping, lister, at(20)), at(20)).status.phase is Phase.STOPPING


def test_a_node_that_is_registered_again_at_once_has_ended_nothing() -> None:
    running_on = task(None, {"phase": "Running", "startedAt": when(-5), "workload": KNOWN})
    seen = replace(collected(30), disruption=Disruption(COLLECTED, None, at(0)))
    lister = Lister({POD_REF: entry(seen, absent=True), NODE_REF: alive(2)})
    assert POD.observe(running_on, lister, at(2)).ending is None

    lister = Lister({POD_REF: entry(seen, absent=True), NODE_REF: alive(900)})
    ending = POD.observe(running_on, lister, at(900)).ending
    assert ending is not None
    assert not ending.succeeded


def test_the_grace_period_of_pods_that_are_gone_is_the_workloads_own_still() -> None:
    gone = collected(60)
    assert OwnedPods(NAMESPACE, (OwnedPod(gone, entry(gone, absent=True)),), (), ()).own_grace_seconds == 60


def test_when_the_pods_of_a_workload_were_killed_is_known_once_they_have_ended() -> None:
    hooked = {"name": "main", "lifecycle": {"preStop": {}}}
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 10, "containers": [hooked]}
    status = {"phase": "Failed", "startTime": when(-5), "containerStatuses": [ended(code=137, finished=12)]}
    over = pod(metadata={"deletionTimestamp": when(10), "deletionGracePeriodSeconds": 10}, spec=spec, status=status)
    assert over.killed_by == at(12)

    members = OwnedPods(NAMESPACE, (OwnedPod(over, entry(over)),), (), ())
    assert members.killed_by == at(12)
    for accepted, killed_by in ((10, at(12)), (13, None)):  # of a stop that came later it says nothing
        stop = StopStatus(source=StopSource.USER, accepted_at=at(accepted), signaled_at=at(accepted))
        assert of_the_stop(members, stop).killed_by == killed_by


@pytest.mark.parametrize(
    ("code", "finished", "verdict"), [(137, 5, "Killed"), (143, 5, "Graceful"), (137, 1, "Graceful")]
)
def test_what_an_eviction_kills_during_a_stop_is_not_graceful(code: int, finished: float, verdict: str) -> None:
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    evicted["lastTransitionTime"] = when(5)
    status = {"phase": "Failed", "startTime": when(-5), "conditions": [evicted]}
    status["containerStatuses"] = [ended(code=code, finished=finished)]
    over = pod(metadata={"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}, status=status)
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
    known = {"phase": "Stopping", "startedAt": when(-5), "workload": KNOWN, "stop": stop}
    stopping = task({"podTemplate": {}, "stopRequested": True}, known)
    seen = POD.observe(stopping, Lister({POD_REF: entry(over)}), at(6))

    record = decide(stopping, seen, at(6)).status.stop
    assert record is not None
    assert (record.verdict, record.kill_at) == (verdict, at(5) if verdict == "Killed" else at(30))


def test_a_kill_that_came_with_a_signal_from_before_a_crash_is_the_stops() -> None:
    """The mark of our signal is in the second of 3; a new process accepted the stop at 4.5 and reckons with 35."""
    mark = {"manager": STOP_MANAGER, "operation": "Update", "time": when(3)}
    spec = {"nodeName": "n", "activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 30}
    status: Raw = {"phase": "Failed", "reason": "DeadlineExceeded", "startTime": when(1)}
    status["containerStatuses"] = [ended(code=137, finished=33)]
    over = pod(metadata={"managedFields": [mark]}, spec=spec, status=status)
    stop = {"source": "User", "acceptedAt": when(4.5), "signaledAt": when(4.5), "killAt": when(35)}
    stopping = task(
        {"podTemplate": {}, "stopRequested": True},
        {"phase": "Stopping", "startedAt": when(1), "workload": KNOWN, "stop": stop | {"gracePeriodSeconds": 30}},
    )
    seen = POD.observe(stopping, Lister({POD_REF: entry(over)}), at(33.25))

    record = decide(stopping, seen, at(33.25)).status.stop
    assert record is not None
    assert record.verdict is Verdict.KILLED
