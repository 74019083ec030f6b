"""The pods of a workload that makes its own: whose they are, and what they prove together."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agentstop.api.task import StopSource, StopStatus
from agentstop.api.workload_status import ContainerEnd, PodEvidence
from agentstop.lifecycle.observation import Proof
from agentstop.workloads.controlled.membership import Whose, belongs, controller_ref, owned_pods_of
from agentstop.workloads.controlled.owned_pods import OwnedPods, stale, stuck, unlooked
from agentstop.workloads.controlled.record import read_owner
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup
from agentstop.workloads.pods.node import read_node
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import Controller, PodRecord
from agentstop.workloads.requests import Get
from tests.unit.objects import NAMESPACE, NOW, Raw, at, end, ended, raw_pod, running, waiting, when
from tests.unit.workloads.owners import controller, job_pod

DEPLOYMENT_UID = "deployment-uid"
REPLICA_SET = ObjectRef("ReplicaSet", NAMESPACE, "x-5d", "apps/v1")
NODE = ObjectRef("Node", "", "n")
OVER: Raw = {"phase": "Succeeded", "containerStatuses": [ended()]}
GOING: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
GOING_SOON: Raw = {"deletionTimestamp": when(2), "deletionGracePeriodSeconds": 2}
STOP = StopStatus(source=StopSource.USER, accepted_at=at(100), signaled_at=at(100), kill_at=at(130))


def replica_set(owner: Raw | None, uid: str = "rs-uid", **more: Any) -> CacheEntry:
    metadata = {"name": "x-5d", "uid": uid, "resourceVersion": "1", "ownerReferences": [owner] if owner else []}
    return CacheEntry(seen=read_owner({"metadata": metadata}), at=NOW, **more)


OF_X = replica_set(controller("Deployment", "x", DEPLOYMENT_UID, "apps/v1"))
OF_ANOTHER = replica_set(controller("Deployment", "y", "another-uid", "apps/v1"))


def pod_of(owner: Raw | None) -> PodRecord:
    return read_pod(raw_pod(metadata={"ownerReferences": [owner] if owner else []}))


OF_REPLICA_SET = pod_of(controller("ReplicaSet", "x-5d", "rs-uid", "apps/v1"))


def group_of(*pods: Raw, absent: bool = False, seen_at: float = 0, listed: float | None = None) -> PodGroup:
    seen = [read_pod(raw) for raw in pods]
    entries = {each.uid: CacheEntry(seen=each, at=at(seen_at), absent=absent) for each in seen}
    moment = at(listed) if listed is not None else None
    return PodGroup(entries, listed_at=moment)


def members(*pods: Raw, absent: bool = False, seen_at: float = 0) -> OwnedPods:
    return owned_pods_of("job-uid", NAMESPACE, group_of(*pods, absent=absent, seen_at=seen_at), (), Lister())


def node(ready: str = "True", read_at: float = 900, **more: Any) -> CacheEntry:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": when(-900)}
    raw = {"metadata": {"name": "n", "uid": "n"}, "spec": {}, "status": {"conditions": [condition]}}
    return CacheEntry(seen=read_node(raw), at=at(read_at), **more)


# Whose a pod is


def test_a_pod_of_the_workload_itself() -> None:
    assert belongs(read_pod(job_pod()), "job-uid", Lister()) is Whose.OURS
    assert belongs(read_pod(job_pod()), "another-uid", Lister({})) == ObjectRef("Job", NAMESPACE, "x", "batch/v1")


def test_a_pod_without_a_controller_is_nobodys() -> None:
    assert belongs(pod_of(None), DEPLOYMENT_UID, Lister()) is Whose.OTHERS


def test_a_controller_in_between_has_to_be_read_first() -> None:
    assert belongs(OF_REPLICA_SET, DEPLOYMENT_UID, Lister()) == REPLICA_SET
    assert controller_ref(Controller("ReplicaSet", "x-5d", "rs-uid", "apps/v1"), NAMESPACE) == REPLICA_SET


@pytest.mark.parametrize(
    ("entry", "whose"),
    [
        (OF_X, Whose.OURS),
        (OF_ANOTHER, ObjectRef("Deployment", NAMESPACE, "y", "apps/v1")),
        (replica_set(None), Whose.OTHERS),
    ],
)
def test_a_chain_of_controllers_is_followed(entry: CacheEntry, whose: Whose | ObjectRef) -> None:
    assert belongs(OF_REPLICA_SET, DEPLOYMENT_UID, Lister({REPLICA_SET: entry})) == whose


@pytest.mark.parametrize(
    "entry",
    [
        replica_set(controller("Deployment", "x", DEPLOYMENT_UID, "apps/v1"), absent=True),
        replica_set(controller("Deployment", "y", "another-uid", "apps/v1"), uid="a later one of that name"),
        CacheEntry(seen=None, absent=True, at=NOW),
    ],
    ids=["gone", "another one", "never seen"],
)
def test_where_nobody_can_tell_any_more_the_pod_is_waited_for(entry: CacheEntry) -> None:
    assert belongs(OF_REPLICA_SET, DEPLOYMENT_UID, Lister({REPLICA_SET: entry})) is Whose.DOUBTFUL


def test_a_chain_that_never_ends_is_given_up() -> None:
    circle = replica_set(controller("ReplicaSet", "x-5d", "rs-uid", "apps/v1"))

    assert belongs(OF_REPLICA_SET, DEPLOYMENT_UID, Lister({REPLICA_SET: circle})) is Whose.OTHERS


# Which there are


def test_pods_of_others_that_the_selector_finds_are_left_out() -> None:
    mine, theirs = job_pod("a"), job_pod("b", metadata={"ownerReferences": []})
    found = members(mine, theirs)

    assert [each.ref.name for each in found.seen] == ["a"]
    assert not found.empty


def test_pods_whose_owner_must_be_read_are_strangers_and_prove_nothing() -> None:
    owned_by_other = controller("Job", "other", "other-uid")
    group = group_of(job_pod("a", metadata={"ownerReferences": [owned_by_other]}), job_pod("b", status=OVER))
    found = owned_pods_of("job-uid", NAMESPACE, group, (), Lister())

    assert found.strangers == (ObjectRef("Job", NAMESPACE, "other", "batch/v1"),)
    assert found.finding(group, None, Lister(), at(900)) == (None, None)


def test_what_the_status_lists_is_the_workloads_whatever_it_says_by_now() -> None:
    known = [PodEvidence(name="a", uid="a-uid"), PodEvidence(name="z", uid="z-uid")]
    group = group_of(job_pod("a", metadata={"ownerReferences": []}))
    found = owned_pods_of("job-uid", NAMESPACE, group, known, Lister())

    assert [each.ref.name for each in found.seen] == ["a"]
    assert [each.name for each in found.vanished] == ["z"]


def test_no_pods() -> None:
    found = owned_pods_of("job-uid", NAMESPACE, None, (), Lister())

    assert found.empty
    assert (found.active, found.started_at, found.killed_by, found.own_grace_seconds) == (False, None, None, None)
    assert found.finding(PodGroup(), None, Lister(), NOW) == (None, None)


# What they say together


def test_the_first_start_and_the_longest_grace_of_those_that_live() -> None:
    late = {"containerStatuses": [running(since=9)]}
    found = members(
        job_pod("a", spec={"terminationGracePeriodSeconds": 60}, status=OVER),
        job_pod("b", status=late),
        job_pod("c", spec={"terminationGracePeriodSeconds": 40}, status=late),
    )

    assert (found.started_at, found.own_grace_seconds) == (at(1), 40)
    assert [each.ref.name for each in found.live] == ["b", "c"]
    assert found.active


@pytest.mark.parametrize(
    ("phase", "seconds", "own", "former"),
    [("Running", 90, 90, 60), ("Running", None, 30, 60), ("Failed", 90, None, 90)],
)
def test_a_pod_that_went_unseen_has_the_grace_that_is_on_record(
    phase: str, seconds: int | None, own: int | None, former: int
) -> None:
    known = [PodEvidence(name="z", uid="z-uid", phase=phase, grace_period_seconds=seconds)]
    group = group_of(job_pod("a", spec={"terminationGracePeriodSeconds": 60}, status=OVER))
    found = owned_pods_of("job-uid", NAMESPACE, group, known, Lister())

    assert (found.own_grace_seconds, found.former_grace_seconds) == (own, former)


def test_a_pod_without_a_grace_period_gets_one_second() -> None:
    assert members(job_pod(spec={"terminationGracePeriodSeconds": 0})).own_grace_seconds == 1


def test_the_last_kill_once_all_are_being_ended() -> None:
    one, other = job_pod("a", metadata=GOING), job_pod("b", metadata=GOING | {"deletionTimestamp": when(45)})

    assert members(one, other).killed_by == at(45)
    assert members(one, other, job_pod("c")).killed_by is None
    assert members(one, other).asked_to_go_at == at(0)


@pytest.mark.parametrize(
    ("changes", "absent", "outlived"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"status": {"phase": "Failed", "containerStatuses": [ended(finished=9)]}}, False, False),
        ({"status": {"phase": "Failed", "containerStatuses": [ended(finished=10)]}}, False, True),
        ({"status": {"phase": "Failed", "containerStatuses": [ended(finished=10)]}}, True, True),
    ],
    ids=["runs", "was gone", "had ended", "ended in that second", "ended later, and gone"],
)
def test_which_pods_outlived_a_moment(changes: Raw, absent: bool, outlived: bool) -> None:
    (member,) = members(job_pod(**changes), absent=absent, seen_at=9).seen

    assert member.outlived(at(10.5)) is outlived


# Proof


def finding(group: PodGroup, known: list[PodEvidence], lister: Lister, now: float = 900) -> Proof | None:
    return owned_pods_of("job-uid", NAMESPACE, group, known, lister).finding(group, STOP, lister, at(now))[0]


def test_one_pod_that_lives_is_enough_to_prove_nothing() -> None:
    group = group_of(job_pod("a", status=OVER), job_pod("b"), seen_at=900)

    assert finding(group, [], Lister({NODE: node()})) is None


def test_the_weakest_proof_speaks_for_all() -> None:
    never: Raw = {"phase": "Failed", "containerStatuses": None}
    assert finding(group_of(job_pod("a", status=never)), [], Lister()) is Proof.NEVER_STARTED
    assert finding(group_of(job_pod("a", status=OVER), job_pod("b", status=never)), [], Lister()) is Proof.ENDED

    group = group_of(job_pod("a", status=OVER))
    gone = CacheEntry(seen=read_pod(job_pod("b", metadata=GOING)), absent=True, at=at(35))
    group.pods["b-uid"] = gone
    assert finding(group, [], Lister({NODE: node()})) is Proof.GONE
    assert finding(group, [], Lister({NODE: node(absent=True)})) is Proof.NODE_FENCED


def test_what_holds_up_one_of_them_is_named() -> None:
    group = group_of(job_pod("a", status=OVER), job_pod("b", metadata=GOING))
    lister = Lister({NODE: node("Unknown")})
    _, blocked = owned_pods_of("job-uid", NAMESPACE, group, (), lister).finding(group, STOP, lister, at(900))

    assert blocked is not None
    assert blocked.reason == "NodeUnreachable"


# Pods that only the status knows of


DONE = PodEvidence(
    name="z", uid="z-uid", node="n", phase="Succeeded", containers=(ContainerEnd(name="m", finished_at=at(5)),)
)
RAN = PodEvidence(
    name="z", uid="z-uid", node="n", phase="Running", containers=(ContainerEnd(name="m", started_at=at(1)),)
)


def gone_since(moment: float) -> PodGroup:
    """A pod on record was looked for by its name, and is not there."""
    return PodGroup({"z-uid": CacheEntry(seen=None, absent=True, at=at(moment))}, listed_at=at(moment))


def test_what_is_on_record_as_ended_has_ended() -> None:
    assert finding(PodGroup(), [DONE], Lister()) is Proof.ENDED


def test_what_vanished_unseen_is_proven_by_its_node() -> None:
    lister = Lister({NODE: node()})

    assert finding(PodGroup(), [RAN], lister) is None, "nobody looked"
    assert finding(group_of(listed=200), [RAN], lister) is None, "it may have lost its labels"
    assert finding(gone_since(880), [RAN], lister) is None, "its grace period may be running"
    assert finding(gone_since(200), [RAN], lister) is Proof.GONE
    assert finding(gone_since(200), [RAN], Lister({NODE: node("Unknown")})) is None
    assert finding(gone_since(200), [RAN], Lister({NODE: node(absent=True)})) is Proof.NODE_FENCED


def test_what_was_gone_long_before_the_stop_does_not_judge_it() -> None:
    assert finding(gone_since(20), [RAN], Lister({NODE: node()})) is Proof.ENDED


def test_what_is_on_record_and_in_no_list_is_looked_for_by_its_name() -> None:
    found = owned_pods_of("job-uid", NAMESPACE, group_of(job_pod("a")), [RAN, DONE.but(uid="y-uid")], Lister())

    assert list(unlooked(found, group_of(job_pod("a")))) == [RAN]
    assert list(unlooked(found, gone_since(20))) == []


# What has to be read


def test_a_node_that_decides_is_looked_at_once() -> None:
    group = group_of(job_pod("a", metadata=GOING), job_pod("b", metadata=GOING), listed=0)
    found = owned_pods_of("job-uid", NAMESPACE, group, [RAN], Lister())

    assert list(found.required_reads(group, STOP, Lister(), at(900))) == [Get(NODE)]
    assert list(found.required_reads(group, STOP, Lister({NODE: node()}), at(901))) == []


def test_no_node_is_looked_at_while_the_grace_period_runs() -> None:
    group = group_of(job_pod("a", metadata=GOING))
    found = owned_pods_of("job-uid", NAMESPACE, group, [DONE], Lister())

    assert list(found.required_reads(group, STOP, Lister(), at(110))) == []


@pytest.mark.parametrize(
    ("metadata", "now", "suspect", "expected"),
    [(GOING, 29, True, False), (GOING, 36, False, False), (GOING, 36, True, True), (None, 900, True, False)],
    ids=["its grace runs", "nobody asked", "overdue", "nobody ends it"],
)
def test_pods_whose_end_is_overdue_are_read_live(
    metadata: Raw | None, now: float, suspect: bool, expected: bool
) -> None:
    group = group_of(job_pod(metadata=metadata or {}))

    assert bool(list(stale(group, at(now), suspect=suspect))) is expected


@pytest.mark.parametrize(
    ("metadata", "status", "due"), [({}, {}, 30), (GOING, {}, 30), (GOING_SOON, {}, 5), ({}, OVER, None)]
)
@pytest.mark.parametrize("suspect", [False, True])
def test_a_pod_that_no_watch_shows_is_read_live_from_time_to_time(
    metadata: Raw, status: Raw, due: float | None, suspect: bool
) -> None:
    """It has lost its labels: that it starts, ends or goes shows nowhere else, whatever its task is asked for."""
    group = group_of(job_pod("a", metadata=metadata, status=status))
    group.pods["a-uid"] = replace(group.pods["a-uid"], unlisted=True)
    found = owned_pods_of("job-uid", NAMESPACE, group, [], Lister())

    assert found.look_again_at(group, Lister(), NOW) == (at(due) if due is not None else None)
    for now in (4, 29, 30, 900):
        assert bool(list(stale(group, at(now), suspect=suspect))) is (due is not None and due <= now)


def test_doubted_pods_are_read_live() -> None:
    group = group_of(job_pod("a"))
    seen = group.pods["a-uid"].seen
    group.pods["a-uid"] = CacheEntry(seen=seen, at=NOW, stale=True)

    assert list(stale(group, NOW, suspect=False)) == [("a-uid", seen)]


@pytest.mark.parametrize(
    ("metadata", "status", "now", "expected"),
    [
        (GOING, None, 39, False),
        (GOING, None, 40, True),
        (GOING, OVER, 40, False),
        (GOING | {"deletionGracePeriodSeconds": 1}, None, 40, False),
        ({}, None, 900, False),
    ],
    ids=["not yet", "stuck", "ended", "asked again already", "nobody deletes it"],
)
def test_pods_that_are_stuck(metadata: Raw, status: Raw | None, now: float, expected: bool) -> None:
    pod = read_pod(job_pod(metadata=metadata, status=status or {}))

    assert stuck(pod, at(now), timedelta(seconds=10)) is expected


# What the status lists


def test_those_that_live_are_listed_first_then_the_latest() -> None:
    def over(finished: float) -> Raw:
        return {
            "phase": "Succeeded",
            "containerStatuses": [{"name": "m", "state": {"terminated": end(finished=finished)}}],
        }

    found = members(
        job_pod("a", status=over(5)), job_pod("b", status=over(9)), job_pod("c"), job_pod("d", status=over(7))
    )

    assert [each.name for each in found.evidence()] == ["c", "b", "d", "a"]


def test_those_that_may_be_started_yet_are_listed_before_what_has_ended() -> None:
    """Only the record tells of them once the operator has restarted."""
    group = group_of(job_pod("a", status=OVER), job_pod("b", status=OVER), seen_at=900)
    starting = read_pod(job_pod("c", metadata=GOING, status={"phase": "Pending", "containerStatuses": [waiting()]}))
    group.pods["c-uid"] = CacheEntry(seen=starting, absent=True, at=at(1))

    listed = owned_pods_of("job-uid", NAMESPACE, group, (), Lister()).evidence()
    assert (listed[0].name, listed[0].phase) == ("c", "Unknown")


def test_at_most_32_are_listed_and_those_on_record_come_last() -> None:
    group = group_of(*(job_pod(f"p{number}") for number in range(31)))
    known = [PodEvidence(name=name, uid=f"{name}-uid") for name in ("y", "z")]
    listed = owned_pods_of("job-uid", NAMESPACE, group, known, Lister()).evidence()

    assert len(listed) == 32
    assert listed[-1].name == "y"
