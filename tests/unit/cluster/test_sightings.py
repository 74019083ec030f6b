"""What the caches believe of workloads and of the pods that these make."""

from typing import Any

import pytest

from agentstop.cluster.sightings import MOST_GONE, Sightings
from agentstop.workloads.objects import ObjectRef, PodGroup, Refusal, Right, Sighting
from agentstop.workloads.ownerseen import OwnerSeen
from agentstop.workloads.podseen import PodSeen, read_pod
from tests.unit.objects import NAMESPACE, NOW, Raw, at, ended, when
from tests.unit.workloads.owners import JOB_PODS, JOB_REF, job_pod, raw_owner, suspended_job

LET_GO: Raw = {"deletionTimestamp": when(9), "deletionGracePeriodSeconds": 0}
GOING: Raw = {"deletionTimestamp": when(38), "deletionGracePeriodSeconds": 30}
OVER: Raw = {"phase": "Succeeded", "containerStatuses": [ended()]}


@pytest.fixture
def sightings() -> Sightings:
    return Sightings()


def job(sightings: Sightings) -> Sighting:
    return sightings.around.sightings[JOB_REF]


def group(sightings: Sightings) -> PodGroup:
    return sightings.around.groups[JOB_PODS]


def seen(sightings: Sightings, name: str = "a") -> PodSeen:
    pod = group(sightings).pods[f"{name}-uid"].seen
    assert isinstance(pod, PodSeen)
    return pod


# The workload


def test_a_halt_that_was_accepted_is_remembered_until_it_is_taken_back(sightings: Sightings) -> None:
    sightings.see(JOB_REF, raw_owner("job"), at(0))
    sightings.see(JOB_REF, suspended_job(), at(1), signal=True)
    sightings.see(JOB_REF, suspended_job() | {"kind": "Job"}, at(2), signal=True)
    assert job(sightings).signaled_at == at(1)

    sightings.see(JOB_REF, raw_owner("job", resourceVersion="901"), at(3), signal=False)
    assert job(sightings).signaled_at is None


def test_another_workload_of_that_name_was_not_halted(sightings: Sightings) -> None:
    sightings.see(JOB_REF, suspended_job(), at(1), signal=True)
    sightings.see(JOB_REF, raw_owner("job", uid="another", resourceVersion="901"), at(5))

    assert (job(sightings).signaled_at, job(sightings).since) == (None, at(5))


@pytest.mark.parametrize("signal", [True, None])
def test_old_news_of_a_workload_are_no_news(sightings: Sightings, signal: bool | None) -> None:
    sightings.see(JOB_REF, suspended_job(), at(1))
    sightings.see(JOB_REF, raw_owner("job"), at(2), signal=signal)

    owner = job(sightings).seen
    assert isinstance(owner, OwnerSeen)
    assert owner.halted


def test_the_last_state_of_a_workload_that_is_gone_is_kept(sightings: Sightings) -> None:
    sightings.see(JOB_REF, suspended_job(), at(1), signal=True)
    sightings.see_absent(JOB_REF, at(5), suspended_job())

    assert isinstance(job(sightings).seen, OwnerSeen)
    assert (job(sightings).absent, job(sightings).signaled_at) == (True, at(1))


def test_what_is_known_by_its_scale_is_not_forgotten_with_its_last_state(sightings: Sightings) -> None:
    """The last state comes without the answer of the scale subresource."""
    ref = ObjectRef("Deployment", NAMESPACE, "x", "apps/v1")
    last = raw_owner("deployment", resourceVersion="902")
    del last["scale"]
    sightings.see(ref, raw_owner("deployment"), at(1))
    sightings.see_absent(ref, at(2), last)

    owner = sightings.around.sightings[ref].seen
    assert isinstance(owner, OwnerSeen)
    assert owner.selector == "app=x"


def test_a_link_is_read_as_such(sightings: Sightings) -> None:
    ref = ObjectRef("ReplicaSet", NAMESPACE, "x", "apps/v1")
    sightings.see(ref, {"metadata": {"name": "x", "uid": "u", "resourceVersion": "1"}}, NOW, link=True)

    owner = sightings.around.sightings[ref].seen
    assert isinstance(owner, OwnerSeen)
    assert (owner.uid, owner.halted) == ("u", False)


# Pods of workloads


def test_a_list_is_all_there_is(sightings: Sightings) -> None:
    sightings.list_pods(JOB_PODS, [read_pod(job_pod("a")), read_pod(job_pod("b"))], at(1))
    sightings.list_pods(JOB_PODS, [read_pod(job_pod("b"))], at(2))

    assert group(sightings).listed_at == at(2)
    assert [each.doubted for each in group(sightings).pods.values()] == [True, False], "it may only have lost its label"


def test_what_is_known_to_be_gone_is_not_doubted(sightings: Sightings) -> None:
    sightings.list_pods(JOB_PODS, [read_pod(job_pod("a"))], at(1))
    sightings.lose(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(2))
    sightings.list_pods(JOB_PODS, [], at(3))

    sighting = group(sightings).pods["a-uid"]
    assert (sighting.absent, sighting.doubted, sighting.at) == (True, False, at(2))


