"""The kernel itself: real processes in real cgroups of version 2, where this machine has them."""

import errno
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentstop.node.cgroups import PodCgroup, is_unified
from agentstop.node.keeper import Keeper
from agentstop.node.leftovers import thaw_leftovers
from agentstop.node.looks import UNDER_WAY, Outcome
from tests.support.cgroups import hold, pod_path, real_root
from tests.support.waiting import PATIENCE

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
DEAF = "trap '' TERM INT HUP; while :; do sleep 1000; done"
FORKS = "hop() { sleep 0.01; hop & }; for n in 1 2 3 4 5 6 7 8; do hop & done; wait"
"""Eight at a time, each another process by the time at which it is seen. It stays at eight: a bomb that grows
takes the machine with it on which the tests run."""

Run = Callable[[str], int]


@pytest.fixture
def root() -> Iterator[Path]:
    with real_root() as root:
        yield root


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a shell in a container of the pod, before it runs its script."""
    made: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> int:
        made.append(subprocess.Popen(["sh", "-c", f"read go; {script}"], stdin=subprocess.PIPE))
        return made[-1].pid

    yield start
    for each in made:
        each.kill()
        each.wait()
        assert each.stdin is not None
        each.stdin.close()


def go(pids: list[int]) -> None:
    for pid in pids:
        with Path(f"/proc/{pid}/fd/0").open("wb") as stdin:
            stdin.write(b"\n")


def settled(keeper: Keeper, state: str = "Killed") -> Outcome:
    limit = time.monotonic() + PATIENCE
    while (outcome := keeper.look(state).outcome) in UNDER_WAY:
        assert time.monotonic() < limit
        time.sleep(0.01)
    return outcome


def test_deaf_processes_in_all_containers_are_gone_and_the_kernel_says_so(root: Path, run: Run) -> None:
    pids = [run(DEAF), run(DEAF)]
    for number, pid in enumerate(pids):
        hold(root, UID, [pid], f"c{number}")
    go(pids)
    cgroup = PodCgroup(pod_path(root, UID))
    assert is_unified(root)
    assert cgroup.populated
    assert cgroup.count() >= 2

    assert settled(Keeper(root, UID, "ns", alone=True)) is Outcome.EMPTY
    assert not cgroup.populated
    assert cgroup.count() == 0


def test_no_container_can_be_started_in_it_any_more(root: Path, run: Run) -> None:
    pod = hold(root, UID, [run(DEAF)])
    assert settled(Keeper(root, UID, "ns", alone=True)) is Outcome.EMPTY

    with pytest.raises(OSError, match="temporarily unavailable") as refused:
        (pod / "c2").mkdir()
    assert refused.value.errno == errno.EAGAIN
    with pytest.raises(FileNotFoundError):
        hold_in_what_was_made(pod, run(DEAF))


def hold_in_what_was_made(pod: Path, pid: int) -> None:
    """What a runtime does next that had made a container's cgroup before."""
    (pod / "c1" / "cgroup.procs").write_text(str(pid), encoding="ascii")


def test_what_forks_without_end_does_not_get_away(root: Path, run: Run) -> None:
    pid = run(FORKS)
    pod = hold(root, UID, [pid])
    limit = time.monotonic() + PATIENCE
    go([pid])
    while PodCgroup(pod).count() < 8:
        assert time.monotonic() < limit
        time.sleep(0.01)

    assert settled(Keeper(root, UID, "ns", alone=True)) is Outcome.EMPTY
    time.sleep(0.2)
    assert Keeper(root, UID, "ns", alone=True).look("Killed").outcome is Outcome.EMPTY


def test_nothing_else_is_touched(root: Path, run: Run) -> None:
    other = UID.replace("0b", "1b")
    hold(root, UID, [run(DEAF)])
    hold(root, other, [run(DEAF)])

    assert settled(Keeper(root, UID, "ns", alone=True)) is Outcome.EMPTY
    assert PodCgroup(pod_path(root, other)).populated
    (pod_path(root, other) / "c2").mkdir()


def test_the_next_process_of_the_component_goes_on(root: Path, run: Run) -> None:
    hold(root, UID, [run(DEAF)])
    Keeper(root, UID, "ns", alone=True).look("Killed")

    assert settled(Keeper(root, UID, "ns", alone=True)) is Outcome.EMPTY


