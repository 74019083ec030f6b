"""How an order adds up: the ledger of its tasks, and the status that follows from it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.order import MAX_GROUPS, MAX_LISTED, ListedTask, OrderPhase, OrderStatus
from agentstop.cluster.ledger import Ledger
from agentstop.cluster.orders import read_order
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_progress import progress
from agentstop.lifecycle.orders import Order
from tests.unit.objects import NOW, Raw, at, raw_order, task, when

RUNNING: Raw = {"phase": "Running"}


def order(spec: Raw | None = None, **more: Any) -> Order:
    return read_order(raw_order(spec, **more))


def numbered(number: int, status: Raw) -> Task:
    return task(None, status, uid=f"u{number}", name=f"t{number}")


def stopped_by(uid: str | None = "order-uid", verdict: str = "Graceful", **metadata: Any) -> Task:
    by = {"kind": "StopOrder", "name": "o"} | ({"uid": uid} if uid else {})
    stop = {"source": "StopOrder", "order": by, "acceptedAt": when(1)}
    ended = {"verdict": verdict, "confirmedAt": when(2), "signaledAt": when(1)}
    return task(None, {"phase": "Stopped", "finishedAt": when(2), "stop": stop | ended}, **metadata)


# Counts

STALLED: Raw = {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "message": "m"}
STALLED |= {"lastTransitionTime": when(0)}


def accepted(spec: Raw | None = None, **status: Any) -> Order:
    return order(spec, status={"phase": "Stopping", "startedAt": when(0)} | status)


def ledger(*tasks: Task) -> Ledger:
    made = Ledger(whole=True)
    for each in tasks:
        made.put(each)
    return made


def stopping(number: int, signaled: float | None = None, *conditions: Raw) -> Task:
    stop = {"source": "StopOrder", "acceptedAt": when(0), "order": {"kind": "StopOrder", "name": "o"}}
    stop |= {"signaledAt": when(signaled), "killAt": when(30)} if signaled is not None else {}
    return numbered(number, {"phase": "Stopping", "stop": stop, "conditions": list(conditions)})


def test_each_task_is_in_one_bucket() -> None:
    ends = [stopped_by(verdict=verdict) for verdict in ("Graceful", "Graceful", "Killed", "NotStarted", "Gone")]
    tasks = [task(None, each.status.wire(), uid=f"e{number}") for number, each in enumerate(ends)]
    tasks.append(numbered(1, {"phase": "Completed", "finishedAt": when(3)}))
    tasks.append(numbered(2, RUNNING))
    status = progress(accepted(), ledger(*tasks).counts(), at(5), complete=True)

    assert status.stopped is not None
    assert (status.matched, status.stopping) == (7, 1)
    assert status.stopped.wire() == {"graceful": 2, "killed": 1, "notStarted": 1, "other": 2}
    assert status.phase is OrderPhase.STOPPING


def test_it_is_not_over_before_it_is_certain_that_nobody_else_was_meant() -> None:
    sure = [progress(accepted(), ledger(stopped_by()).counts(), at(9), complete=complete) for complete in (False, True)]

    assert [each.phase for each in sure] == [OrderPhase.STOPPING, OrderPhase.COMPLETE]
    assert [each.finished_at for each in sure] == [None, at(2)]


def test_the_signal_is_out_when_nobody_waits_for_it() -> None:
    one, other = stopping(1, 2), stopping(2)
    waiting = progress(accepted(), ledger(one, other).counts(), at(5), complete=True)
    signaled = progress(accepted(), ledger(one, stopping(2, 4)).counts(), at(5), complete=True)

    assert (waiting.signaled_at, waiting.signal_seconds) == (None, None)
    assert (signaled.signaled_at, signaled.signal_seconds, signaled.halt_seconds) == (at(4), 4.0, None)


def test_a_task_that_ended_by_itself_counts_to_the_end_too() -> None:
    kept = ledger(stopped_by(), numbered(1, {"phase": "Completed", "finishedAt": when(7)}))

    assert progress(accepted(), kept.counts(), at(9), complete=True).halt_seconds == 7.0


def test_what_is_removed_in_the_middle_is_counted_as_other_and_to_the_end() -> None:
    kept = ledger(stopping(1, 1))
    kept.put(stopping(1, 1), gone_at=at(6))
    status = progress(accepted(), kept.counts(), at(9), complete=True)

    assert status.stopped is not None
    assert (status.stopped.other, status.stopping, status.halt_seconds) == (1, 0, 6.0)


def test_what_is_removed_after_its_end_stays_counted_as_it_ended() -> None:
    kept = ledger(stopped_by())
    kept.put(stopped_by(), gone_at=at(6))
    status = progress(accepted(), kept.counts(), at(9), complete=True)

    assert status.stopped is not None
    assert (status.stopped.graceful, status.stopped.other, status.halt_seconds) == (1, 0, 2.0)


def test_an_order_that_means_nobody_is_over_at_once() -> None:
    status = progress(accepted(), ledger().counts(), at(1), complete=True)

    assert (status.phase, status.matched, status.signal_seconds) == (OrderPhase.COMPLETE, 0, 0.0)


def test_twenty_stalled_tasks_are_named_and_all_are_counted() -> None:
    kept = ledger(*(stopping(number, None, STALLED) for number in range(100, 130)))
    status = progress(accepted(), kept.counts(), at(1), complete=True)

    assert status.stalled_count == 30
    assert [each.name for each in status.stalled] == [f"t{number}" for number in range(100, 100 + MAX_LISTED)]
    assert status.stalled[0].reason == "NodeUnreachable"


def test_what_is_stalled_no_more_is_not_named() -> None:
    kept = ledger(stopping(1, None, STALLED))
    kept.put(stopping(1, 3))

    assert progress(accepted(), kept.counts(), at(4), complete=True).stalled_count == 0


def test_an_order_that_is_being_deleted_ends_complete_though_it_held() -> None:
    accepted_at = {"phase": "Stopping", "startedAt": when(0)}
    deleting = order({"hold": True}, status=accepted_at, deletionTimestamp=when(5), finalizers=["agentstop.dev/stop"])

    assert progress(deleting, ledger(stopped_by()).counts(), at(9), complete=True).phase is OrderPhase.COMPLETE


HELD = {"phase": "Holding", "startedAt": when(0), "finishedAt": when(5), "matched": 3, "stopped": {"graceful": 3}}


def test_a_hold_goes_on_after_the_end_and_is_lifted_later() -> None:
    held = progress(accepted({"hold": True}), ledger(stopped_by()).counts(), at(9), complete=True)
    lifted = progress(order({"hold": False}, status=HELD), Ledger(whole=True).counts(), at(60), complete=False)

    assert (held.phase, held.lifted_at) == (OrderPhase.HOLDING, None)
    assert (lifted.phase, lifted.lifted_at, lifted.matched) == (OrderPhase.LIFTED, at(60), 3)


def test_a_hold_that_is_lifted_before_the_end_ends_complete() -> None:
    assert progress(accepted({"hold": False}), ledger().counts(), at(9), complete=True).phase is OrderPhase.COMPLETE


def test_under_a_hold_only_refusals_are_counted_any_more() -> None:
    kept = Ledger(whole=True, refused={"a", "b"}, refused_before=3)
    status = progress(order({"hold": True}, status=HELD), kept.counts(), at(60), complete=False)

    assert (status.matched, status.refused, status.phase) == (3, 5, OrderPhase.HOLDING)
    assert status.stopped is not None
    assert status.stopped.graceful == 3


def test_a_refused_task_that_is_removed_stays_counted() -> None:
    kept = Ledger(whole=True, refused={"u1", "u2"})
    for _ in range(2):
        kept.remove(numbered(1, {}))

    assert (kept.rejections, kept.refused) == (2, {"u2"})


# Size

ETCD_BYTES = 1_500_000
"""An API server stores no larger object.

