"""What a stop leaves behind is said for as long as it is there."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from agentstop.api.task import MAX_REMAINS, Remains
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.observation import KeptPod, Observation, Presence, Task
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry
from agentstop.workloads.requests import Get
from tests.unit.objects import ADOPTS, POD_REF, POD_UID, Raw, at, ended, lister, pod, task, when
from tests.unit.workloads.adopted import OVER, STOPPING, observe
from tests.unit.workloads.adopted import lister as known_of
from tests.unit.workloads.owners import job_pod, suspended_job

STOP: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
KNOWN: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}
CONFIRMED = at(9)
YEAR = timedelta(days=365)
OWN = "deletion of the pod or of its task"


def token(seconds: int | None = 3607, **more: Any) -> Raw:
    asked = {} if seconds is None else {"expirationSeconds": seconds}
    return {"name": "t", "projected": {"sources": [{"configMap": {}}, {"serviceAccountToken": asked | more}]}}


def kept(*volumes: Raw, **metadata: Any) -> CacheEntry:
    spec = {"volumes": list(volumes), "serviceAccountName": "crawler", "activeDeadlineSeconds": 1}
    over: Raw = {"phase": "Failed", "containerStatuses": [ended(finished=8)]}
    return CacheEntry(seen=pod(metadata=metadata, spec=spec, status=over), at=at(8))


def stopping(spec: Raw | None = None) -> Task:
    status = {"phase": "Stopping", "attempts": 1, "workload": KNOWN, "stop": STOP}
    return task({"stopRequested": True, **(spec or {"podTemplate": {}})}, status)


def decided(entry: CacheEntry | None, each: Task | None = None, now: datetime = CONFIRMED) -> Decision:
    each = each or stopping()
    return decide(each, POD.observe(each, lister(entry), now), now)


def remains(decision: Decision) -> list[Raw]:
    stop = decision.status.stop
    assert stop is not None
    return [each.wire() for each in stop.remains or ()]


def over(left: list[Raw], **changes: Any) -> Task:
    """A task that has been stopped, and has this on record."""
    stop = {**STOP, "confirmedAt": when(9), "verdict": "Graceful", "remains": left}
    return task(changes.pop("spec", None), {"phase": "Stopped", "workload": KNOWN, "stop": stop}, **changes)


@pytest.mark.parametrize(
    ("volumes", "lives"),
    [
        pytest.param([token()], YEAR, id="what admission mounts lives for a year"),
        pytest.param([token(600)], timedelta(minutes=10), id="as long as it says"),
        pytest.param([token(None)], timedelta(hours=1), id="where it says nothing"),
        pytest.param([token(600), token(7200, audience="vault")], timedelta(hours=2), id="the longest of several"),
    ],
)
def test_a_pod_that_is_kept_leaves_its_token(volumes: list[Raw], lives: timedelta) -> None:
    decision = decided(kept(*volumes))
    assert [(each["kind"], each["name"], each.get("pod"), each["endedBy"]) for each in remains(decision)] == [
        ("Pod", "x", None, OWN),
        ("ServiceAccountToken", "crawler", "x", "deletion of pod x"),
    ]
    assert decision.status.stop is not None
    assert decision.status.stop.remains is not None
    assert decision.status.stop.remains[1].until == CONFIRMED + lives == decision.wake_at


def test_without_a_token_only_the_pod_remains() -> None:
    assert remains(decided(kept({"name": "v", "emptyDir": {}}))) == [{"kind": "Pod", "name": "x", "endedBy": OWN}]
    adopted = decided(kept(ownerReferences=[]), stopping(ADOPTS))
    assert remains(adopted) == [{"kind": "Pod", "name": "x", "endedBy": "deletion of the pod"}]


def test_what_goes_leaves_nothing_and_what_is_held_its_token_for_a_minute() -> None:
    going: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
    assert remains(decided(kept(token(), **going))) == []
    assert remains(decided(CacheEntry(seen=kept(token()).seen, absent=True, at=at(8)))) == []
    (left,) = remains(decided(kept(token(), **going, finalizers=["example.com/holds"])))
    assert (left["kind"], left["until"][:19]) == ("ServiceAccountToken", when(90)[:19])
    assert left["endedBy"] == "deletion of pod x, which is under way"


def test_it_is_kept_up_to_date_after_the_end() -> None:
    left = remains(decided(kept(token(600))))
    gone = CacheEntry(seen=kept().seen, absent=True, at=at(100))
    assert remains(decided(kept(token(600)), over(left), at(100))) == left
    assert remains(decided(gone, over(left), at(100))) == []
    assert remains(decided(kept(token(600)), over(left), at(610))) == left[:1]
    assert remains(decided(None, over(left), at(100))) == left, "nobody has looked yet"
    assert remains(decided(gone, over(left, deletionTimestamp=when(50)), at(100))) == left, "nobody reads it any more"


def test_an_adopted_pod_that_was_left_is_looked_for_by_an_operator_that_starts() -> None:
    left = remains(decided(kept(token(), ownerReferences=[]), stopping(ADOPTS)))
    assert POD.required_reads(over(left, spec=ADOPTS), lister(), at(100)) == (Get(POD_REF),)
    assert POD.required_reads(over([], spec=ADOPTS), lister(), at(100)) == ()


def test_no_more_are_listed_than_there_is_room_for() -> None:
    pods = tuple(KeptPod(f"x-{number}", str(number), "default", 600, None) for number in range(40))
    seen = Observation(presence=Presence.PRESENT, kept=pods)
    assert len(remains(decide(over([]), seen, at(10)))) == MAX_REMAINS
    assert Remains.model_validate(remains(decide(over([]), seen, at(10)))[1]).pod == "x-0"


def test_pods_of_a_job_that_had_ended_before_are_left() -> None:
    done = job_pod("x-1", status=OVER | {"phase": "Succeeded"}, spec={"volumes": [token(600)]})
    going = job_pod("x-2", status=OVER, metadata={"deletionTimestamp": when(12), "deletionGracePeriodSeconds": 0})
    seen = observe(STOPPING, known_of(suspended_job(), done, going, listed=15, signaled=10))
    left = remains(decide(STOPPING, seen, at(20)))
    assert [(each["kind"], each.get("pod", each["name"])) for each in left] == [
        ("Pod", "x-1"),
        ("ServiceAccountToken", "x-1"),
    ]
    assert observe(STOPPING, known_of(suspended_job(), done, listed=None)).kept is None
