"""What a component does for a PodControl that has its pod frozen, has it go on, and changes its mind."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agentstop.client.errors import ApiError, UnreachableError
from agentstop.node.keeper import Keeper
from agentstop.node.worker import HOLD_SECONDS, LATER_SECONDS, RETRY_SECONDS, TELL_AFTER, pause
from tests.support.cgroups import Folder, fake_root, pod_path

from .bench import NOW, UID, Bench, Raw, Server, control, task

FREEZE: Raw = {"state": "Frozen"}
FROZEN: Raw = {"observedGeneration": 1, "state": "Frozen", "since": "2026-01-01T11:00:00.000000Z", "processes": 1}
FROZEN |= {"bootID": "boot"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_root(tmp_path)


@pytest.fixture
def pod(root: Path) -> Folder:
    return Folder(pod_path(root, UID))


def states(bench: Bench) -> list[tuple[int, str]]:
    return [(each["observedGeneration"], each["state"]) for each in bench.server.written]


async def test_frozen_is_said_once_the_kernel_says_it_and_then_no_more(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def kernel(pauses: int) -> None:
        if pauses == 1:
            assert pod.to_be_frozen
            assert bench.server.written == []
            pod.obey()

    await bench.run(control(FREEZE), 10, kernel)
    (last,) = bench.server.written
    assert (last["state"], last["processes"], last["observedGeneration"], last["empty"]) == ("Frozen", 1, 1, None)
    assert datetime.fromisoformat(last["since"]) == NOW + timedelta(seconds=bench.pauses[0])
    assert bench.ready == ("True", "Frozen")
    assert bench.counted("freeze_seconds_sum") == pytest.approx(bench.pauses[0])
    assert bench.counted("kill_seconds_count") == bench.counted("thaw_seconds_count") == 0


async def test_a_pod_that_waits_for_a_disk_is_told_of_and_not_called_frozen(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))
    until_told: list[float] = []

    def note(_: int) -> None:
        if not bench.server.written:
            until_told.append(bench.passed)

    await bench.run(control(FREEZE), 20, note)
    (last,) = bench.server.written
    assert (last["state"], bench.ready) == ("Running", ("False", "Freezing"))
    assert max(bench.pauses) == HOLD_SECONDS
    assert until_told[-1] + LATER_SECONDS > TELL_AFTER.total_seconds(), "most kernels have done it by then"
    assert all(each <= LATER_SECONDS for each in bench.pauses[: len(until_told) - 1]), (
        "it is looked at often until then"
    )


async def test_a_change_is_seen_to_at_once(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        pod.obey()
        if pauses == 5:
            assert bench.heard() is False
            bench.ask("Running", 2)
            assert bench.heard() is True, "it does not wait on"

    await bench.run(control(FREEZE), 10, meanwhile)
    assert states(bench) == [(1, "Frozen"), (2, "Running")]
    assert bench.ready == ("True", "Running")
    assert bench.last["processes"] is None
    assert bench.counted("thaw_seconds_count") == 1
    assert not pod.to_be_frozen
    assert bench.server.reads == 1


async def test_one_that_flips_ends_as_was_asked_last(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        if pauses % 3 == 0:
            pod.obey()
        if pauses < 40:
            bench.ask("Running" if pauses % 2 else "Frozen", pauses + 1)

    await bench.run(control(FREEZE), 60, meanwhile)
    assert pod.to_be_frozen is False
    assert states(bench)[-1] == (40, "Running")
    generations = [generation for generation, _ in states(bench)]
    assert generations == sorted(generations)
    assert bench.ready == ("True", "Running")


async def test_a_frozen_pod_is_killed_as_it_is(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        pod.obey()
        if pauses == 2:
            bench.ask("Killed", 2)
        if pauses == 4:
            assert pod.said()["cgroup.kill"] == "1"
            assert pod.to_be_frozen
            pod.empty()

    await bench.run(control(FREEZE), 8, meanwhile)
    assert states(bench) == [(1, "Frozen"), (2, "Killed")]
    assert bench.last["empty"] is True


async def test_the_next_process_of_the_component_goes_on(root: Path, pod: Folder) -> None:
    Keeper(root, UID, "ns", alone=True).look("Frozen")
    pod.obey()
    bench = Bench(root, Server(task()))
    ready = {"type": "Ready", "status": "True", "reason": "Frozen", "message": "x", "lastTransitionTime": "y"}
    await bench.run(control(FREEZE, FROZEN | {"conditions": [ready]}), 3)
    assert bench.last["since"] == FROZEN["since"]
    assert bench.counted("freeze_seconds_count") == 0, "it was frozen before"


async def test_what_the_object_asks_for_is_made_true_by_the_next_process(root: Path, pod: Folder) -> None:
    """The object was changed while the component was away."""
    Keeper(root, UID, "ns", alone=True).look("Frozen")
    pod.obey()
    bench = Bench(root, Server(task()))
    await bench.run(control({"state": "Running"}, FROZEN, generation=2), 4, lambda _: pod.obey())
    assert states(bench) == [(2, "Running")]
    assert datetime.fromisoformat(bench.last["since"]) == NOW + timedelta(seconds=bench.pauses[0])


async def test_one_that_goes_on_is_not_looked_at_until_something_is_asked_again(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))
    resting: list[bool] = []

    def meanwhile(pauses: int) -> None:
        pod.obey()
        resting.append(bench.rests)
        if pauses in {3, 9}:
            bench.ask("Running" if pauses == 3 else "Frozen", pauses)

    await bench.run(control(FREEZE), 12, meanwhile)
    assert [generation for generation, _ in states(bench)] == [1, 3, 9]
    assert resting == [False] * 4 + [True] * 5 + [False] * 3


async def test_one_without_a_cgroup_is_not_looked_at_where_it_may_go_on(root: Path) -> None:
    bench = Bench(root, Server(task()))
    await bench.run(control({"state": "Running"}), 2)
    assert (bench.ready, bench.rests) == (("False", "CgroupNotFound"), True)

    held = Bench(root, Server(task()))
    await held.run(control(FREEZE), 2)
    assert (held.ready, held.rests) == (("False", "CgroupNotFound"), False)


async def test_what_is_not_written_yet_is_said_again_before_it_rests(root: Path, pod: Folder) -> None:
    server = Server(task())
    server.failures = [UnreachableError("away")]
    bench = Bench(root, server)

    def meanwhile(_: int) -> None:
        pod.obey()
        assert bench.rests is bool(server.written)

    await bench.run(control({"state": "Running"}), 8, meanwhile)
    assert bench.rests


async def test_a_pause_ends_with_news_however_long_it_is() -> None:
    news = asyncio.Event()
    resting = asyncio.ensure_future(pause(None, news))
    await asyncio.sleep(0)
    assert not resting.done()
    news.set()
    await resting


async def test_a_pod_that_ends_while_it_is_frozen_is_not_called_anything(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        pod.obey() if pauses < 3 else None
        if pauses == 3:
            pod.path.rename(root / "removed")

    await bench.run(control(FREEZE), 6, meanwhile)
    assert bench.ready == ("False", "CgroupNotFound")
    assert (bench.last["state"], bench.last["since"], bench.last["empty"]) == (None, None, None)


async def test_a_word_that_does_not_get_through_keeps_nobody_frozen(root: Path, pod: Folder) -> None:
    server = Server(task())
    server.failures = [UnreachableError("away")] * 3
    bench = Bench(root, server)

    def meanwhile(pauses: int) -> None:
        pod.obey()
        if pauses == 2:
            bench.ask("Running", 2)
        if pauses == 3:
            assert not pod.to_be_frozen, "at once, whoever can be told of it or not"

    await bench.run(control(FREEZE), 30, meanwhile)
    assert states(bench) == [(2, "Running")]


async def test_many_are_frozen_before_anything_is_written_down(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        assert pod.to_be_frozen, "at once, whatever others are asked for"
        pod.obey()
        if bench.passed < 0.2:
            assert bench.server.written == []
            bench.debounce.note(f"other-{pauses}", NOW + timedelta(seconds=bench.passed))

    await bench.run(control(FREEZE), 20, meanwhile)
    (last,) = bench.server.written
    assert last["state"] == "Frozen"
    assert datetime.fromisoformat(last["since"]) == NOW + timedelta(seconds=bench.pauses[0]), "when it was so"
    assert bench.counted("freeze_seconds_sum") == pytest.approx(bench.pauses[0])


async def test_a_change_waits_for_no_others(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task()))

    def meanwhile(pauses: int) -> None:
        pod.obey()
        bench.debounce.note(f"other-{pauses}", NOW + timedelta(seconds=bench.passed))
        if pauses == 2:
            bench.ask("Running", 2)
            assert bench.heard()
        if pauses == 3:
            assert not pod.to_be_frozen

    await bench.run(control(FREEZE), 30, meanwhile)
    assert bench.last["state"] == "Running"


async def test_what_is_refused_is_said_whoever_else_is_asked_for(root: Path, pod: Folder) -> None:
    bench = Bench(root, Server(task(pods=[])))
    await bench.run(control(FREEZE), 1, lambda _: bench.debounce.note("other", NOW))
    assert bench.ready == ("False", "NotTheTasks")


async def test_a_cache_that_has_the_pod_is_enough(root: Path, pod: Folder) -> None:
    server = Server(UnreachableError("etcd is away"))
    server.cached = task()
    bench = Bench(root, server)
    await bench.run(control(FREEZE), 5, lambda _: pod.obey())
    assert (states(bench), server.reads) == ([(1, "Frozen")], 1)


@pytest.mark.parametrize("behind", [task(pods=[]), {}])
async def test_a_cache_that_is_behind_counts_for_nothing(root: Path, pod: Folder, behind: Raw) -> None:
    server = Server(task())
    server.cached = behind
    bench = Bench(root, server)
    await bench.run(control(FREEZE), 5, lambda _: pod.obey())
    assert (states(bench), server.reads) == ([(1, "Frozen")], 2)


@pytest.mark.parametrize(
    "found", [task(pods=[]), ApiError(404, {"message": "not found"}), UnreachableError("it does not answer")]
)
async def test_a_pod_that_is_not_known_to_be_the_tasks_is_not_frozen(
    root: Path, pod: Folder, found: Raw | Exception
) -> None:
    bench = Bench(root, Server(found))
    await bench.run(control(FREEZE), 6)
    assert not pod.to_be_frozen
    assert bench.last["state"] is None


async def test_what_is_refused_is_looked_at_no_sooner_for_being_changed(root: Path, pod: Folder) -> None:
    server = Server(task(pods=[]))
    bench = Bench(root, server)
    await bench.run(control(FREEZE), 40, lambda pauses: bench.ask("Running" if pauses % 2 else "Frozen", pauses + 1))
    assert server.reads <= bench.passed / RETRY_SECONDS + 1
