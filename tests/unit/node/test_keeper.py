"""What is done to the cgroup of a pod, and what is said of it: on folders that look like one."""

import errno
import os
from pathlib import Path

import pytest

from agentstop.node.cgroups import governs
from agentstop.node.keeper import Keeper
from agentstop.node.looks import Outcome
from tests.support.cgroups import Folder, fake_root, pod_path

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
OTHER = "1b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_root(tmp_path)


def test_it_is_closed_and_killed_and_nothing_is_said_before_the_kernel_says_so(root: Path) -> None:
    pod, other = Folder(pod_path(root, UID), processes=3), Folder(pod_path(root, OTHER))
    keeper = Keeper(root, UID, "ns", alone=True)

    look = keeper.look("Killed")
    assert (look.outcome, look.processes) == (Outcome.KILLING, 3)
    assert pod.said() == {"cgroup.kill": "1", "cgroup.max.descendants": "0"}
    assert other.said() == {}
    pod.empty()
    look = keeper.look("Killed")
    assert (look.outcome, look.processes) == (Outcome.EMPTY, 0)


def test_what_is_still_there_may_be_filled(root: Path) -> None:
    """A runtime that has made a container's cgroup puts a process into it next, unless that is removed."""
    pod = Folder(pod_path(root, UID), processes=0)

    assert Keeper(root, UID, "ns", alone=True).look("Killed").outcome is Outcome.KILLING
    assert pod.said() == {"cgroup.max.descendants": "0"}


def test_what_comes_in_later_is_killed_too(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=True)
    keeper.look("Killed")
    pod.populate(0)
    (pod.path / "cgroup.kill").write_text("", encoding="ascii")
    pod.populate(1)

    assert keeper.look("Killed").outcome is Outcome.KILLING
    assert pod.said()["cgroup.kill"] == "1"


def test_a_cgroup_that_is_not_there_proves_nothing(root: Path) -> None:
    """Its kubelet may be about to make it."""
    keeper = Keeper(root, UID, "ns", alone=True)
    assert keeper.look("Killed").outcome is Outcome.NO_CGROUP
    pod = Folder(pod_path(root, UID))
    assert keeper.look("Killed").outcome is Outcome.KILLING
    assert pod.said()["cgroup.kill"] == "1"


def test_one_that_was_closed_and_is_gone_was_empty(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=True)
    keeper.look("Killed")
    pod.path.rename(root / "removed")

    assert keeper.look("Killed").outcome is Outcome.EMPTY


def test_where_a_container_could_be_started_elsewhere_nothing_is_proven(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=False)
    assert keeper.look("Killed").outcome is Outcome.KILLING
    pod.empty()
    look = keeper.look("Killed")
    assert (look.outcome, look.processes) == (Outcome.HYBRID, 0)
    pod.path.rename(root / "removed")
    assert keeper.look("Killed").outcome is Outcome.HYBRID


def test_it_is_frozen_and_nothing_is_said_before_the_kernel_says_so(root: Path) -> None:
    pod, other = Folder(pod_path(root, UID), processes=3), Folder(pod_path(root, OTHER))
    keeper = Keeper(root, UID, "ns", alone=True)

    assert keeper.look("Frozen").outcome is Outcome.FREEZING
    assert (pod.to_be_frozen, other.to_be_frozen) == (True, False)
    assert keeper.look("Frozen").outcome is Outcome.FREEZING
    pod.obey()
    look = keeper.look("Frozen")
    assert (look.outcome, look.processes) == (Outcome.FROZEN, 3)
    assert pod.said() == {}, "it is neither killed nor closed"
    pod.populate(4)
    assert keeper.look("Frozen") == look, "what a probe puts into it is no news"


def test_what_somebody_thaws_is_frozen_again(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=True)
    keeper.look("Frozen")
    pod.obey()
    assert keeper.look("Frozen").outcome is Outcome.FROZEN
    (pod.path / "cgroup.freeze").write_text("0\n", encoding="ascii")
    pod.obey()
    assert keeper.look("Frozen").outcome is Outcome.FREEZING
    assert pod.to_be_frozen