def beating(path: Path) -> str:
    """A script that writes a number into a file every 10 ms or so, and its process once."""
    return f"n=0; while :; do n=$((n + 1)); echo $n > {path}.new; mv {path}.new {path}; sleep 0.01; done"


def beat(path: Path) -> int:
    return int(path.read_text(encoding="ascii")) if path.exists() else 0


def goes_on(path: Path) -> bool:
    before, limit = beat(path), time.monotonic() + PATIENCE
    while beat(path) == before:
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def test_not_one_beat_while_it_is_frozen_and_then_it_goes_on(root: Path, run: Run, tmp_path: Path) -> None:
    hearts = [tmp_path / "a", tmp_path / "b"]
    pids = [run(beating(each)) for each in hearts]
    for number, pid in enumerate(pids):
        hold(root, UID, [pid], f"c{number}")
    go(pids)
    assert all(goes_on(each) for each in hearts)
    keeper = Keeper(root, UID, "ns", alone=True)
    for _ in range(3):
        assert settled(keeper, "Frozen") is Outcome.FROZEN
        before = [beat(each) for each in hearts]
        time.sleep(0.3)
        assert keeper.look("Frozen").outcome is Outcome.FROZEN
        assert [beat(each) for each in hearts] == before
        assert settled(keeper, "Running") is Outcome.RUNNING
        assert all(goes_on(each) for each in hearts)
        assert all(beat(each) > number for each, number in zip(hearts, before, strict=True)), "it did not begin again"


def test_what_comes_into_a_frozen_pod_does_not_run(root: Path, run: Run, tmp_path: Path) -> None:
    """A probe, an exec, a container that its kubelet starts again."""
    hold(root, UID, [run(DEAF)])
    keeper, heart = Keeper(root, UID, "ns", alone=True), tmp_path / "a"
    assert settled(keeper, "Frozen") is Outcome.FROZEN
    pid = run(beating(heart))
    hold(root, UID, [pid], "c2")
    go([pid])
    time.sleep(0.3)
    assert settled(keeper, "Frozen") is Outcome.FROZEN
    assert beat(heart) == 0
    assert settled(keeper, "Running") is Outcome.RUNNING
    assert goes_on(heart)


def test_what_forks_without_end_is_frozen_and_killed(root: Path, run: Run) -> None:
    pid = run(FORKS)
    pod = hold(root, UID, [pid])
    limit = time.monotonic() + PATIENCE
    go([pid])
    while PodCgroup(pod).count() < 8:
        assert time.monotonic() < limit
        time.sleep(0.01)
    keeper = Keeper(root, UID, "ns", alone=True)
    assert settled(keeper, "Frozen") is Outcome.FROZEN
    before = sorted((pod / "c1" / "cgroup.procs").read_text(encoding="ascii").split())
    time.sleep(0.2)
    assert sorted((pod / "c1" / "cgroup.procs").read_text(encoding="ascii").split()) == before
    assert settled(keeper) is Outcome.EMPTY


def test_a_frozen_one_is_killed_without_a_thaw_and_can_be_removed(root: Path, run: Run, tmp_path: Path) -> None:
    heart = tmp_path / "a"
    pid = run(beating(heart))
    pod = hold(root, UID, [pid])
    go([pid])
    assert goes_on(heart)
    keeper = Keeper(root, UID, "ns", alone=True)
    assert settled(keeper, "Frozen") is Outcome.FROZEN
    before = beat(heart)
    assert settled(keeper) is Outcome.EMPTY
    assert beat(heart) == before
    assert PodCgroup(pod).to_be_frozen
    pod.rmdir()
    assert keeper.look("Killed").outcome is Outcome.EMPTY


def test_a_freeze_outlasts_who_asked_for_it_and_is_found_again(root: Path, run: Run) -> None:
    other = UID.replace("0b", "1b")
    kept, gone = hold(root, UID, [run(DEAF)]), hold(root, other, [run(DEAF)])
    for uid in (UID, other):
        assert settled(Keeper(root, uid, "ns", alone=True), "Frozen") is Outcome.FROZEN
    assert thaw_leftovers(root, {("ns", UID)}, ())
    assert PodCgroup(kept).to_be_frozen
    assert not PodCgroup(gone).to_be_frozen
    assert Keeper(root, UID, "ns", alone=True).look("Frozen").outcome is Outcome.FROZEN
    assert settled(Keeper(root, other, "ns", alone=True), "Running") is Outcome.RUNNING
