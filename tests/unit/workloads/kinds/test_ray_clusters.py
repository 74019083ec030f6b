"""RayClusters of KubeRay: suspended, and proven by their pods."""

from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.lifecycle.effects import Start, Terminate
from agentstop.lifecycle.observation import Observation, Proof, Reason, Task
from agentstop.workloads.kinds.ray_cluster import RAY_API, RAY_CLUSTER, RAY_LABEL, ray_selector, read_ray_cluster
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodsOf
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import Delete, ListPods, Meaning, Patch, Request
from tests.unit.objects import NAMESPACE, Raw, at, ended, raw_pod, task, when
from tests.unit.workloads.owners import controller, raw_owner

REF = ObjectRef("RayCluster", NAMESPACE, "x", RAY_API)
PODS = PodsOf(NAMESPACE, ray_selector("x"))
SPEC: Raw = {"workloadRef": {"apiVersion": RAY_API, "kind": "RayCluster", "name": "x"}}
WORKLOAD: Raw = {"apiVersion": RAY_API, "kind": "RayCluster", "name": "x", "uid": "ray-uid"}
ACCEPTED: Raw = {"source": "User", "acceptedAt": when(10), "signaledAt": when(10), "killAt": when(40)}
STOPPING = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED})
PAUSING = task(SPEC | {"paused": True}, {"phase": "Pausing", "workload": WORKLOAD, "startedAt": when(1)})

HALT = Terminate(None, PodPolicy.KEEP, None)
SUSPEND: Raw = {"spec": {"suspend": True}}
OVER: Raw = {"phase": "Succeeded", "containerStatuses": [ended(finished=12)]}


def conditions(*, suspending: str = "False", suspended: str = "False", since: float = 12) -> Raw:
    """The status in which KubeRay says how far a suspension has come."""
    found = {"RayClusterSuspending": suspending, "RayClusterSuspended": suspended}
    times = {"lastTransitionTime": when(since)}
    return {"conditions": [{"type": each, "status": value, "reason": each} | times for each, value in found.items()]}


UNHEARD = conditions(since=1)
SUSPENDING = conditions(suspending="True", since=11)
SUSPENDED = conditions(suspended="True")


def cluster(status: Raw | None = None, *, suspend: bool | None = True, **metadata: Any) -> Raw:
    return raw_owner("raycluster", spec={"suspend": suspend}, status=status, **metadata)


def pod(name: str = "x-head-1", *, owner: Raw | None = None, **changes: Any) -> Raw:
    metadata: Raw = {
        "name": name,
        "labels": {RAY_LABEL: "x"},
        "ownerReferences": [owner or controller("RayCluster", "x", "ray-uid", RAY_API)],
    }
    return raw_pod(metadata=metadata, uid=f"{name}-uid", **changes)


def lister(raw: Raw, *pods: Raw, listed: float | None = 15, signaled: float | None = 10, gone: bool = False) -> Lister:
    signal = at(signaled) if signaled is not None else None
    known = {REF: CacheEntry(seen=read_ray_cluster(raw), at=at(11), signaled_at=signal, absent=gone)}
    group = PodGroup({}, at(listed) if listed is not None else None)
    for each in pods:
        seen = read_pod(each)
        group.pods[seen.uid] = CacheEntry(seen=seen, at=at(11))
    return Lister(known, groups={PODS: group})


def observe(of: Task, known: Lister, now: float = 20) -> Observation:
    return kind_of(of).observe(of, known, at(now))


def sent(of: Task, effect: Terminate | Start, known: Lister, now: float = 20) -> tuple[Request, ...]:
    return kind_of(of).plan_requests(of, effect, known, at(now))


def refusal(raw: Raw) -> Reason:
    refused = observe(task(SPEC), lister(raw)).refused
    assert refused is not None
    return refused


