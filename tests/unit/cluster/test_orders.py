"""The book of orders: whom each of them stops and holds, whatever comes in between."""

import random
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agentstop.api.meta import ORDERED_BY_ANNOTATION, STOP_FINALIZER
from agentstop.api.order import OrderPhase
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.orders import StopOrderIndex, read_order
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_progress import progress
from agentstop.lifecycle.orders import Order, OrderKey
from tests.unit.objects import NOW, Raw, at, raw_order, raw_task, task, when

KEY = OrderKey("StopOrder", "ns", "o")
WALKS = 400


class Bench:
    """A book, and whom it has asked to stop."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.book = StopOrderIndex(self._ask, trust_requested_by=True)

    def _ask(self, key: TaskKey) -> None:
        self.asked.append(key.name)

    def put(self, spec: Raw | None = None, status: Raw | None = None, version: int = 1, **more: Any) -> Order:
        order = self.book.put(raw_order(spec, status, version, **more))
        assert order is not None
        return order

    def accept(self, spec: Raw | None = None, *tasks: Task, now: datetime = NOW, **more: Any) -> Order:
        order = self.book.accept(self.put(spec, **more), now)
        for each in tasks:
            self.book.meet(order, each, here=True)
        return order

    def comes(self, one: Task) -> list[OrderKey]:
        return self.book.changed(None, one, NOW)

    def grace(self, one: Task) -> int | None:
        stop = self.book.order_effect(one).stop
        assert stop is not None
        return stop.grace_seconds

    def held(self, one: Task) -> str | None:
        hold = self.book.order_effect(one).hold
        return hold.reason if hold is not None else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def named(name: str, spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> Task:
    return task(spec, status, **{"name": name, "uid": f"uid-{name}", "creationTimestamp": when(-60), **metadata})


def ordered(
    name: str, order: str = "o", seconds: float = 1, phase: str = "Stopping", by: str | None = None, **metadata: Any
) -> Task:
    uid = by or ("order-uid" if order == "o" else f"uid-{order}")
    stop: Raw = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": order, "uid": uid}}
    stop |= {"acceptedAt": when(seconds)}
    if phase == "Stopped":
        stop |= {"verdict": "NotStarted", "confirmedAt": when(seconds)}
    status = {"phase": phase, "stop": stop} | ({"finishedAt": when(seconds)} if phase == "Stopped" else {})
    return named(name, None, status, **metadata)


def test_what_matches_at_the_acceptance_is_stopped_and_counted(bench: Bench) -> None:
    labels = {"labels": {"team": "a"}}
    one, paused = named("one", **labels), named("paused", {"podTemplate": {}, "paused": True}, **labels)
    bench.accept({"selector": {"matchLabels": {"team": "a"}}}, one, paused, named("other"))

    assert bench.asked == ["one", "paused"]
    assert set(bench.book.ledger(KEY).buckets) == {"uid-one", "uid-paused"}
    stop = bench.book.order_effect(one).stop
    assert stop is not None
    assert (stop.kind, stop.name) == ("StopOrder", "o")
    assert bench.book.order_effect(named("other")).stop is None


def test_what_had_ended_is_counted_apart(bench: Bench) -> None:
    bench.accept(None, named("one", None, {"phase": "Completed", "finishedAt": when(-5)}))

    assert bench.asked == []
    assert bench.book.ledger(KEY).finished == {"uid-one"}


def test_who_made_it_and_why_goes_on_record(bench: Bench) -> None:
    one = named("one")
    spec = {"reason": "Incident", "message": "m", "gracePeriodSeconds": 5}
    bench.accept(spec, one, annotations={ORDERED_BY_ANNOTATION: "jane"})
    stop = bench.book.order_effect(one).stop

    assert stop is not None
    assert (stop.requested_by, stop.reason, stop.message, stop.grace_seconds) == ("jane", "Incident", "m", 5)


def test_without_a_hold_later_tasks_are_free(bench: Bench) -> None:
    bench.accept()
    later = named("later", creationTimestamp=when(2))

    assert bench.comes(later) == []
    assert bench.book.order_effect(later).stop is None
    assert bench.held(later) is None


def test_a_task_made_before_the_order_and_heard_of_later_is_stopped(bench: Bench) -> None:
    bench.accept()

    assert bench.comes(named("late", creationTimestamp=when(0))) == [KEY, KEY]
    assert bench.asked == ["late"]


def test_clocks_that_differ_let_nobody_escape_who_was_there_before(bench: Bench) -> None:
    bench.accept(now=at(-30))
    bench.comes(named("late", creationTimestamp=when(-1)))

    assert bench.asked == ["late"]


def test_with_a_hold_later_tasks_are_refused(bench: Bench) -> None:
    bench.accept({"hold": True})
    bench.put({"hold": True}, {"phase": "Holding", "startedAt": when(0), "finishedAt": when(1)}, 2)
    later = named("later", creationTimestamp=when(5))

    assert bench.comes(later) == [KEY]
    assert bench.asked == ["later"]
    assert bench.book.ledger(KEY).refused == {"uid-later"}
    assert bench.book.ledger(KEY).buckets == {}


def test_a_task_made_in_the_second_of_the_acceptance_is_refused_if_the_order_is_through(bench: Bench) -> None:
    bench.accept({"hold": True}, now=at(0.3))
    status = {"phase": "Holding", "startedAt": at(0.3).isoformat(), "finishedAt": at(0.4).isoformat()}
    bench.put({"hold": True}, status, 2)
    bench.comes(named("later", creationTimestamp=when(0)))

    assert bench.asked == ["later"]
    assert bench.book.ledger(KEY).rejections == 1


def test_what_comes_to_match_by_a_label_is_held_and_not_stopped(bench: Bench) -> None:
    before = named("one")
    after = named("one", labels={"team": "a"}, resourceVersion="9")
    bench.accept({"hold": True, "selector": {"matchLabels": {"team": "a"}}}, before)

    assert bench.book.changed(before, after, NOW) == []
    assert bench.asked == []
    assert (bench.held(before), bench.held(after)) == (None, "HeldByOrder")


def test_what_was_labelled_before_the_order_is_stopped_though_that_is_heard_of_later(bench: Bench) -> None:
    before = named("one")
    after = named("one", labels={"team": "a"}, resourceVersion="5")
    bench.accept({"selector": {"matchLabels": {"team": "a"}}}, before, version=6)

    assert bench.book.changed(before, after, NOW) == [KEY, KEY]
    assert bench.asked == ["one"]


def test_the_first_order_goes_on_record_and_both_count(bench: Bench) -> None:
    one = named("one")
    for name in ("first", "second"):
        bench.accept(None, one, name=name, uid=name)
    stop = bench.book.order_effect(one).stop

    assert stop is not None
    assert stop.name == "first"
    assert all(bench.book.ledger(KEY._replace(name=name)).buckets for name in ("first", "second"))


@pytest.mark.parametrize(
    ("first", "second", "grace"), [(30, 1, 1), (5, 30, 5), (None, 5, 5), (5, None, 5), (None, None, None)]
)
def test_a_later_order_can_only_shorten_the_grace_period(
    bench: Bench, first: int | None, second: int | None, grace: int | None
) -> None:
    one = named("one")
    for name, seconds in (("first", first), ("second", second)):
        bench.accept({"gracePeriodSeconds": seconds} if seconds else None, one, name=name, uid=name)

    assert bench.grace(one) == grace


@pytest.mark.parametrize(
    ("first", "second", "policy"),
    [
        ("Delete", "Keep", "Delete"),
        ("Keep", "Delete", "Delete"),
        (None, "Delete", "Delete"),
        (None, "Keep", None),
        ("Keep", None, "Keep"),
        ("Keep", "DeleteAfterProof", "DeleteAfterProof"),
        (None, "DeleteAfterProof", "DeleteAfterProof"),
        ("DeleteAfterProof", "Delete", "Delete"),
        ("Delete", "DeleteAfterProof", "Delete"),
    ],
)
def test_a_later_order_can_only_have_the_pod_deleted(
    bench: Bench, first: str | None, second: str | None, policy: str | None
) -> None:
    one = named("one")
    for name, said in (("first", first), ("second", second)):
        bench.accept({"podPolicy": said} if said else None, one, name=name, uid=name)

    stop = bench.book.order_effect(one).stop
    assert stop is not None
    assert (stop.name, stop.pod_policy) == ("first", policy)


def test_an_order_shortens_the_grace_period_of_a_stop_that_is_under_way(bench: Bench) -> None:
    one = named("one", None, {"phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(-9)}})
    bench.accept({"gracePeriodSeconds": 1}, one)

    assert bench.grace(one) == 1


def test_a_drill_means_nothing_to_anybody(bench: Bench) -> None:
    one = named("one")
    bench.put({"drill": True, "hold": True})

    assert bench.comes(one) == []
    assert bench.held(one) is None


def test_a_lifted_hold_holds_nobody(bench: Bench) -> None:
    one = named("one")
    bench.put({"hold": True}, {"phase": "Holding", "startedAt": when(0), "finishedAt": when(1)})
    assert bench.held(one) == "HeldByOrder"

    bench.put({"hold": False}, {"phase": "Holding", "startedAt": when(0), "finishedAt": when(1)}, 2)
    assert bench.held(one) is None


def test_a_hold_binds_before_the_order_is_accepted(bench: Bench) -> None:
    bench.put({"hold": True})

    assert bench.held(named("one")) == "HeldByOrder"


def test_nothing_starts_in_a_namespace_whose_labels_are_not_known(bench: Bench) -> None:
    bench.put({"hold": True, "namespaceSelector": {"matchLabels": {"tier": "agents"}}}, cluster=True)
    assert bench.held(named("one")) == "NamespaceUnknown"

    bench.book.namespaces["ns"] = {"tier": "web"}
    assert bench.held(named("one")) is None


def test_whom_an_order_that_is_gone_has_stopped_stays_stopped(bench: Bench) -> None:
    one = named("one")
    bench.accept({"hold": True}, one)
    bench.book.drop(KEY)

    assert bench.book.order_effect(one).stop is not None
    bench.book.changed(one, ordered("one", phase="Stopped"), NOW)
    assert bench.book.order_effect(one).stop is None


def test_an_accepted_order_stays_so_while_that_cannot_be_written(bench: Bench) -> None:
    bench.accept({"hold": True}, version=3)
    lifted = bench.put({"hold": False}, version=4)

    assert (lifted.status.phase, lifted.status.started_at) == (OrderPhase.STOPPING, NOW)
    assert bench.comes(named("late", creationTimestamp=when(0))) == [KEY, KEY]


def test_old_news_of_an_order_are_no_news(bench: Bench) -> None:
    bench.put(version=10)

    assert bench.book.put(raw_order(version=9)) is None


def test_another_order_of_the_same_name_begins_anew(bench: Bench) -> None:
    bench.accept(None, named("one"))
    again = bench.put(version=5, uid="another")

    assert again.status.started_at is None
    assert bench.book.ledger(KEY).buckets == {}


@pytest.mark.parametrize("hold", [False, True])
def test_an_earlier_order_of_that_name_has_no_part_in_the_counts(bench: Bench, hold: bool) -> None:
    old = ordered("old", seconds=-600, phase="Stopped", by="earlier")
    order = bench.accept({"hold": hold}, old)

    assert bench.book.ledger(KEY).buckets == {}
    assert not bench.book.meet(order, ordered("elsewhere", by="another", namespace="other"), here=True)


# After a crash


def restarted(status: Raw, *tasks: Task, spec: Raw | None = None) -> Bench:
    bench = Bench()
    order = bench.put(spec, status)
    for each in tasks:
        bench.book.meet(order, each)
    return bench


STOPPING: Raw = {"phase": "Stopping", "startedAt": when(0), "matched": 2}


def test_the_tasks_of_an_order_are_found_again() -> None:
    ended = named("ended", None, {"phase": "Completed", "finishedAt": when(3)})
    before = named("before", None, {"phase": "Completed", "finishedAt": when(-3)})
    by_another = ordered("another's", "first", 2, "Stopped")
    new = named("new", creationTimestamp=when(2))
    bench = restarted(
        STOPPING, ordered("one"), ordered("two", phase="Stopped"), named("three"), ended, before, by_another, new
    )

    assert set(bench.book.ledger(KEY).buckets) == {"uid-one", "uid-two", "uid-three", "uid-ended", "uid-another's"}
    assert bench.book.ledger(KEY).finished == {"uid-before"}
    assert bench.asked == ["one", "three"]


def test_the_grace_period_of_an_order_is_in_force_after_a_crash() -> None:
    bench = restarted(STOPPING, ordered("one"), spec={"gracePeriodSeconds": 7})

    assert bench.grace(ordered("one")) == 7


def test_refused_tasks_are_found_again_and_those_that_only_match_are_held() -> None:
    holding = {"phase": "Holding", "startedAt": when(0), "finishedAt": when(2)}
    refused = ordered("refused", seconds=9, phase="Stopped", creationTimestamp=when(9))
    new = named("new", creationTimestamp=when(20))
    relabelled = named("relabelled")
    held = {"type": "Stalled", "status": "True", "reason": "HeldByOrder", "message": "m"}
    conditions = {"conditions": [held | {"lastTransitionTime": when(21)}]}
    later = named("later", None, conditions, creationTimestamp=when(20))
    bench = restarted(holding, ordered("one", phase="Stopped"), refused, new, relabelled, later, spec={"hold": True})

    assert bench.book.ledger(KEY).refused == {"uid-refused", "uid-new"}
    assert bench.asked == ["new"]
    assert [bench.held(each) for each in (relabelled, later)] == ["HeldByOrder", "HeldByOrder"]


def test_acceptance_that_was_never_written_is_made_again_and_what_it_stopped_counts() -> None:
    bench = Bench()
    bench.accept(None, ordered("one", seconds=1, phase="Stopped"), named("two"), now=at(4))

    assert set(bench.book.ledger(KEY).buckets) == {"uid-one", "uid-two"}
    assert bench.book.ledger(KEY).finished == set()


# Random histories


class Walk:
    """An order over tasks that come, end, are stopped, removed and relabelled, and an operator that dies."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.bench = Bench()
        self.seconds = 0.0
        self.made = self.version = 0
        self.tasks: dict[str, Raw] = {}
        self.spec: Raw = {"selector": {"matchLabels": {"team": "a"}}, "hold": self.random.random() < 0.5}
        self.raw = raw_order(self.spec)
        self.order: Order | None = None
        self.meant: set[str] = set()
        """UIDs of the tasks that matched at the acceptance."""
        self.early: set[str] = set()
        """UIDs of those that were there then."""
        self.refused: set[str] = set()
        self.deleted = self.gone = False
        """Whether the order's deletion was asked for, and whether it is gone."""
        self.ends: dict[str, str] = {}
        self._read: dict[str, Task] = {}
        """Tasks as they were read, by resource version: that takes most of the time."""

    @property
    def book(self) -> StopOrderIndex:
        return self.bench.book

    def pass_time(self) -> None:
        # Beyond the second, so that it is certain what was before and what came after.
        self.seconds += self.random.choice([1.0, 1.5])

    def make(self) -> None:
        self.made += 1
        name = f"t{self.made}"
        labels = {"team": self.random.choice("aab")}
        metadata: Raw = {"name": name, "uid": name, "labels": labels, "creationTimestamp": when(int(self.seconds))}
        raw = raw_task(None, self.random.choice([{}, {"phase": "Running"}]), **metadata)
        self.pass_time()
        if self.order is not None and self.order.holds and labels["team"] == "a":
            self.refused.add(name)
        self._put(raw, new=True)

    def _put(self, raw: Raw, *, new: bool = False) -> None:
        self.version += 1
        before = None if new else self._task(self.tasks[raw["metadata"]["name"]])
        raw = raw | {"metadata": raw["metadata"] | {"resourceVersion": str(1000 + self.version)}}
        self.tasks[raw["metadata"]["name"]] = raw
        self.book.changed(before, self._task(raw), at(self.seconds))

    def accept(self) -> None:
        if self.order is None:
            self.early = set(self.tasks)
            self.meant = {
                name
                for name, raw in self.tasks.items()
                if raw["metadata"]["labels"]["team"] == "a" and not self._over(raw)
            }
            order = self.book.put(self.raw)
            assert order is not None
            self.order = self.book.accept(order, at(self.seconds))
            for raw in self.tasks.values():
                self.book.meet(self.order, self._task(raw), here=True)
            self.pass_time()
            self.write()

    def _over(self, raw: Raw) -> bool:
        return self._task(raw).status.phase.terminal

    def _task(self, raw: Raw) -> Task:
        version = raw["metadata"]["resourceVersion"]
        if version not in self._read:
            self._read[version] = read_task(raw)
        return self._read[version]

    def work(self) -> None:
        """A stop takes a step, if one is asked for."""
        for raw in self.random.sample(list(self.tasks.values()), len(self.tasks)):
            one = self._task(raw)
            stop = self.book.order_effect(one).stop
            if stop is None and one.status.stop is None:
                continue
            if one.status.stop is None:
                assert stop is not None
                record = {"source": "StopOrder", "order": {"kind": stop.kind, "name": stop.name, "uid": stop.uid}}
                self._put(raw | {"status": {"phase": "Stopping", "stop": record | {"acceptedAt": when(self.seconds)}}})
                return
            if not one.status.phase.terminal:
                self._end(raw, "Stopped", self.random.choice(["Graceful", "Killed", "NotStarted"]))
                return

    def end_one(self) -> None:
        for name, raw in self.tasks.items():
            if not self._over(raw) and "stop" not in raw["status"] and name not in self.refused:
                self._end(raw, "Completed", "")
                return

    def _end(self, raw: Raw, phase: str, verdict: str) -> None:
        status = raw["status"] | {"phase": phase, "finishedAt": when(self.seconds)}
        if verdict:
            status["stop"] = status["stop"] | {"verdict": verdict, "confirmedAt": when(self.seconds)}
        self.ends[raw["metadata"]["name"]] = verdict
        self.pass_time()
        self._put(raw | {"status": status})

    def remove(self) -> None:
        over = [name for name, raw in self.tasks.items() if self._over(raw)]
        if over:
            name = self.random.choice(over)
            self.write()
            self.book.changed(self._task(self.tasks.pop(name)), None, at(self.seconds))

    def relabel(self) -> None:
        """Labels change after the acceptance: that makes nobody stop, and nobody escape."""
        free = [raw for raw in self.tasks.values() if raw["metadata"]["name"] in self.early]
        if self.order is not None and free:
            raw = self.random.choice(free)
            self.write()
            if raw["metadata"]["name"] in self.meant and "stop" not in raw["status"]:
                return  # it would escape a crash; that is for the record of the stop
            labels = {"team": self.random.choice("ab")}
            if labels["team"] == "a" and self.order.status.phase is not OrderPhase.HOLDING:
                return  # after a crash in the middle, nobody can tell that it did not match before
            self._put(raw | {"metadata": raw["metadata"] | {"labels": labels}})

    def delete(self) -> None:
        """The order is deleted; as long as it is guarded, it stays."""
        if self.order is not None and not self.deleted:
            self.deleted = True
            self._change({"deletionTimestamp": when(int(self.seconds))})

    def _change(self, metadata: Raw) -> None:
        """The metadata of the order change, and with it what it means."""
        self.version += 1
        metadata = self.raw["metadata"] | metadata | {"resourceVersion": str(1000 + self.version)}
        self.raw = self.raw | {"metadata": metadata}
        self.order = read_order(self.raw)
        self.gone = self.deleted and not metadata.get("finalizers")
        if self.gone:
            self.book.drop(KEY)
        else:
            assert self.book.put(self.raw) is not None

    def guard(self) -> None:
        """Put the finalizer on while anything is to be stopped that has no record of it, or take it off."""
        exposed = bool(self.book.ledger(KEY).unrecorded)
        if self.order is not None and self.order.protected is not exposed and not (exposed and self.deleted):
            self._change({"finalizers": [STOP_FINALIZER] if exposed else []})

    def write(self) -> None:
        if not self.gone:
            self.guard()
        if self.order is not None and not self.gone:
            current = self.book.order(KEY)
            assert current is not None
            ledger = self.book.ledger(KEY)
            certain = not ledger.unsignaled or all(self._over(raw) for raw in self.tasks.values())
            status = progress(current, ledger.counts(), at(self.seconds), complete=certain)
            self.version += 1
            metadata = self.raw["metadata"] | {"resourceVersion": str(1000 + self.version)}
            self.raw = self.raw | {"status": status.wire(), "metadata": metadata}
            put = self.book.put(self.raw)
            assert put is not None
            self.order = put

    def crash(self) -> None:
        if (self.meant | self.refused) - set(self.tasks):
            self.write()  # nobody can tell what was removed from what ended within one pace of the writing
        self.bench = Bench()
        if self.gone:
            return
        order = self.book.put(self.raw)
        assert order is not None
        if self.order is None:
            self.book.drop(KEY)
            return
        self.order = order
        for raw in self.tasks.values():
            self.book.meet(order, read_task(raw))
        self.book.ledger(KEY).take_over(order.status)

    def finish(self) -> None:
        self.accept()
        for _ in range(3 * len(self.tasks)):
            self.work()
        self.write()

    def check(self) -> None:
        assert self.order is not None
        status = self.order.status
        for name in sorted((self.meant if self.deleted else self.meant | self.refused) & set(self.tasks)):
            assert self._over(self.tasks[name]), f"{name} escaped"
        if self.deleted:
            assert self.gone, "the order hangs"
            return
        wanted = [self.ends[name] for name in self.meant]
        assert status.stopped is not None
        found = (status.stopped.graceful, status.stopped.killed, status.stopped.not_started, status.stopped.other)
        assert found == tuple(wanted.count(verdict) for verdict in ("Graceful", "Killed", "NotStarted", ""))
        assert (status.matched, status.stopping) == (len(self.meant), 0)
        assert status.refused == len(self.refused)
        assert status.phase is (OrderPhase.HOLDING if self.spec["hold"] else OrderPhase.COMPLETE)


@pytest.mark.parametrize("group", range(10))
def test_whatever_happens_the_counts_end_right(group: int) -> None:
    for seed in range(group, WALKS, 10):
        walk = Walk(seed)
        steps = [walk.make] * 6 + [walk.work] * 4 + [walk.end_one, walk.remove, walk.relabel, walk.write, walk.crash]
        try:
            steps += [walk.delete] * (seed % 2)
            for number in range(60):
                walk.random.choice(steps)()
                walk.pass_time()
                if number == 20:
                    walk.accept()
            walk.finish()
            walk.check()
        except AssertionError as error:
            error.add_note(f"in the history of seed {seed}")
            raise


def test_the_walks_see_a_count_that_is_wrong() -> None:
    walk = Walk(1)
    walk.make()
    walk.finish()
    assert walk.order is not None
    walk.order = replace(walk.order, status=walk.order.status.but(matched=99))

    with pytest.raises(AssertionError):
        walk.check()
