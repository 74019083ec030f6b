"""What the caches believe of workloads and of the pods that these make."""

from typing import Any

import pytest

from agentstop.cluster.object_store import MAX_GONE, ObjectStore
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import CacheEntry, ObjectRef, PodGroup, Rejection, Right
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import PodRecord
from tests.unit.objects import NAMESPACE, NOW, Raw, at, ended, when
from tests.unit.workloads.owners import JOB_PODS, JOB_REF, job_pod, raw_owner, suspended_job

LET_GO: Raw = {"deletionTimestamp": when(9), "deletionGracePeriodSeconds": 0}
GOING: Raw = {"deletionTimestamp": when(38), "deletionGracePeriodSeconds": 30}
OVER: Raw = {"phase": "Succeeded", "containerStatuses": [ended()]}


@pytest.fixture
def entries() -> ObjectStore:
    return ObjectStore()


def job(entries: ObjectStore) -> CacheEntry:
    return entries.lister.entries[JOB_REF]


def group(entries: ObjectStore) -> PodGroup:
    return entries.lister.groups[JOB_PODS]


def seen(entries: ObjectStore, name: str = "a") -> PodRecord:
    pod = group(entries).pods[f"{name}-uid"].seen
    assert isinstance(pod, PodRecord)
    return pod


# The workload


def test_a_halt_that_was_accepted_is_remembered_until_it_is_taken_back(entries: ObjectStore) -> None:
    entries.see(JOB_REF, raw_owner("job"), at(0))
    entries.see(JOB_REF, suspended_job(), at(1), signal=True)
    entries.see(JOB_REF, suspended_job() | {"kind": "Job"}, at(2), signal=True)
    assert job(entries).signaled_at == at(1)

    entries.see(JOB_REF, raw_owner("job", resourceVersion="901"), at(3), signal=False)
    assert job(entries).signaled_at is None


def test_another_workload_of_that_name_was_not_halted(entries: ObjectStore) -> None:
    entries.see(JOB_REF, suspended_job(), at(1), signal=True)
    entries.see(JOB_REF, raw_owner("job", uid="another", resourceVersion="901"), at(5))

    assert (job(entries).signaled_at, job(entries).since) == (None, at(5))


@pytest.mark.parametrize("signal", [True, None])
def test_old_news_of_a_workload_are_no_news(entries: ObjectStore, signal: bool | None) -> None:
    entries.see(JOB_REF, suspended_job(), at(1))
    entries.see(JOB_REF, raw_owner("job"), at(2), signal=signal)

    owner = job(entries).seen
    assert isinstance(owner, OwnerRecord)
    assert owner.halted


def test_the_last_state_of_a_workload_that_is_gone_is_kept(entries: ObjectStore) -> None:
    entries.see(JOB_REF, suspended_job(), at(1), signal=True)
    entries.see_absent(JOB_REF, at(5), suspended_job())

    assert isinstance(job(entries).seen, OwnerRecord)
    assert (job(entries).absent, job(entries).signaled_at) == (True, at(1))


def test_what_is_known_by_its_scale_is_not_forgotten_with_its_last_state(entries: ObjectStore) -> None:
    """The last state comes without the answer of the scale subresource."""
    ref = ObjectRef("Deployment", NAMESPACE, "x", "apps/v1")
    last = raw_owner("deployment", resourceVersion="902")
    del last["scale"]
    entries.see(ref, raw_owner("deployment"), at(1))
    entries.see_absent(ref, at(2), last)

    owner = entries.lister.entries[ref].seen
    assert isinstance(owner, OwnerRecord)
    assert owner.selector == "app=x"


def test_a_link_is_read_as_such(entries: ObjectStore) -> None:
    ref = ObjectRef("ReplicaSet", NAMESPACE, "x", "apps/v1")
    entries.see(ref, {"metadata": {"name": "x", "uid": "u", "resourceVersion": "1"}}, NOW, link=True)

    owner = entries.lister.entries[ref].seen
    assert isinstance(owner, OwnerRecord)
    assert (owner.uid, owner.halted) == ("u", False)