# What KubeRay says of itself


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        pytest.param(UNHEARD, False, id="it has not heard of it"),
        pytest.param(SUSPENDING, False, id="it has begun"),
        pytest.param(SUSPENDED, True, id="it is done"),
        pytest.param(UNHEARD | {"state": "suspended"}, False, id="a state from before a resume"),
        pytest.param({"conditions": None, "state": "ready"}, False, id="1.2: it has not heard of it"),
        pytest.param({"conditions": None, "state": "suspended"}, True, id="1.2: it is done"),
    ],
)
def test_a_suspended_one_is_settled_once_kuberay_says_so(status: Raw, settled: bool) -> None:
    seen = read_ray_cluster(cluster(status))

    assert (seen.halted, seen.settled, seen.ending) == (True, settled, None)


@pytest.mark.parametrize("suspend", [None, False])
def test_one_that_runs_is_not_halted(suspend: bool | None) -> None:
    seen = read_ray_cluster(cluster(suspend=suspend))

    assert (seen.halted, seen.settled, seen.selector) == (False, False, "ray.io/cluster=x")


def test_since_when_it_is_suspended() -> None:
    assert read_ray_cluster(cluster(SUSPENDED)).settled_at == at(12)


@pytest.mark.parametrize(
    ("times", "since"),
    [
        pytest.param({"ready": when(1), "suspended": when(12)}, 12, id="1.2"),
        pytest.param(None, 0, id="1.1 does not say, so it may be of any time since it was made"),
    ],
)
def test_since_when_an_older_kuberay_says_that_it_is_suspended(times: Raw | None, since: float) -> None:
    status = {"conditions": None, "state": "suspended", "stateTransitionTimes": times}

    assert read_ray_cluster(cluster(status)).settled_at == at(since)


# A stop


def test_a_stop_suspends_it_and_leaves_its_pods_alone() -> None:
    known = lister(cluster(suspend=False), pod(), pod("x-worker-1"))

    assert sent(STOPPING, HALT, known) == (Patch(REF, "ray-uid", SUSPEND, Meaning.STOP),)


def test_it_is_proven_by_its_word_a_list_and_the_end_of_its_pods() -> None:
    over = pod(status=OVER)

    assert observe(STOPPING, lister(cluster(SUSPENDED), over)).proof is Proof.ENDED
    assert observe(STOPPING, lister(cluster(SUSPENDING), over)).proof is None
    assert observe(STOPPING, lister(cluster(SUSPENDED), over, listed=9)).proof is None
    assert observe(STOPPING, lister(cluster(SUSPENDED), over, pod("x-worker-1"))).proof is None


def test_a_pod_that_it_had_not_seen_when_it_said_suspended_is_found_and_ended() -> None:
    """It reads pods from a cache, and leaves those alone that come to light afterwards."""
    unlisted = lister(cluster(SUSPENDED), listed=9)
    assert kind_of(STOPPING).required_reads(STOPPING, unlisted, at(20)) == (ListPods(PODS),)

    found = lister(cluster(SUSPENDED), pod())
    assert observe(STOPPING, found).proof is None
    assert sent(STOPPING, HALT, found) == (Delete(ObjectRef("Pod", NAMESPACE, "x-head-1"), "x-head-1-uid", None),)


def test_the_word_of_an_earlier_suspension_gives_its_controller_time() -> None:
    """It is suspended, resumed and stopped at once: KubeRay 1.2 then says nothing new, and may be making pods."""
    earlier = {"conditions": None, "state": "suspended", "stateTransitionTimes": {"suspended": when(5)}}
    over = pod(status=OVER | {"startTime": when(1)})
    assert observe(STOPPING, lister(cluster(earlier), over, listed=11.5)).proof is None
    assert observe(STOPPING, lister(cluster(earlier), over, listed=12.5)).proof is Proof.ENDED


def test_pods_that_kuberay_does_not_end_are_ended_for_it() -> None:
    """It counts no deletion, and makes none anew while its cluster is suspended."""
    known = lister(cluster(UNHEARD), pod(), pod("x-worker-1", status=OVER))

    assert sent(STOPPING, HALT, known, 11.9) == ()
    assert sent(STOPPING, HALT, known, 12) == (Delete(ObjectRef("Pod", NAMESPACE, "x-head-1"), "x-head-1-uid", None),)