@pytest.mark.parametrize(
    ("metadata", "absent"),
    [(LET_GO, True), (GOING, False), ({}, False)],
    ids=["deleted", "unlabelled, going", "unlabelled"],
)
def test_only_a_real_deletion_is_believed(sightings: Sightings, metadata: Raw, absent: bool) -> None:
    sightings.see_member(JOB_PODS, job_pod("a"), at(1))
    sightings.see_member(JOB_PODS, job_pod("a", metadata=metadata, version=2), at(2), deleted=True)

    sighting = group(sightings).pods["a-uid"]
    assert (sighting.absent, sighting.doubted) == (absent, not absent)


def test_a_doubt_lasts_until_somebody_looked(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a", version=2), at(1), deleted=True)
    sightings.see_member(JOB_PODS, job_pod("a", version=2), at(2))
    assert not group(sightings).pods["a-uid"].doubted

    sightings.see_member(JOB_PODS, job_pod("a", version=3), at(3), deleted=True)
    sightings.lose(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(4))
    sighting = group(sightings).pods["a-uid"]
    assert (sighting.absent, sighting.doubted) == (True, False)


def test_the_newest_state_of_a_pod_wins(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a", status=OVER, version=3), at(1))
    sightings.see_member(JOB_PODS, job_pod("a", version=2), at(2))

    assert seen(sightings).ended
    assert group(sightings).pods["a-uid"].at == at(2)


def test_what_is_gone_does_not_come_back(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a"), at(1))
    sightings.lose(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(2))
    sightings.see_member(JOB_PODS, job_pod("a", version=9), at(3))

    assert group(sightings).pods["a-uid"].absent


def test_two_pods_of_one_name_are_two_pods(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a", metadata=LET_GO), at(1), deleted=True)
    sightings.see_member(JOB_PODS, job_pod("a", uid="later", version=5), at(2))

    assert {uid: each.absent for uid, each in group(sightings).pods.items()} == {"a-uid": True, "later": False}


def test_a_pod_does_not_get_away_by_disowning_its_controller(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a"), at(1))
    sightings.see_member(JOB_PODS, job_pod("a", metadata={"ownerReferences": []}, version=2), at(2))

    controller = seen(sightings).controller
    assert controller is not None
    assert controller.uid == "job-uid"


def test_when_a_pod_was_asked_to_go_does_not_move(sightings: Sightings) -> None:
    sightings.see_member(JOB_PODS, job_pod("a", metadata=GOING, version=2), at(9))
    sightings.see_member(JOB_PODS, job_pod("a", metadata=LET_GO, version=3), at(15), deleted=True)

    assert seen(sightings).deletion_requested_at == at(8)


def test_the_answer_to_a_change_of_a_pod_is_taken_in_where_it_belongs(sightings: Sightings) -> None:
    ref = ObjectRef("Pod", NAMESPACE, "a")
    sightings.see_member(JOB_PODS, job_pod("a"), at(1))
    sightings.see(ref, job_pod("a", metadata=GOING, version=2), at(2), signal=True)

    assert seen(sightings).deletion_at is not None
    assert not sightings.knows(ref)


def test_what_is_lost_without_a_group_is_absent(sightings: Sightings) -> None:
    ref = ObjectRef("Pod", NAMESPACE, "x")
    sightings.lose(ref, "any", at(1))

    assert sightings.around.sightings[ref].absent


def test_pods_that_are_gone_are_forgotten_when_there_are_too_many(sightings: Sightings) -> None:
    for number in range(MOST_GONE):
        pod = job_pod(f"p{number}", status=OVER, metadata=LET_GO)
        sightings.see_member(JOB_PODS, pod, at(1), deleted=True)
    sightings.see_member(JOB_PODS, job_pod("lives"), at(2))
    assert list(group(sightings).pods) == ["lives-uid"]

    sightings.forget(JOB_PODS)
    assert JOB_PODS not in sightings.around.groups


def test_pods_whose_end_was_not_seen_are_never_forgotten(sightings: Sightings) -> None:
    for number in range(MOST_GONE + 1):
        sightings.see_member(JOB_PODS, job_pod(f"p{number}", metadata=LET_GO), at(1), deleted=True)

    assert len(group(sightings).pods) == MOST_GONE + 1


def test_what_is_forgotten_leaves_nothing_behind(sightings: Sightings) -> None:
    refusal = Refusal(403, "Forbidden", "no", NOW)
    sightings.see_member(JOB_PODS, job_pod("a"), at(1))
    sightings.refuse(JOB_PODS, "list", refusal)
    sightings.see(JOB_REF, raw_owner("job"), at(1))
    sightings.refuse(JOB_REF, "patch", refusal)
    sightings.forget(JOB_PODS)
    sightings.forget(JOB_REF)

    around = sightings.around
    assert (dict(around.groups), dict(around.sightings), dict(around.refusals)) == ({}, {}, {})
    pod: Any = job_pod("a")
    sightings.see(ObjectRef("Pod", NAMESPACE, "a"), pod, at(2))
    assert sightings.knows(ObjectRef("Pod", NAMESPACE, "a")), "it is nobody's member any more"


# Rights


def test_rights_are_of_a_kind_in_a_namespace(sightings: Sightings) -> None:
    sightings.note_right(JOB_REF, Right("no", NOW))

    assert sightings.around.right(JOB_REF._replace(name="another")) == Right("no", NOW)
    assert sightings.around.right(JOB_REF._replace(namespace="elsewhere")) is None
