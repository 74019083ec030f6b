"""Where the cgroup of a pod is, and that nothing but a UID ever leads anywhere."""

from pathlib import Path

import pytest

from agentstop.node.layouts import is_pod_uid, pod_cgroup, pod_uids

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
FLAT = UID.replace("-", "_")


@pytest.mark.parametrize(
    "where",
    [
        f"kubepods/pod{UID}",
        f"kubepods/burstable/pod{UID}",
        f"kubepods/besteffort/pod{UID}",
        f"kubepods.slice/kubepods-pod{FLAT}.slice",
        f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{FLAT}.slice",
        f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{FLAT}.slice",
        f"kubelet-kubepods.slice/kubelet-kubepods-pod{FLAT}.slice",
        f"kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{FLAT}.slice",
    ],
)
def test_both_drivers_and_all_classes(tmp_path: Path, where: str) -> None:
    (tmp_path / where).mkdir(parents=True)

    assert pod_cgroup(tmp_path.resolve(), UID) == tmp_path.resolve() / where
    assert pod_cgroup(tmp_path.resolve(), UID.replace("0b", "1b")) is None
    assert list(pod_uids(tmp_path.resolve())) == [UID]


@pytest.mark.parametrize(
    "uid",
    ["", ".", "..", "../..", f"{UID}/..", f"../pod{UID}", f"{UID}\n", UID.upper(), f"{UID}0", "x" * 36, f"{UID}\0"],
)
def test_what_is_no_uid_leads_nowhere(tmp_path: Path, uid: str) -> None:
    assert not is_pod_uid(uid)
    with pytest.raises(ValueError, match="not the UID"):
        pod_cgroup(tmp_path, uid)


def test_what_leads_elsewhere_is_no_cgroup_of_the_pod(tmp_path: Path) -> None:
    root, other = tmp_path.resolve() / "root", tmp_path.resolve() / "other"
    (root / "kubepods").mkdir(parents=True)
    other.mkdir()
    (root / "kubepods" / f"pod{UID}").symlink_to(other)
    (root / "kubepods" / "podx").mkdir()
    (root / "kubepods" / "pod").mkdir()
    (root / "kubepods" / f"pod{UID}.slice").mkdir()
    (root / "kubepods" / f"pod{FLAT}").mkdir()

    assert pod_cgroup(root, UID) is None
    assert list(pod_uids(root)) == [UID], "the name is a pod's; what it leads to is not"
