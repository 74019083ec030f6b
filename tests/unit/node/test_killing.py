"""What is done to the cgroup of a pod that is to be killed, and what is said of it: on folders that look like one."""

import os
from pathlib import Path

import pytest

from agentstop.node.cgroups import governs
from agentstop.node.killing import Killing, Outcome
from tests.support.cgroups import Folder, fake_root, pod_path

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
OTHER = "1b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_root(tmp_path)


def test_it_is_closed_and_killed_and_nothing_is_said_before_the_kernel_says_so(root: Path) -> None:
    pod, other = Folder(pod_path(root, UID), processes=3), Folder(pod_path(root, OTHER))
    killing = Killing(root, UID, alone=True)

    look = killing.look()
    assert (look.outcome, look.processes) == (Outcome.KILLING, 3)
    assert pod.said() == {"cgroup.kill": "1", "cgroup.max.descendants": "0"}
    assert other.said() == {}
    pod.empty()
    look = killing.look()
    assert (look.outcome, look.processes) == (Outcome.EMPTY, 0)


def test_what_is_still_there_may_be_filled(root: Path) -> None:
    """A runtime that has made a container's cgroup puts a process into it next, unless that is removed."""
    pod = Folder(pod_path(root, UID), processes=0)

    assert Killing(root, UID, alone=True).look().outcome is Outcome.KILLING
    assert pod.said() == {"cgroup.max.descendants": "0"}


def test_what_comes_in_later_is_killed_too(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    killing = Killing(root, UID, alone=True)
    killing.look()
    pod.populate(0)
    (pod.path / "cgroup.kill").write_text("", encoding="ascii")
    pod.populate(1)

    assert killing.look().outcome is Outcome.KILLING
    assert pod.said()["cgroup.kill"] == "1"


def test_a_cgroup_that_is_not_there_proves_nothing(root: Path) -> None:
    """Its kubelet may be about to make it."""
    killing = Killing(root, UID, alone=True)
    assert killing.look().outcome is Outcome.NO_CGROUP
    pod = Folder(pod_path(root, UID))
    assert killing.look().outcome is Outcome.KILLING
    assert pod.said()["cgroup.kill"] == "1"


def test_one_that_was_closed_and_is_gone_was_empty(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    killing = Killing(root, UID, alone=True)
    killing.look()
    pod.path.rename(root / "removed")

    assert killing.look().outcome is Outcome.EMPTY


def test_where_a_container_could_be_started_elsewhere_nothing_is_proven(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    killing = Killing(root, UID, alone=False)
    assert killing.look().outcome is Outcome.KILLING
    pod.empty()
    look = killing.look()
    assert (look.outcome, look.processes) == (Outcome.HYBRID, 0)
    pod.path.rename(root / "removed")
    assert killing.look().outcome is Outcome.HYBRID


@pytest.mark.parametrize(
    ("controllers", "alone"),
    [("cpuset cpu io memory hugetlb pids rdma", True), ("", False), ("cpu io", False), ("memory", False)],
)
def test_whether_what_starts_containers_keeps_to_version_2_alone(root: Path, controllers: str, alone: bool) -> None:
    (root / "cgroup.controllers").write_text(f"{controllers}\n", encoding="ascii")
    assert governs(root) is alone


def test_without_version_2_nothing_is_done_and_it_is_said(tmp_path: Path) -> None:
    pod = Folder(pod_path(tmp_path.resolve(), UID))

    look = Killing(tmp_path.resolve(), UID, alone=True).look()
    assert look.outcome is Outcome.UNSUPPORTED
    assert "version 2" in look.message
    assert pod.said() == {}


def test_a_kernel_that_cannot_kill_a_cgroup_is_told_nothing(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    (pod.path / "cgroup.kill").unlink()

    look = Killing(root, UID, alone=True).look()
    assert look.outcome is Outcome.UNSUPPORTED
    assert (pod.path / "cgroup.max.descendants").read_text(encoding="ascii") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="without root a folder stands in for what may not be written")
def test_a_kernel_that_refuses_is_quoted(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    (pod.path / "cgroup.max.descendants").unlink()
    (pod.path / "cgroup.max.descendants").mkdir()

    look = Killing(root, UID, alone=True).look()
    assert look.outcome is Outcome.REFUSED
    assert "directory" in look.message
