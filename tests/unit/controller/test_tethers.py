"""Leases are read when they would run out, once for all their tasks; what is lost is stopped, and nothing else."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.tethers import LeaseKey, TetherIndex
from agentstop.controller.retry import RetryError
from agentstop.controller.tethers import Tethers
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.facts import Facts
from agentstop.lifecycle.observation import Observation, Presence
from agentstop.workloads.requests import GetLease, Request
from tests.unit.lifecycle.world.operator import done_at_once
from tests.unit.objects import NOW, Raw, raw_task

DURATION = 15
LATE = timedelta(seconds=2)
"""So much later than the Lease's time a stop may be accepted."""

AWAY = ApiError(0, "Unreachable", "the API server did not answer in time")
STEP = timedelta(milliseconds=100)


class ModelQueue:
    """A queue on the test's clock."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.due: dict[object, datetime] = {}

    @property
    def has_urgent(self) -> bool:
        return False

    def add(self, key: object, *, priority: Priority = Priority.NORMAL) -> None:
        self.due[key] = self._clock()

    def add_after(self, key: object, seconds: float) -> None:
        due = self._clock() + timedelta(seconds=max(seconds, 0.0))
        self.due[key] = min(self.due.get(key, due), due)

    def retry(self, key: object) -> None:
        self.add_after(key, 1)

    def forget(self, key: object) -> None:
        self.due.pop(key, None)

    def take(self) -> object | None:
        key = next((each for each, due in self.due.items() if due <= self._clock()), None)
        if key is not None:
            del self.due[key]
        return key


class Bench:
    """Leases and tasks on an API server whose clock is the test's, and an operator that may be exchanged."""

    def __init__(self) -> None:
        self.now = NOW
        self.tasks: dict[str, Raw] = {}
        self.leases: dict[str, Raw] = {}
        self.away = self.forbidden = False
        self.hangs_seconds = 0.0
        self.reads: Counter[str] = Counter()
        self.stopped: dict[str, datetime] = {}
        self._version = 0
        self.restart()

    def restart(self) -> None:
        """Another process, which knows nothing but what is written."""
        self.cache = Cache()
        self.queue, self.passes = ModelQueue(self.clock), ModelQueue(self.clock)
        self.index = TetherIndex()
        self.tethers = Tethers(
            self.cache,
            self.index,
            cast("Gateway", self),
            cast("Enqueuer[LeaseKey]", self.queue),
            cast("Enqueuer[TaskKey]", self.passes),
            self.clock,
        )
        for name in self.tasks:
            self._tell(name)

    def clock(self) -> datetime:
        return self.now

    # The API server

    async def send(self, request: Request) -> Raw:
        assert isinstance(request, GetLease)
        name = request.ref.name
        self.reads[name] += 1
        if self.away:
            raise AWAY
        if self.forbidden:
            raise ApiError(403, "Forbidden", "leases is forbidden")
        found = self.leases.get(name)
        self.now += timedelta(seconds=self.hangs_seconds)
        self.hangs_seconds = 0.0
        if found is None:
            raise ApiError(404, "NotFound", "no such lease")
        return found

    # What happens

    def renew(
        self, name: str = "s", *, ahead: float = 3600, ours: bool = True, notes: bool = True, **spec: object
    ) -> None:
        """A holder, whose clock is an hour ahead, writes its Lease."""
        self._version += 1
        noted = self.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {"manager": "m", "time": noted, "fieldsV1": {"f:spec": {"f:renewTime": {}}}}
        said = (self.now + timedelta(seconds=ahead)).isoformat()
        self.leases[name] = {
            "metadata": {
                "name": name,
                "resourceVersion": str(self._version),
                "labels": {"agentstop.dev/tether": "true"} if ours else {},
                "managedFields": [entry] if notes else [],
            },
            "spec": {"holderIdentity": "jane", "leaseDurationSeconds": DURATION, "renewTime": said} | spec,
        }

    def add(self, name: str = "a", lease: str = "s") -> None:
        """A task is made, or a tether is put on it."""
        self._version += 1
        spec = {"podTemplate": {"spec": {}}, "tether": {"leaseName": lease}}
        self.tasks[name] = raw_task(spec, version=self._version, name=name, uid=f"{name}-uid")
        self._tell(name)

    def annotate(self, name: str, annotation: str, value: str) -> None:
        """Somebody leaves a note on a task."""
        self._version += 1
        metadata = self.tasks[name]["metadata"]
        noted = {"annotations": {annotation: value}, "resourceVersion": str(self._version)}
        self.tasks[name] = {**self.tasks[name], "metadata": {**metadata, **noted}}
        self._tell(name)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the operator do what is due."""
        until = self.now + timedelta(seconds=seconds)
        while True:
            self._work()
            if self.now >= until:
                return
            self.now = min(self.now + STEP, until)

    def condition(self, name: str = "a") -> tuple[str, str] | None:
        found = {each["type"]: each for each in self.tasks[name]["status"].get("conditions", ())}.get("Tethered")
        return (found["status"], found["reason"]) if found is not None else None

    def _work(self) -> None:
        while (lease := self.queue.take()) is not None:
            try:
                done_at_once(self.tethers.reconcile(cast("LeaseKey", lease)))
            except RetryError:
                self.queue.retry(lease)
        while (key := self.passes.take()) is not None:
            self._decide(cast("TaskKey", key))

    def _decide(self, key: TaskKey) -> None:
        task = self.cache.tasks.get(key)
        if task is None or self.away:
            return
        seen = Observation(presence=Presence.PRESENT, started_at=NOW, active=True)
        decision = decide(task, seen, self.now, facts=Facts(lease=self.index.lease_of(task)))
        if decision.status.stop is not None:
            assert decision.status.stop.source == "Tether"
            assert not decision.status.manually_stopped
            self.stopped.setdefault(key.name, decision.status.stop.accepted_at)
        if decision.status != task.status:
            self._version += 1
            raw = self.tasks[key.name]
            metadata = {**raw["metadata"], "resourceVersion": str(self._version)}
            self.tasks[key.name] = {**raw, "metadata": metadata, "status": decision.status.wire()}
            self._tell(key.name)

    def _tell(self, name: str) -> None:
        taken = self.cache.tasks.put(self.tasks[name], self.now)
        if taken is not None:
            self.passes.add(taken)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def renewed(bench: Bench, seconds: int, *names: str, every: float = 2.5) -> None:
    """Let time pass in which holders renew their Leases."""
    for _ in range(round(seconds / every)):
        for name in names or ("s",):
            bench.renew(name)
        bench.pass_time(every)


def test_a_renewed_lease_is_read_once_in_its_time_whatever_hangs_on_it(bench: Bench) -> None:
    for number in range(50):
        bench.add(f"a{number}")
        bench.add(f"b{number}", f"s{number}")
    names = ["s", *(f"s{number}" for number in range(50))]
    renewed(bench, 20 * DURATION, *names)
    assert not bench.stopped
    assert set(bench.reads) == set(names)
    # At first once more, since nothing held yet. From then on the time between two reads is that between the last
    # renewals before them.
    assert max(bench.reads.values()) <= 20 * DURATION / (DURATION - 2.5) + 2
    assert bench.condition("a7") == bench.condition("b7") == ("True", "LeaseRenewed")


def test_what_is_not_renewed_is_lost_when_it_runs_out(bench: Bench) -> None:
    bench.add()
    renewed(bench, 60)
    last = bench.now
    bench.renew()
    bench.pass_time(DURATION)
    assert not bench.stopped
    bench.pass_time(2)
    assert timedelta(seconds=DURATION) <= bench.stopped["a"] - last <= timedelta(seconds=DURATION) + LATE
    assert bench.condition() == ("False", "TetherLost")
    reads = bench.reads["s"]
    bench.pass_time(600)
    assert bench.reads["s"] == reads  # nothing hangs on it any more


@pytest.mark.parametrize("how", ["missing", "foreign", "expired"])
def test_a_lease_that_does_not_hold_yet_is_waited_for_once(bench: Bench, how: str) -> None:
    if how != "missing":
        bench.renew(ours=how == "expired")
        bench.pass_time(2 * DURATION)
    bench.add()
    wait = DURATION if how == "expired" else 60
    bench.pass_time(wait - 1)
    reason = {"missing": "LeaseMissing", "foreign": "NotATether", "expired": "LeaseExpired"}[how]
    assert bench.condition() == ("False", reason)
    assert not bench.stopped
    bench.restart()  # since when it is waited for stands in the status
    bench.pass_time(3)
    assert bench.stopped
    assert bench.reads["s"] <= 4


def test_a_lease_that_comes_in_time_holds(bench: Bench) -> None:
    bench.add()
    bench.pass_time(50)
    renewed(bench, 60)
    assert bench.condition() == ("True", "LeaseRenewed")
    assert not bench.stopped


def test_a_holder_that_has_ended_in_order_has_all_its_tasks_stopped_at_once(bench: Bench) -> None:
    bench.add("a")
    bench.add("b")
    renewed(bench, 5)
    bench.annotate("a", "agentstop.dev/tether-ended", "of another Lease")
    bench.pass_time(1)
    assert not bench.stopped  # it is not believed, but looked after
    reads = bench.reads["s"]
    del bench.leases["s"]
    bench.annotate("a", "agentstop.dev/tether-ended", "uid")
    bench.pass_time(1)
    assert bench.stopped.keys() == {"a", "b"}
    assert bench.reads["s"] == reads + 1


@pytest.mark.parametrize("to_another", [False, True])
def test_a_lease_that_has_held_and_is_gone_is_lost_at_once(bench: Bench, to_another: bool) -> None:
    bench.add()
    renewed(bench, 5)
    del bench.leases["s"]
    if to_another:
        bench.renew(ours=False)
    bench.pass_time(DURATION + 2)
    assert bench.stopped


def test_a_tether_to_a_lease_that_came_after_it_was_looked_for_is_seen_at_once(bench: Bench) -> None:
    bench.add("first")
    bench.pass_time(5)
    bench.renew()
    bench.add("second")
    bench.pass_time(1)
    assert bench.condition("first") == bench.condition("second") == ("True", "LeaseRenewed")


def test_nothing_is_stopped_for_a_lease_that_may_not_be_read(bench: Bench) -> None:
    bench.forbidden = True
    bench.add("new")
    bench.pass_time(300)
    assert bench.condition("new") == ("Unknown", "LeaseUnreadable")
    assert bench.reads["s"] <= 31
    bench.forbidden = False
    bench.pass_time(15)
    assert bench.condition("new") == ("False", "LeaseMissing")  # only now it begins to be waited for
    assert not bench.stopped
    renewed(bench, 60)
    bench.forbidden = True
    bench.pass_time(300)
    assert bench.condition("new") == ("True", "LeaseUnreadable")
    assert not bench.stopped
    bench.forbidden = False
    bench.pass_time(15)
    assert bench.stopped


def test_an_api_server_that_was_away_gives_a_holder_its_time_once_more(bench: Bench) -> None:
    bench.add()
    renewed(bench, 30)
    bench.away = True
    bench.pass_time(100)
    bench.away = False
    back = bench.now
    bench.pass_time(DURATION - 2)
    assert not bench.stopped
    bench.pass_time(6)
    assert bench.stopped["a"] - back <= timedelta(seconds=DURATION) + 2 * LATE  # nobody renewed it after all


def test_who_could_not_renew_while_the_operator_was_away_too_has_time_once_more(bench: Bench) -> None:
    bench.add()
    renewed(bench, 30)
    bench.now += timedelta(seconds=100)
    bench.restart()
    bench.pass_time(DURATION - 2)
    assert bench.condition() == ("False", "LeaseExpired")
    renewed(bench, 30)
    assert bench.condition() == ("True", "LeaseRenewed")
    assert not bench.stopped


def test_who_has_died_while_the_operator_was_away_is_waited_for_once_however_often_that_starts(bench: Bench) -> None:
    bench.add()
    renewed(bench, 30)
    bench.now += timedelta(seconds=100)
    back = bench.now
    for _ in range(4):
        bench.restart()
        bench.pass_time(DURATION / 4)
    bench.pass_time(LATE.total_seconds())
    assert timedelta(seconds=DURATION) <= bench.stopped["a"] - back <= timedelta(seconds=DURATION) + LATE


@pytest.mark.parametrize("seconds", [1.0, 8.0])
def test_an_api_server_that_hangs_and_then_answers_counts_as_away(bench: Bench, seconds: float) -> None:
    bench.renew()
    bench.add()
    bench.pass_time(1)
    bench.hangs_seconds = seconds  # with the next answer, in which the Lease has run out
    bench.pass_time(2 * DURATION - 2)
    assert bool(bench.stopped) == (seconds < 3)  # a holder would have waited for so long
    bench.renew()
    bench.pass_time(DURATION - 2)
    assert bool(bench.stopped) == (seconds < 3)


def test_an_election_that_got_no_answer_counts_as_well(bench: Bench) -> None:
    bench.add()
    renewed(bench, 30)
    bench.now += timedelta(seconds=60)
    bench.tethers.unanswered()
    bench.pass_time(DURATION - 2)
    assert not bench.stopped


def test_without_the_notes_of_the_api_server_what_was_seen_counts(bench: Bench) -> None:
    bench.add()
    for _ in range(40):
        bench.renew(notes=False)
        bench.pass_time(2.5)
    assert not bench.stopped
    bench.pass_time(2 * DURATION + 2)
    assert bench.stopped


EVENTS = st.one_of(
    st.tuples(st.just("renewed"), st.integers(1, DURATION - 2)),
    # Shorter than the Lease lasts, or so long that the operator has noticed, too.
    st.tuples(st.just("away"), st.integers(1, DURATION - 3) | st.integers(DURATION + 2, 40)),
    st.tuples(st.just("operator down"), st.integers(1, 40)),
    st.tuples(st.just("another task"), st.just(0)),
)


@given(st.lists(EVENTS, max_size=12), st.sampled_from(["killed", "deleted", "killed while the operator is down"]))
@settings(max_examples=60)
def test_histories(events: list[tuple[str, int]], end: str) -> None:
    """While a holder renews in time, nothing stops, whatever happens; when it does not, all does, and in time."""
    bench = Bench()
    bench.renew()
    bench.add()
    bench.pass_time(1)
    for number, (what, seconds) in enumerate(events):
        if what == "renewed":
            bench.pass_time(seconds)
        elif what == "away":
            bench.away = True
            bench.pass_time(seconds)
            bench.away = False
            bench.pass_time(1.5)  # before the holder tries again
        elif what == "operator down":
            for _ in range(seconds):
                bench.renew()
                bench.now += timedelta(seconds=1)
            bench.restart()
        else:
            bench.add(f"b{number}")
        bench.renew()
        bench.pass_time(0.5)
        assert not bench.stopped, events
    last = bench.now
    if end == "deleted":
        del bench.leases["s"]
    elif end != "killed":
        bench.now += timedelta(seconds=10)
        bench.restart()
    bench.pass_time(DURATION + 2)
    assert bench.stopped.keys() == bench.tasks.keys()
    assert max(bench.stopped.values()) - last <= timedelta(seconds=DURATION) + LATE
    if end != "deleted":
        assert min(bench.stopped.values()) - last >= timedelta(seconds=DURATION - 1.5)