def test_it_goes_on_once_the_kernel_says_so(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    Keeper(root, UID, "ns", alone=True).look("Frozen")
    pod.obey()
    keeper = Keeper(root, UID, "ns", alone=True)
    assert keeper.look("Running").outcome is Outcome.THAWING
    assert not pod.to_be_frozen
    pod.obey()
    look = keeper.look("Running")
    assert (look.outcome, look.processes) == (Outcome.RUNNING, None)


def test_what_is_killed_is_neither_frozen_nor_thawed_afterwards(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=True)
    keeper.look("Frozen")
    assert keeper.look("Killed").outcome is Outcome.KILLING
    assert pod.to_be_frozen
    assert keeper.look("Running").outcome is Outcome.KILLING
    pod.empty()
    assert keeper.look("Frozen").outcome is Outcome.EMPTY


@pytest.mark.parametrize("state", ["Frozen", "Running"])
def test_of_a_cgroup_that_is_not_there_nothing_is_said(root: Path, state: str) -> None:
    keeper = Keeper(root, UID, "ns", alone=True)
    assert keeper.look(state).outcome is Outcome.NO_CGROUP
    pod = Folder(pod_path(root, UID))
    keeper.look(state)
    assert pod.to_be_frozen is (state == "Frozen")
    pod.path.rename(root / "removed")
    assert keeper.look(state).outcome is Outcome.NO_CGROUP


def test_a_kernel_that_cannot_freeze_says_so(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    (pod.path / "cgroup.freeze").unlink()

    look = Keeper(root, UID, "ns", alone=True).look("Frozen")
    assert (look.outcome, "5.2" in look.message) == (Outcome.UNSUPPORTED, True)
    assert not (pod.path / "cgroup.freeze").exists()
    assert Keeper(root, UID, "ns", alone=True).look("Running").outcome is Outcome.RUNNING


def test_without_attributes_it_is_frozen_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "no")

    for name in ("setxattr", "getxattr", "removexattr"):
        monkeypatch.setattr(os, name, unsupported)
    pod = Folder(pod_path(root, UID))
    keeper = Keeper(root, UID, "ns", alone=True)
    for state, outcome in (("Frozen", Outcome.FROZEN), ("Running", Outcome.RUNNING)):
        keeper.look(state)
        pod.obey()
        assert keeper.look(state).outcome is outcome


@pytest.mark.parametrize(
    ("controllers", "alone"),
    [("cpuset cpu io memory hugetlb pids rdma", True), ("", False), ("cpu io", False), ("memory", False)],
)
def test_whether_what_starts_containers_keeps_to_version_2_alone(root: Path, controllers: str, alone: bool) -> None:
    (root / "cgroup.controllers").write_text(f"{controllers}\n", encoding="ascii")
    assert governs(root) is alone


def test_without_version_2_nothing_is_done_and_it_is_said(tmp_path: Path) -> None:
    pod = Folder(pod_path(tmp_path.resolve(), UID))

    look = Keeper(tmp_path.resolve(), UID, "ns", alone=True).look("Killed")
    assert look.outcome is Outcome.UNSUPPORTED
    assert "version 2" in look.message
    assert pod.said() == {}


def test_a_kernel_that_cannot_kill_a_cgroup_is_told_nothing(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    (pod.path / "cgroup.kill").unlink()

    look = Keeper(root, UID, "ns", alone=True).look("Killed")
    assert look.outcome is Outcome.UNSUPPORTED
    assert (pod.path / "cgroup.max.descendants").read_text(encoding="ascii") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="without root a folder stands in for what may not be written")
@pytest.mark.parametrize(
    ("state", "name"), [("Killed", "cgroup.max.descendants"), ("Frozen", "cgroup.freeze"), ("Running", "cgroup.freeze")]
)
def test_a_kernel_that_refuses_is_quoted(root: Path, state: str, name: str) -> None:
    pod = Folder(pod_path(root, UID))
    (pod.path / name).unlink()
    (pod.path / name).mkdir()

    look = Keeper(root, UID, "ns", alone=True).look(state)
    assert look.outcome is Outcome.REFUSED
    assert "directory" in look.message
