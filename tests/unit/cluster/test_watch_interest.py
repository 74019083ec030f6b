"""What is watched for whom: begun with the first who asks for it, ended with the last."""

import pytest

from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.watch_interest import WatchInterest
from agentstop.workloads.objects import ObjectRef, PodsOf

ONE, OTHER = TaskKey("ns", "one"), TaskKey("ns", "other")
JOB, PODS = ObjectRef("Job", "ns", "j", "batch/v1"), PodsOf("ns", "a=b")


@pytest.fixture
def interest() -> WatchInterest:
    return WatchInterest()


def test_it_is_begun_once_and_ended_with_the_last(interest: WatchInterest) -> None:
    assert interest.watch(ONE, [JOB]) == ([JOB], [])
    assert interest.watch(OTHER, [JOB, PODS]) == ([PODS], [])
    assert interest.watchers_of(JOB) == {ONE, OTHER}
    assert interest.watch(ONE, []) == ([], [])
    assert interest.watch(OTHER, [PODS]) == ([], [JOB])


def test_what_is_followed_for_a_task_that_is_dropped_is_begun_anew(interest: WatchInterest) -> None:
    interest.watch(ONE, [JOB, PODS])
    interest.drop(ONE)
    assert (interest.of(ONE), interest.watchers_of(JOB)) == (frozenset(), frozenset())
    assert interest.watch(OTHER, [JOB]) == ([JOB], [])
