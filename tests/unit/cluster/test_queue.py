"""The keyed queue: one at a time for each key, single stops first, then those of many, nothing lost."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.timings import TIMINGS


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 1000.0

    def time(self) -> float:
        return self.moment

    def settle(self) -> None:
        """Run everything that is ready."""
        for _ in range(5):
            self.run_until_complete(asyncio.sleep(0))

    def pass_time(self, seconds: float) -> None:
        self.moment += seconds
        self.settle()


class Worker:
    """Takes a key when told to, and gives it back when told to."""

    def __init__(self, loop: SteppedLoop, queue: WorkQueue[str], *, urgent_only: bool = False) -> None:
        self.loop = loop
        self.queue = queue
        self.urgent_only = urgent_only
        self.asking: asyncio.Task[str] | None = None

    @property
    def key(self) -> str | None:
        return self.asking.result() if self.asking is not None and self.asking.done() else None

    def ask(self) -> str | None:
        if self.asking is None:
            self.asking = self.loop.create_task(self.queue.get(urgent_only=self.urgent_only))
            self.loop.settle()
        return self.key

    def finish(self) -> None:
        if self.key is not None:
            inside(self.loop, self.queue, "done", self.key)
            self.asking = None
            self.loop.settle()

    def give_up(self) -> None:
        if self.asking is not None and not self.asking.done():
            self.asking.cancel()
            self.loop.settle()
            self.asking = None


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    loop = SteppedLoop()
    yield loop
    _close(loop)


def _close(loop: SteppedLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.settle()
    loop.close()


def inside(loop: SteppedLoop, queue: WorkQueue[str], what: str, *args: float | str) -> None:
    """Call what needs the running loop."""

    async def call() -> None:
        getattr(queue, what)(*args)

    loop.run_until_complete(call())


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue()


def test_in_the_order_of_their_arrival(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key)

    assert [Worker(loop, queue).ask() for _ in "abc"] == ["a", "b", "c"]
    assert len(queue) == 0


def test_urgent_ones_overtake(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key)
    queue.add("d", priority=Priority.MASS)
    queue.add("c", priority=Priority.MASS)

    assert queue.has_urgent
    assert [Worker(loop, queue).ask() for _ in "abcd"] == ["d", "c", "a", "b"]
    assert Worker(loop, queue).ask() is None
    assert not queue.has_urgent


def test_a_single_stop_is_not_queued_behind_a_mass_of_them(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    for number in range(100):
        queue.add(f"mass {number}", priority=Priority.MASS)
    queue.add("single", priority=Priority.STOP)

    reserved, plain = Worker(loop, queue, urgent_only=True), Worker(loop, queue)
    assert reserved.ask() == "single"
    assert plain.ask() == "mass 0"


def test_one_of_many_that_somebody_waits_for_comes_first(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key, priority=Priority.MASS)
    queue.add("b", priority=Priority.STOP)
    queue.add("b", priority=Priority.MASS)

    assert [Worker(loop, queue).ask() for _ in "abc"] == ["b", "a", "c"]
    assert Worker(loop, queue).ask() is None


def test_a_key_that_has_moved_up_and_was_handed_out_is_urgent_no_more(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    queue.add("a", priority=Priority.MASS)
    queue.add("a", priority=Priority.STOP)
    assert Worker(loop, queue).ask() == "a"

    assert not queue.has_urgent


def test_a_key_whose_time_has_come_goes_to_its_lane(loop: SteppedLoop) -> None:
    queue = WorkQueue[str](lambda key: Priority.MASS if key == "late" else Priority.NORMAL)
    worker = Worker(loop, queue, urgent_only=True)
    inside(loop, queue, "add_after", "late", 1.0)
    inside(loop, queue, "add_after", "other", 1.0)
    loop.pass_time(1)

    assert worker.ask() == "late"
    worker.finish()
    assert worker.ask() is None


def test_a_failed_key_waits_among_the_others(loop: SteppedLoop) -> None:
    queue = WorkQueue[str](lambda _: Priority.STOP)
    inside(loop, queue, "retry", "a")
    loop.pass_time(TIMINGS.first_retry_seconds)

    assert Worker(loop, queue, urgent_only=True).ask() is None
    assert Worker(loop, queue).ask() == "a"


def test_some_workers_take_urgent_ones_alone(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    worker = Worker(loop, queue, urgent_only=True)
    queue.add("a")
    assert worker.ask() is None

    queue.add("b", priority=Priority.MASS)
    loop.settle()
    assert worker.key == "b"


def test_an_urgent_one_goes_to_a_free_worker_of_any_kind(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    plain, reserved = Worker(loop, queue), Worker(loop, queue, urgent_only=True)
    plain.ask()
    reserved.ask()
    queue.add("a", priority=Priority.STOP)
    queue.add("b", priority=Priority.MASS)
    loop.settle()

    assert {plain.key, reserved.key} == {"a", "b"}


def test_one_at_a_time_and_once_more_for_what_came_meanwhile(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    first, second = Worker(loop, queue), Worker(loop, queue)
    queue.add("a")
    assert first.ask() == "a"
    queue.add("a")
    queue.add("a")
    assert second.ask() is None

    first.finish()
    assert second.key == "a"
    second.finish()
    assert first.ask() is None


def test_what_came_meanwhile_keeps_its_urgency(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    worker = Worker(loop, queue)
    queue.add("a")
    worker.ask()
    queue.add("b")
    queue.add("a", priority=Priority.STOP)
    queue.add("a")
    worker.finish()

    assert worker.ask() == "a"


def test_a_worker_that_is_cancelled_with_a_key_in_hand_gives_it_back(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    asking = loop.create_task(queue.get())
    loop.settle()
    queue.add("a")
    asking.cancel()
    loop.settle()

    assert asking.cancelled()
    assert Worker(loop, queue).ask() == "a"


def test_after_a_while(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    worker = Worker(loop, queue)
    worker.ask()
    inside(loop, queue, "add_after", "a", 5.0)
    loop.pass_time(4.9)
    assert worker.key is None

    loop.pass_time(0.2)
    assert worker.key == "a"


def test_the_earlier_time_wins_and_rings_once(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    worker = Worker(loop, queue)
    for seconds in (5.0, 2.0, 9.0):
        inside(loop, queue, "add_after", "a", seconds)
    loop.pass_time(2.1)
    assert worker.ask() == "a"

    worker.finish()
    loop.pass_time(60)
    assert worker.ask() is None


def test_a_time_that_is_over_is_now(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    inside(loop, queue, "add_after", "a", -3.0)
    loop.pass_time(0)

    assert Worker(loop, queue).ask() == "a"


def test_retries_come_later_and_later(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    worker = Worker(loop, queue)
    pauses: list[float] = []
    for _ in range(12):
        inside(loop, queue, "retry", "a")
        began = loop.moment
        while worker.ask() is None:
            loop.pass_time(TIMINGS.first_retry_seconds / 2)
        pauses.append(loop.moment - began)
        worker.finish()

    doubled = [min(TIMINGS.first_retry_seconds * 2**number, TIMINGS.max_retry_seconds) for number in range(12)]
    assert pauses == pytest.approx(doubled, abs=TIMINGS.first_retry_seconds)

    queue.succeeded("a")
    inside(loop, queue, "retry", "a")
    loop.pass_time(TIMINGS.first_retry_seconds)
    assert worker.ask() == "a"


def test_what_is_forgotten_does_not_come_back(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    inside(loop, queue, "add_after", "a", 1.0)
    queue.forget("a")
    loop.pass_time(2)

    assert Worker(loop, queue).ask() is None


# Rests


@pytest.fixture
def resting() -> WorkQueue[str]:
    return WorkQueue(rest_seconds=2.0)


def worked(loop: SteppedLoop, queue: WorkQueue[str], key: str) -> None:
    """Have a key worked on once."""
    inside(loop, queue, "add", key)
    worker = Worker(loop, queue)
    assert worker.ask() == key
    worker.finish()


def test_a_key_rests_after_it_was_worked_on(loop: SteppedLoop, resting: WorkQueue[str]) -> None:
    worked(loop, resting, "a")
    for _ in range(100):
        inside(loop, resting, "add", "a")
    inside(loop, resting, "add_after", "a", 0.5)
    worker = Worker(loop, resting)
    loop.pass_time(1.9)
    assert worker.ask() is None

    loop.pass_time(0.2)
    assert worker.key == "a"
    worker.finish()
    loop.pass_time(10.0)
    assert worker.ask() is None, "all that came meanwhile is one thing"


def test_what_came_while_it_was_worked_on_comes_after_the_rest(loop: SteppedLoop, resting: WorkQueue[str]) -> None:
    inside(loop, resting, "add", "a")
    worker = Worker(loop, resting)
    assert worker.ask() == "a"
    loop.pass_time(60.0)
    inside(loop, resting, "add", "a")
    worker.finish()
    assert worker.ask() is None

    loop.pass_time(2.1)
    assert worker.key == "a"


def test_a_stop_does_not_rest(loop: SteppedLoop, resting: WorkQueue[str]) -> None:
    worked(loop, resting, "a")

    async def stop() -> None:
        resting.add("a", priority=Priority.STOP)

    loop.run_until_complete(stop())
    assert Worker(loop, resting, urgent_only=True).ask() == "a"


def test_others_do_not_rest_with_it(loop: SteppedLoop, resting: WorkQueue[str]) -> None:
    worked(loop, resting, "a")
    inside(loop, resting, "add", "b")

    assert Worker(loop, resting).ask() == "b"


def test_what_has_rested_is_not_remembered(loop: SteppedLoop, resting: WorkQueue[str]) -> None:
    for number in range(10):
        worked(loop, resting, f"k{number}")
        loop.pass_time(1.0)

    assert len(resting._rested) == 2


def test_closed_it_hands_out_nothing_and_is_idle_when_all_is_given_back(
    loop: SteppedLoop, queue: WorkQueue[str]
) -> None:
    worker, waiting = Worker(loop, queue), Worker(loop, queue)
    queue.add("a")
    worker.ask()
    waiting.ask()
    queue.close()
    queue.add("b")
    idle = loop.create_task(queue.idle())
    loop.settle()
    assert not idle.done()
    assert waiting.key is None

    worker.finish()
    assert idle.done()
    assert worker.ask() is None


def test_closed_with_nothing_in_hand_it_is_idle_at_once(loop: SteppedLoop, queue: WorkQueue[str]) -> None:
    queue.close()
    loop.run_until_complete(asyncio.wait_for(queue.idle(), 1))


KEYS = st.sampled_from("abcd")
LANES = {"a": Priority.STOP, "b": Priority.MASS}
"""Where keys belong when their time has come."""

WORKERS = st.integers(0, 3)


class QueueHistories(RuleBasedStateMachine):
    """Whatever is asked in whatever order: exclusive, complete, urgent first."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SteppedLoop()
        self.queue: WorkQueue[str] = WorkQueue(lambda key: LANES.get(key, Priority.NORMAL))
        self.workers = [Worker(self.loop, self.queue, urgent_only=number == 0) for number in range(4)]
        self.owed: dict[str, Priority] = {}
        """Keys that were added and not handed out since, with their lane."""
        self.held: dict[int, str] = {}
        self.owed_later: dict[str, float] = {}

    def _settle(self) -> None:
        self.loop.settle()
        for number, worker in enumerate(self.workers):
            key = worker.key
            if key is not None and number not in self.held:
                assert key in self.owed, "handed out though nobody added it"
                assert not worker.urgent_only or self.owed[key] is not Priority.NORMAL, (
                    "a reserved worker has a normal key"
                )
                self.owed.pop(key)
                self.held[number] = key

    @rule(key=KEYS, priority=st.sampled_from(Priority))
    def add(self, key: str, priority: Priority) -> None:
        self.owed[key] = min(self.owed.get(key, priority), priority)
        self.queue.add(key, priority=priority)
        self._settle()

    @rule(number=WORKERS)
    def ask(self, number: int) -> None:
        free = {key: priority for key, priority in self.owed.items() if key not in self.held.values()}
        before = set(self.held)
        self.workers[number].ask()
        self._settle()
        if number in self.held and number not in before:
            assert free[self.held[number]] is min(free.values()), "a key overtook a more urgent one"

    @rule(number=WORKERS)
    def finish(self, number: int) -> None:
        self.held.pop(number, None)
        self.workers[number].finish()
        self._settle()

    @rule(number=WORKERS)
    def give_up(self, number: int) -> None:
        if number not in self.held:
            self.workers[number].give_up()
            self._settle()

    @rule(key=KEYS, seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def later(self, key: str, seconds: float) -> None:
        inside(self.loop, self.queue, "add_after", key, seconds)
        self.owed_later.setdefault(key, self.loop.moment + seconds)
        self.owed_later[key] = min(self.owed_later[key], self.loop.moment + seconds)
        self.wait(0.0)

    @rule(seconds=st.sampled_from([0.0, 1.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.loop.moment += seconds
        for key, due in list(self.owed_later.items()):
            if due <= self.loop.moment:
                del self.owed_later[key]
                priority = LANES.get(key, Priority.NORMAL)
                self.owed[key] = min(self.owed.get(key, priority), priority)
        self._settle()

    @invariant()
    def nobody_shares_a_key(self) -> None:
        assert len(set(self.held.values())) == len(self.held)

    @invariant()
    def the_urgent_are_known(self) -> None:
        urgent = {key for key, priority in self.owed.items() if priority is not Priority.NORMAL}
        waiting = urgent - set(self.held.values())
        assert self.queue.has_urgent or not waiting

    def teardown(self) -> None:
        for _ in range(20):
            self.wait(10.0)
            for number in range(4):
                self.ask(number)
            for number in range(4):
                self.finish(number)
        with contextlib.closing(self.loop):
            assert not self.owed, "a key was lost"
            assert not self.owed_later
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.settle()


TestQueueHistories = QueueHistories.TestCase
TestQueueHistories.settings = settings(max_examples=60, stateful_step_count=25)