Source: https://etcd.io/docs/v3.6/dev-guide/limit/
"""


def test_a_hundred_thousand_tasks_are_counted_and_not_listed() -> None:
    kept = Ledger(whole=True)
    running, over = stopping(1, 3, STALLED), stopped_by()
    for number in range(50_000):
        kept.put(replace(running, uid=f"r{number}", name=f"r{number}"))
        kept.put(replace(over, uid=f"o{number}"))
    status = progress(accepted(), kept.counts(), at(9), complete=True)

    assert (status.matched, status.stopping, status.stalled_count) == (100_000, 50_000, 50_000)
    assert status.stopped is not None
    assert status.stopped.graceful == 50_000
    assert len(status.model_dump_json()) < 10_000


def test_the_largest_order_is_far_from_the_limit_of_an_object() -> None:
    letter = "\N{GRINNING FACE}"
    values = [f"v{number:062}" for number in range(64)]
    selector = {
        "matchLabels": {f"{number:0317}": "x" * 63 for number in range(64)},
        "matchExpressions": [{"key": f"{number:0317}", "operator": "In", "values": values} for number in range(32)],
    }
    spec: Raw = {"selector": selector, "agents": ["a" * 253] * 64, "message": letter * 1024}
    listed = numbered(1, {"phase": "Stopping", "conditions": [STALLED | {"message": letter * 100_000}]})
    kept = Ledger(whole=True)
    for number in range(100):
        kept.put(replace(listed, uid=str(number), name=f"{number:063}", namespace="n" * 63))
    status = progress(accepted(), kept.counts(), at(9), complete=True)
    groups = [{"namespace": "n" * 63, "agent": "a" * 253, "tasks": 100_000}] * MAX_GROUPS
    report = {"groups": groups, "problems": [each.wire() for each in status.stalled]}
    names = {"taskNames": ["t" * 253] * 256}
    wide = {"namespaceSelector": selector}
    statuses = [status.wire(), {"phase": "Drilled", "drill": report}]
    sizes = [
        len(json.dumps(raw_order(spec | more, each, cluster=more is wide), ensure_ascii=False).encode())
        for more in (names, wide)
        for each in statuses
    ]

    assert max(sizes) < ETCD_BYTES / 2


# Pods whose tasks are gone

ORPHAN = ListedTask(namespace="ns", name="x", reason="OrphanedPod", message="it runs")


def test_an_order_is_not_over_before_the_pods_whose_tasks_are_gone() -> None:
    ledger = Ledger(whole=True)
    ledger.put(stopped_by())
    ledger.wait_for([ORPHAN])
    waits = progress(accepted(), ledger.counts(), at(20), complete=True)
    assert (waits.phase, waits.finished_at) == (OrderPhase.STOPPING, None)
    assert (waits.stalled, waits.stalled_count, waits.matched, waits.stopping) == ((ORPHAN,), 1, 1, 0)

    ledger.wait_for([])
    over = progress(accepted(), ledger.counts(), at(30), complete=True)
    assert (over.phase, over.stalled_count) == (OrderPhase.COMPLETE, 0)
    assert over.finished_at == at(30), "it was not over before that"


# After an operator that died


@pytest.mark.parametrize(
    ("before", "found", "counts"),
    [
        ({"matched": 3, "stopping": 3}, 3, (3, 0, 0)),
        ({"matched": 3, "stopped": {"graceful": 3}}, 1, (3, 0, 0)),
        ({"matched": 3, "stopped": {"graceful": 1, "killed": 1}}, 1, (1, 1, 1)),
        ({"matched": 3, "stopped": {"killed": 1}}, 0, (0, 1, 2)),
        ({"matched": 1}, 3, (3, 0, 0)),
    ],
    ids=[
        "all are there",
        "what was counted and is gone",
        "some of each",
        "what went while nobody looked",
        "more than was written",
    ],
)
def test_the_counts_of_an_earlier_process_go_on(before: Raw, found: int, counts: tuple[int, int, int]) -> None:
    kept = Ledger()
    for number in range(found):
        kept.put(task(None, stopped_by().status.wire(), uid=f"u{number}"))
    one = accepted(**before)
    kept.take_over(one.status)
    status = progress(one, kept.counts(), at(9), complete=True)

    assert status.stopped is not None
    graceful, killed, other = counts
    assert status.stopped.wire() == {"graceful": graceful, "killed": killed, "notStarted": 0, "other": other}
    assert status.matched == max(before["matched"], found)


def test_refusals_of_an_earlier_process_stay_counted() -> None:
    kept = Ledger(refused={"a"})
    kept.take_over(OrderStatus(refused=7, already_finished=4, started_at=NOW))

    assert kept.rejections == 7
    assert progress(accepted(), kept.counts(), at(1), complete=True).already_finished == 4
