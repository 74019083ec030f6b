"""The kernel itself: real processes in real cgroups of version 2, where this machine has them."""

import errno
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentstop.node.cgroups import PodCgroup, is_unified
from agentstop.node.killing import Killing, Outcome
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


def settled(killing: Killing) -> Outcome:
    limit = time.monotonic() + PATIENCE
    while (outcome := killing.look().outcome) is Outcome.KILLING:
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

    assert settled(Killing(root, UID, alone=True)) is Outcome.EMPTY
    assert not cgroup.populated
    assert cgroup.count() == 0


def test_no_container_can_be_started_in_it_any_more(root: Path, run: Run) -> None:
    pod = hold(root, UID, [run(DEAF)])
    assert settled(Killing(root, UID, alone=True)) is Outcome.EMPTY

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

    assert settled(Killing(root, UID, alone=True)) is Outcome.EMPTY
    time.sleep(0.2)
    assert Killing(root, UID, alone=True).look().outcome is Outcome.EMPTY


def test_nothing_else_is_touched(root: Path, run: Run) -> None:
    other = UID.replace("0b", "1b")
    hold(root, UID, [run(DEAF)])
    hold(root, other, [run(DEAF)])

    assert settled(Killing(root, UID, alone=True)) is Outcome.EMPTY
    assert PodCgroup(pod_path(root, other)).populated
    (pod_path(root, other) / "c2").mkdir()


def test_the_next_process_of_the_component_goes_on(root: Path, run: Run) -> None:
    hold(root, UID, [run(DEAF)])
    Killing(root, UID, alone=True).look()

    assert settled(Killing(root, UID, alone=True)) is Outcome.EMPTY