def test_without_kuberay_its_pods_end_and_the_stop_waits_for_its_word() -> None:
    """Nobody knows what a controller still makes that was cut off."""
    seen = observe(STOPPING, lister(cluster(UNHEARD), pod(status=OVER)), 50)

    assert seen.proof is None
    assert seen.blocked is not None
    assert seen.blocked.reason == "ControllerNotActing"


def test_one_that_was_deleted_is_proven_by_its_pods() -> None:
    """KubeRay holds some by a finalizer until it has cleaned up after them; that comes when it is deleted alone."""
    assert observe(STOPPING, lister(cluster(SUSPENDING), pod(status=OVER), gone=True)).proof is Proof.ENDED


def test_pods_of_a_job_that_it_has_made_are_its_own() -> None:
    """One that cleans up after a cluster with fault tolerance, once that is deleted."""
    job = controller("Job", "x-redis-cleanup", "job-uid")
    known = lister(cluster(SUSPENDED), pod("x-redis-cleanup-1", owner=job))

    assert observe(STOPPING, known).proof is None
    cleanup = ObjectRef("Job", NAMESPACE, "x-redis-cleanup", "batch/v1")
    (member,) = {each.ref for each in kind_of(STOPPING).required_reads(STOPPING, known, at(20))}
    assert member == cleanup


# A pause


def test_a_pause_suspends_it_and_waits_for_kuberay() -> None:
    pause = Terminate(None, PodPolicy.KEEP, None, pause=True)

    assert sent(PAUSING, pause, lister(cluster(suspend=False), pod())) == (
        Patch(REF, "ray-uid", SUSPEND, Meaning.PAUSE),
    )
    assert sent(PAUSING, pause, lister(cluster(UNHEARD), pod()), 900) == ()


def test_a_resume_says_false_as_it_was_seen() -> None:
    """KubeRay takes a field that is not there for no resume."""
    (patch,) = sent(PAUSING, Start(), lister(cluster(SUSPENDED)))

    assert patch == Patch(REF, "ray-uid", {"spec": {"suspend": False}}, Meaning.RESUME, "70")


# What cannot be stopped by itself, or here


@pytest.mark.parametrize("kind", ["RayJob", "RayService"])
def test_one_that_another_controls_is_refused(kind: str) -> None:
    refused = refusal(cluster(suspend=False, ownerReferences=[controller(kind, "y", "y-uid", RAY_API)]))

    assert refused.reason == "WorkloadHasController"
    assert f"suspend {kind} y" in refused.message


def test_one_that_got_a_controller_later_is_stopped_with_a_word_about_it() -> None:
    owned = cluster(suspend=False, ownerReferences=[controller("RayJob", "y", "y-uid", RAY_API)])
    seen = observe(STOPPING, lister(owned, pod()))

    assert seen.elsewhere is not None
    assert (seen.refused, seen.elsewhere.reason) == (None, "WorkloadTakenOver")


def test_one_that_runs_in_another_cluster_is_refused() -> None:
    refused = refusal(raw_owner("raycluster", spec={"managedBy": "kueue.x-k8s.io/multikueue"}))

    assert refused.reason == "UnsupportedWorkload"
    assert "kueue.x-k8s.io/multikueue in another cluster" in refused.message


def test_one_that_kuberay_manages_by_name_is_taken() -> None:
    named = raw_owner("raycluster", spec={"managedBy": "ray.io/kuberay-operator"})

    assert observe(task(SPEC), lister(named)).refused is None


def test_a_name_that_is_no_label_is_refused_and_never_looked_for() -> None:
    long = "x" * 64
    raw = raw_owner("raycluster", name=long)
    named = task({"workloadRef": SPEC["workloadRef"] | {"name": long}})
    ref = ObjectRef("RayCluster", NAMESPACE, long, RAY_API)
    known = Lister({ref: CacheEntry(seen=read_ray_cluster(raw), at=at(11))})

    refused = RAY_CLUSTER.observe(named, known, at(20)).refused
    assert refused is not None
    assert refused.reason == "UnsupportedWorkload"
    assert RAY_CLUSTER.watches(named, known) == (ref,)