# Pods of workloads


def test_a_list_is_all_there_is(entries: ObjectStore) -> None:
    entries.list_pods(JOB_PODS, [read_pod(job_pod("a")), read_pod(job_pod("b"))], at(1))
    entries.list_pods(JOB_PODS, [read_pod(job_pod("b"))], at(2))

    assert group(entries).listed_at == at(2)
    assert [each.stale for each in group(entries).pods.values()] == [True, False], "it may only have lost its label"


def test_what_is_known_to_be_gone_is_not_doubted(entries: ObjectStore) -> None:
    entries.list_pods(JOB_PODS, [read_pod(job_pod("a"))], at(1))
    entries.mark_deleted(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(2))
    entries.list_pods(JOB_PODS, [], at(3))

    entry = group(entries).pods["a-uid"]
    assert (entry.absent, entry.stale, entry.at) == (True, False, at(2))


@pytest.mark.parametrize(
    ("metadata", "absent"),
    [(LET_GO, True), (GOING, False), ({}, False)],
    ids=["deleted", "unlabelled, going", "unlabelled"],
)
def test_only_a_real_deletion_is_believed(entries: ObjectStore, metadata: Raw, absent: bool) -> None:
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.see_member(JOB_PODS, job_pod("a", metadata=metadata, version=2), at(2), deleted=True)

    entry = group(entries).pods["a-uid"]
    assert (entry.absent, entry.stale) == (absent, not absent)


