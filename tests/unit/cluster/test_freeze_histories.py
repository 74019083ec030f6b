"""Random histories of orders that freeze: what is kept up with each change is what one would count anew."""

import random
from typing import Any

import pytest

from agentstop.api.order import Then
from agentstop.cluster.freeze_ledger import FreezeLedger
from agentstop.cluster.orders import StopOrderIndex, key_of
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_freeze import FreezeCounts
from agentstop.lifecycle.orders import matches
from tests.unit.objects import NAMESPACE, Raw, at, raw_order, task, when

HISTORIES = 60
STEPS = 60
NAMES = tuple(f"t{number}" for number in range(5))


class World:
    """Some tasks, an order over one team of them in the namespaces of one kind, and an index that is told of all."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  (histories guard no secret)
        self.version = 0
        self.tasks: dict[str, Task] = {}
        self.book = StopOrderIndex(lambda _: None)
        self.order: Raw | None = None

    def next(self) -> int:
        self.version += 1
        return self.version

    # What happens

    def put(self) -> None:
        name = self.random.choice(NAMES)
        before = self.tasks.get(name)
        kept = before is not None and self.random.random() < 0.8
        uid = before.uid if before is not None and kept else f"{name}-{self.next()}"
        labels = {"team": self.random.choice("ab")}
        if before is not None and kept and self.random.random() < 0.7:
            labels = dict(before.labels)
        metadata: Raw = {"name": name, "uid": uid, "labels": labels, "resourceVersion": str(self.next())}
        self.tasks[name] = after = task(None, self._status(), **metadata)
        self.tell(before, after)

    def _status(self) -> Raw:
        by = {"frozenBy": {"kind": "StopOrder", "name": "o", "uid": self.random.choice(["order-uid", "another"])}}
        freeze_state = {"phase": "Paused", "pausePolicy": "Freeze", "pausedAt": when(self.version)}
        stalled = {"type": "Stalled", "status": "True", "message": "m", "lastTransitionTime": when(0)}
        kept = {"conditions": [stalled | {"reason": self.random.choice(["HeldByOrder", "LivenessProbe"])}]}
        return self.random.choice(
            [
                {"phase": "Pending"},
                {"phase": "Pending"} | kept,
                {"phase": "Running"},
                {"phase": "Pausing", "reason": "Freezing"} | by,
                {"phase": "Pausing", "reason": "Freezing"} | by | kept,
                {"phase": "Paused"},
                freeze_state | by | {"reason": "Frozen"},
                freeze_state | {"reason": "Frozen"},
                freeze_state | by | {"reason": "Thawing"},
                {"phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(0)}},
                {"phase": "Completed", "finishedAt": when(1)},
            ]
        )

    def remove(self) -> None:
        if self.tasks:
            before = self.tasks.pop(self.random.choice(list(self.tasks)))
            self.tell(before, None)

    def tell(self, before: Task | None, after: Task | None) -> None:
        counted = self.counts()
        told = self.book.changed(before, after, at(self.version))
        assert (self.counts() == counted) or told, "its counts have changed, and nobody was told"

    def make(self) -> None:
        if self.order is None:
            spec = {"freeze": True, "selector": {"matchLabels": {"team": "a"}}}
            self.order = raw_order(spec, None, self.next())
            self.take_in()

    def say(self) -> None:
        if self.order is not None and "then" not in self.order["spec"]:
            self.order = raw_order(self.order["spec"] | {"then": Then.RESUME}, None, self.next())
            self.take_in()

    def take_in(self) -> None:
        assert self.order is not None
        assert self.book.put(self.order) is not None
        self.look()

    def look(self) -> None:
        """A pass looks at all tasks, as when it is made, or after a change of leaders."""
        order = self.book.order(key_of(self.order)) if self.order is not None else None
        if order is None:
            return
        if self.random.random() < 0.3:
            self.book.count_anew()
        self.book.freeze_ledger(order.key)
        for each in self.tasks.values():
            self.book.freeze(order, each)

    def drop(self) -> None:
        if self.order is not None:
            self.book.drop(key_of(self.order))
            self.order = None

    # What is to be

    def counts(self) -> FreezeCounts | None:
        if self.order is None:
            return None
        return self.book.freeze_ledger(key_of(self.order)).counts()

    def anew(self) -> FreezeCounts | None:
        order = self.book.order(key_of(self.order)) if self.order is not None else None
        if order is None:
            return None
        ledger = FreezeLedger()
        for each in self.tasks.values():
            ledger.put(order, each, matching=matches(order, each, self.book.namespaces))
        return ledger.counts()

    def check(self) -> None:
        kept, anew = self.counts(), self.anew()
        if kept is None or anew is None:
            assert kept is anew
            return
        assert _without_moment(kept) == _without_moment(anew)
        assert anew.frozen_at is None or (kept.frozen_at is not None and kept.frozen_at >= anew.frozen_at)
        assert kept.frozen + kept.left <= kept.matched
        for each in self.tasks.values():
            effect = self.book.order_effect(each)
            if effect.freeze is not None:
                assert effect.hold is not None, "it is frozen, and may start"
                assert effect.stop is None


def _without_moment(counts: FreezeCounts) -> tuple[Any, ...]:
    return counts.matched, counts.frozen, counts.left, counts.stalled, counts.stalled_count


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_what_is_kept_up_is_what_one_would_count(seed: int) -> None:
    world = World(seed)
    steps = [world.put] * 6 + [world.remove, world.make, world.make, world.say, world.look, world.drop]
    for _ in range(STEPS):
        world.random.choice(steps)()
        world.check()


def test_an_order_of_another_namespace_counts_nothing() -> None:
    book = StopOrderIndex(lambda _: None)
    other = raw_order({"freeze": True}, namespace="elsewhere")
    assert NAMESPACE != "elsewhere"
    order = book.put(other)
    assert order is not None
    book.freeze_ledger(order.key)

    assert book.changed(None, task(None, {"phase": "Running"}), at(0)) == []
    assert book.freeze_ledger(order.key).counts().matched == 0
