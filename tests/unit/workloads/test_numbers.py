"""Whatever stands in an object, something can be made of it, and decided on."""

from itertools import product
from typing import Any

import pytest

from agentstop.cluster.resources import read_record, reader_of
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Limits
from agentstop.lifecycle.observation import Observation
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef
from agentstop.workloads.pods.node import NodeRecord, read_node
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import Delete
from tests.unit.objects import NAMESPACE, NOW, POD_REF, POD_UID, Raw, at, entry, lister, raw_pod, task, when

from .adopted import ACCEPTED
from .owners import raw_owner

TIMES = (None, "0000-01-01T00:00:00Z", "0001-01-01T00:00:01Z", "9999-12-31T23:59:59Z", when(0))
SECONDS = (None, -1, 0, 2**31, 2**63 - 1)
STOPPING = {"phase": "Stopping", "startedAt": when(1), "stop": {"source": "User", "acceptedAt": when(1)}}


def odd_pod(moment: str | None, seconds: int | None) -> Raw:
    ended = {"exitCode": 2**31 - 1, "signal": -(2**31), "startedAt": moment, "finishedAt": moment}
    mark: Raw = {"manager": "agentstop-stop", "time": moment, "fieldsV1": {"f:spec": {"f:activeDeadlineSeconds": {}}}}
    metadata: Raw = {"managedFields": [mark]}
    if moment is not None:
        metadata |= {"deletionTimestamp": moment, "deletionGracePeriodSeconds": seconds}
    return raw_pod(
        metadata=metadata,
        spec={"terminationGracePeriodSeconds": seconds, "activeDeadlineSeconds": seconds},
        status={"startTime": moment, "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]},
    )


@pytest.mark.parametrize(("moment", "seconds"), list(product(TIMES, SECONDS)))
@pytest.mark.parametrize("absent", [False, True])
def test_a_pod_with_odd_numbers_is_decided_on(moment: str | None, seconds: int | None, absent: bool) -> None:
    seen = read_pod(odd_pod(moment, seconds))
    for status in (STOPPING, {"phase": "Running", "startedAt": when(1)}):
        for now in (at(1), at(10_000)):
            subject = task({"podTemplate": {"spec": {}}, "stopRequested": True}, status)
            node = CacheEntry(seen=NodeRecord("n", "n", True, at(-900), False, None, None), at=now)
            known = Lister(
                {POD_REF: entry(seen, absent=absent), ObjectRef("Node", "", "n"): node},
            )
            decision = decide(subject, POD.observe(subject, known, now), now)
            stop = decision.status.stop
            assert stop is not None
            assert stop.grace_period_seconds is None or 0 <= stop.grace_period_seconds <= 3600
            assert stop.signaled_at is None or stop.signaled_at <= now
            decision.status.wire()
            for effect in decision.effects:
                POD.plan_requests(subject, effect, known, now)


def test_a_deletion_whose_sum_overflows_was_asked_for_when_it_is_said_to_be_over() -> None:
    """As the API server has it of a pod that is deleted with 2^63 - 1 seconds."""
    seen = read_pod(raw_pod(metadata={"deletionTimestamp": when(5), "deletionGracePeriodSeconds": 2**63 - 1}))

    assert seen.deletion_requested_at == at(5)
    assert seen.deletion_at is not None
    assert seen.deletion_at > at(10**9)


@pytest.mark.parametrize("which", ["job", "sandbox", "claim", "raycluster", "deployment"])
@pytest.mark.parametrize("odd", [2**63 - 1, -1, None, "many", {}, []])
def test_a_workload_with_odd_numbers_is_read(which: str, odd: Any) -> None:
    raw = raw_owner(which, generation=odd)
    raw["status"] |= {"observedGeneration": odd, "active": odd, "terminating": odd, "replicas": odd}
    if "scale" in raw:
        raw["scale"]["spec"]["replicas"] = raw["scale"]["status"]["replicas"] = odd
    for condition in raw["status"].get("conditions") or ():
        condition |= {"observedGeneration": odd, "lastTransitionTime": "0000-01-01T00:00:00Z"}
    ref = ObjectRef(raw["kind"], NAMESPACE, "x", raw["apiVersion"])

    assert isinstance(reader_of(ref)(raw), OwnerRecord)


# What no reader can make anything of

BROKEN: Raw = {"status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"exploded": {}}}]}}


def test_of_a_pod_that_cannot_be_read_enough_is_known_to_end_it() -> None:
    seen = read_record(read_pod, raw_pod(**BROKEN))

    assert isinstance(seen, PodRecord)
    assert (seen.uid, seen.ended, seen.unreadable) == (POD_UID, False, "ValueError: 'exploded' is not a valid State")
    subject = task({"podTemplate": {"spec": {}}, "stopRequested": True}, {"phase": "Stopping", "stop": ACCEPTED})
    found = POD.observe(subject, lister(entry(seen)), NOW)
    assert (found.proof, found.blocked and found.blocked.reason) == (None, "PodUnreadable")
    sent = [
        request
        for effect in decide(subject, found, NOW).effects
        for request in POD.plan_requests(subject, effect, lister(entry(seen)), NOW)
    ]
    assert sent == [Delete(POD_REF, POD_UID, None)]


def test_a_workload_or_node_that_cannot_be_read_proves_nothing() -> None:
    raw = raw_owner("job")
    raw["status"] = ["no", "status"]
    owner = read_record(reader_of(ObjectRef("Job", NAMESPACE, "x", "batch/v1")), raw)
    node = read_record(read_node, {"metadata": {"name": "n", "uid": "n"}, "status": []})

    assert isinstance(owner, OwnerRecord)
    assert (owner.halted, owner.settled) == (False, False)
    assert owner.unsettled is not None
    assert owner.unsettled.reason == "WorkloadUnreadable"
    assert isinstance(node, NodeRecord)
    assert not node.ready


# The most that a workload's own time counts for


def decided(own: int, spec: Raw | None = None, most: int = 3600) -> int | None:
    subject = task({"podTemplate": {"spec": {}}, "stopRequested": True} | (spec or {}), {"phase": "Running"})
    known = lister(entry(read_pod(raw_pod(spec={"terminationGracePeriodSeconds": own}))))
    seen: Observation = POD.observe(subject, known, NOW)
    stop = decide(subject, seen, NOW, limits=Limits(max_grace_seconds=most)).status.stop
    assert stop is not None
    return stop.grace_period_seconds


@pytest.mark.parametrize(
    ("own", "spec", "grace"),
    [
        (31_536_000, {}, 3600),
        (3601, {}, 3600),
        (3600, {}, 3600),
        (5, {}, 5),
        (31_536_000, {"stop": {"gracePeriodSeconds": 7200}}, 7200),
        (31_536_000, {"stop": {"gracePeriodSeconds": 10}}, 10),
    ],
)
def test_its_own_time_counts_for_an_hour_where_nobody_asks_for_more(own: int, spec: Raw, grace: int) -> None:
    assert decided(own, spec) == grace


def test_the_most_is_what_the_operator_was_told() -> None:
    assert decided(600, most=60) == 60