def test_a_doubt_lasts_until_somebody_looked(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a", version=2), at(1), deleted=True)
    entries.see_member(JOB_PODS, job_pod("a", version=2), at(2))
    assert not group(entries).pods["a-uid"].stale

    entries.see_member(JOB_PODS, job_pod("a", version=3), at(3), deleted=True)
    entries.mark_deleted(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(4))
    entry = group(entries).pods["a-uid"]
    assert (entry.absent, entry.stale) == (True, False)


def test_what_lost_its_labels_stays_unlisted_until_they_lead_to_it_again(entries: ObjectStore) -> None:
    def unlisted() -> bool:
        return group(entries).pods["a-uid"].unlisted

    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.find_member(JOB_PODS, read_pod(job_pod("a")), at(2))
    assert not unlisted(), "it was only read in between"
    entries.see_member(JOB_PODS, job_pod("a", version=2), at(3), deleted=True)
    entries.find_member(JOB_PODS, read_pod(job_pod("a", version=3)), at(4))
    entries.see(ObjectRef("Pod", NAMESPACE, "a"), job_pod("a", version=4), at(5), signal=True)
    assert unlisted()
    entries.list_pods(JOB_PODS, [read_pod(job_pod("a", version=5))], at(6))
    assert not unlisted()
    entries.list_pods(JOB_PODS, [], at(7))
    assert unlisted()


def test_what_no_list_shows_from_the_beginning_is_unlisted(entries: ObjectStore) -> None:
    entries.find_member(JOB_PODS, read_pod(job_pod("a")), at(1))

    assert group(entries).pods["a-uid"].unlisted


def test_a_pod_is_doubted_as_long_as_it_may_be_there(entries: ObjectStore) -> None:
    entries.mark_member_stale("a-uid")
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.mark_member_stale("a-uid")
    assert group(entries).pods["a-uid"].stale

    entries.mark_deleted(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(2))
    entries.mark_member_stale("a-uid")
    assert not group(entries).pods["a-uid"].stale


def test_the_newest_state_of_a_pod_wins(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a", status=OVER, version=3), at(1))
    entries.see_member(JOB_PODS, job_pod("a", version=2), at(2))

    assert seen(entries).ended
    assert group(entries).pods["a-uid"].at == at(2)


def test_what_is_gone_does_not_come_back(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.mark_deleted(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", at(2))
    entries.see_member(JOB_PODS, job_pod("a", version=9), at(3))

    assert group(entries).pods["a-uid"].absent


def test_two_pods_of_one_name_are_two_pods(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a", metadata=LET_GO), at(1), deleted=True)
    entries.see_member(JOB_PODS, job_pod("a", uid="later", version=5), at(2))

    assert {uid: each.absent for uid, each in group(entries).pods.items()} == {"a-uid": True, "later": False}


def test_a_pod_does_not_get_away_by_disowning_its_controller(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.see_member(JOB_PODS, job_pod("a", metadata={"ownerReferences": []}, version=2), at(2))

    controller = seen(entries).controller
    assert controller is not None
    assert controller.uid == "job-uid"


def test_when_a_pod_was_asked_to_go_does_not_move(entries: ObjectStore) -> None:
    entries.see_member(JOB_PODS, job_pod("a", metadata=GOING, version=2), at(9))
    entries.see_member(JOB_PODS, job_pod("a", metadata=LET_GO, version=3), at(15), deleted=True)

    assert seen(entries).deletion_requested_at == at(8)


def test_the_answer_to_a_change_of_a_pod_is_taken_in_where_it_belongs(entries: ObjectStore) -> None:
    ref = ObjectRef("Pod", NAMESPACE, "a")
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.see(ref, job_pod("a", metadata=GOING, version=2), at(2), signal=True)

    assert seen(entries).deletion_at is not None
    assert not entries.knows(ref)


def test_what_is_lost_without_a_group_is_absent(entries: ObjectStore) -> None:
    ref = ObjectRef("Pod", NAMESPACE, "x")
    entries.mark_deleted(ref, "any", at(1))

    assert entries.lister.entries[ref].absent


def test_pods_that_are_gone_are_forgotten_when_there_are_too_many(entries: ObjectStore) -> None:
    for number in range(MAX_GONE):
        pod = job_pod(f"p{number}", status=OVER, metadata=LET_GO)
        entries.see_member(JOB_PODS, pod, at(1), deleted=True)
    entries.see_member(JOB_PODS, job_pod("lives"), at(2))
    assert list(group(entries).pods) == ["lives-uid"]

    entries.forget(JOB_PODS)
    assert JOB_PODS not in entries.lister.groups


def test_pods_whose_end_was_not_seen_are_never_forgotten(entries: ObjectStore) -> None:
    for number in range(MAX_GONE + 1):
        entries.see_member(JOB_PODS, job_pod(f"p{number}", metadata=LET_GO), at(1), deleted=True)

    assert len(group(entries).pods) == MAX_GONE + 1


def test_what_is_forgotten_leaves_nothing_behind(entries: ObjectStore) -> None:
    rejection = Rejection(403, "Forbidden", "no", NOW)
    entries.see_member(JOB_PODS, job_pod("a"), at(1))
    entries.refuse(JOB_PODS, "list", rejection)
    entries.see(JOB_REF, raw_owner("job"), at(1))
    entries.refuse(JOB_REF, "patch", rejection)
    entries.forget(JOB_PODS)
    entries.forget(JOB_REF)

    lister = entries.lister
    assert (dict(lister.groups), dict(lister.entries), dict(lister.rejections)) == ({}, {}, {})
    pod: Any = job_pod("a")
    entries.see(ObjectRef("Pod", NAMESPACE, "a"), pod, at(2))
    assert entries.knows(ObjectRef("Pod", NAMESPACE, "a")), "it is nobody's member any more"


# Rights


def test_rights_are_of_a_kind_in_a_namespace(entries: ObjectStore) -> None:
    entries.note_right(JOB_REF, Right("no", NOW))

    assert entries.lister.right(JOB_REF._replace(name="another")) == Right("no", NOW)
    assert entries.lister.right(JOB_REF._replace(namespace="elsewhere")) is None
