"""One worker for each PodControl of the node, and what the process says of itself."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentstop.node import component
from agentstop.node.component import BLIND_SECONDS, Component, Options
from agentstop.node.debounce import Debounce
from agentstop.node.keeper import Keeper
from agentstop.node.looks import Outcome
from agentstop.node.watch import Watch
from agentstop.node.worker import Means
from tests.support import cgroups
from tests.support.cgroups import Folder, fake_root, pod_path
from tests.support.waiting import PATIENCE, until

Raw = dict[str, Any]


def control(uid: str, namespace: str = "ns") -> Raw:
    return {"metadata": {"namespace": namespace, "name": uid, "uid": uid}, "spec": {}}


class Bench(Component):
    """A component whose workers wait for ever."""

    def __init__(self, *namespaces: str) -> None:
        super().__init__(Options(node="n", namespaces=namespaces))

        async def ask(*_: Any) -> None:
            raise AssertionError("nothing is asked for what is refused")

        def clock() -> None:
            return None

        async def pause(_: float) -> None:
            raise AssertionError("not begun")

        self.means = cast(
            "Means",
            SimpleNamespace(node="n", root=Path(), alone=True, clock=clock, ask=ask, pause=pause, debounce=Debounce()),
        )

    @property
    def seen_to(self) -> list[str]:
        return sorted(self._workers)


async def test_workers_come_and_go_with_the_objects() -> None:
    bench = Bench()
    bench._listed(bench.means, "", [control("a"), control("b")])
    bench._changed(bench.means, "ADDED", control("c"))
    bench._changed(bench.means, "MODIFIED", control("a"))
    assert bench.seen_to == ["a", "b", "c"]
    bench._changed(bench.means, "DELETED", control("b"))
    bench._changed(bench.means, "DELETED", control("never"))
    assert bench.seen_to == ["a", "c"]
    bench._listed(bench.means, "", [control("c")])
    assert bench.seen_to == ["c"]
    await bench._end(bench.seen_to)


def frozen(root: Path, uid: str, namespace: str) -> Folder:
    pod = Folder(pod_path(root, uid))
    if not cgroups.has_attributes(pod.path):
        pytest.skip("this file system has no extended attributes, which cgroups have")
    assert Keeper(root, uid, namespace, alone=True).look("Frozen").outcome is Outcome.FREEZING
    return pod


async def tidied(bench: Bench, root: Path, tidy: Callable[[], bool]) -> None:
    task = asyncio.create_task(bench._tidy(root))
    await until(lambda: not bench._untidy.is_set(), PATIENCE, "tidied")
    task.cancel()
    assert tidy()


UIDS = [f"{n}b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01" for n in range(4)]


def asked(uid: str, namespace: str = "ns") -> Raw:
    metadata = {"namespace": namespace, "name": uid, "uid": f"{namespace}-{uid}"}
    return {"metadata": metadata, "spec": {"podUID": uid}}


async def test_what_was_frozen_stays_so_until_it_is_known_that_nobody_asks_for_it(tmp_path: Path) -> None:
    """The component was away: a freeze holds meanwhile, and one whose object went meanwhile is over afterwards."""
    root = fake_root(tmp_path)
    kept, gone = [frozen(root, uid, "ns") for uid in UIDS[:2]]
    theirs = Folder(pod_path(root, UIDS[2]))
    (theirs.path / "cgroup.freeze").write_text("1", encoding="ascii")
    bench = Bench()
    bench._untidy.set()
    await tidied(bench, root, lambda: kept.to_be_frozen and gone.to_be_frozen)

    bench._listed(bench.means, "", [asked(UIDS[0])])
    await tidied(bench, root, lambda: kept.to_be_frozen and not gone.to_be_frozen)
    assert theirs.to_be_frozen, "somebody else's"

    bench._changed(bench.means, "DELETED", asked(UIDS[0]))
    await tidied(bench, root, lambda: not kept.to_be_frozen)
    await bench._end(bench.seen_to)


async def test_what_ends_the_component_thaws_nothing(tmp_path: Path) -> None:
    root = fake_root(tmp_path)
    pod, bench = frozen(root, UIDS[0], "ns"), Bench()
    bench._listed(bench.means, "", [asked(UIDS[0])])
    await tidied(bench, root, lambda: pod.to_be_frozen)
    await bench._end(bench.seen_to)
    assert not bench.seen_to
    await tidied(bench, root, lambda: pod.to_be_frozen)


async def test_an_object_in_another_namespace_neither_keeps_nor_ends_a_freeze(tmp_path: Path) -> None:
    root = fake_root(tmp_path)
    kept, gone = [frozen(root, uid, "ns") for uid in UIDS[:2]]
    bench = Bench()
    bench._listed(bench.means, "", [asked(UIDS[0]), *(asked(uid, "forged") for uid in UIDS[:2])])
    await tidied(bench, root, lambda: kept.to_be_frozen and not gone.to_be_frozen)
    bench._listed(bench.means, "", [asked(UIDS[0])])
    await tidied(bench, root, lambda: kept.to_be_frozen)
    await bench._end(bench.seen_to)


async def test_one_that_serves_single_namespaces_leaves_those_of_others_alone(tmp_path: Path) -> None:
    root = fake_root(tmp_path)
    ours, others = frozen(root, UIDS[0], "a"), frozen(root, UIDS[1], "c")
    bench = Bench("a", "b")
    bench._listed(bench.means, "a", [])
    await tidied(bench, root, lambda: ours.to_be_frozen)
    bench._listed(bench.means, "b", [])
    await tidied(bench, root, lambda: not ours.to_be_frozen and others.to_be_frozen)


@pytest.mark.skipif(os.geteuid() != 0, reason="without root a folder stands in for what may not be written")
async def test_what_cannot_be_thawed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component, "TIDY_SECONDS", 0.0)
    root = fake_root(tmp_path)
    pod, other, bench = frozen(root, UIDS[0], "ns"), frozen(root, UIDS[1], "ns"), Bench()
    pod.path.joinpath("cgroup.freeze").rename(pod.path / "kept")
    pod.path.joinpath("cgroup.freeze").mkdir()
    bench._listed(bench.means, "", [])
    task = asyncio.create_task(bench._tidy(root))
    await until(lambda: not other.to_be_frozen, PATIENCE, "the other one is thawed")
    pod.path.joinpath("cgroup.freeze").rmdir()
    pod.path.joinpath("kept").rename(pod.path / "cgroup.freeze")
    await until(lambda: not pod.to_be_frozen, PATIENCE, "thawed")
    task.cancel()


async def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    bench = Bench()
    bench._listed(bench.means, "a", [control("a", "a")])
    bench._listed(bench.means, "b", [control("b", "b")])
    bench._listed(bench.means, "a", [])
    assert bench.seen_to == ["b"]
    await bench._end(bench.seen_to)


def test_it_is_ready_once_it_hears_and_can_do_something(tmp_path: Path) -> None:
    bench = Bench()
    root = tmp_path.resolve()
    assert "version 2" in (bench._unready(root) or "")
    watch = Watch(cast("Any", None), "n", "", lambda _: None, lambda *_: None)
    bench._watches.append(watch)
    fake_root(root)
    assert bench._unready(root) == "the API server has not answered yet"
    watch._heard()
    assert watch.contact_at is not None
    assert bench._unready(root) is None
    later = watch.contact_at + BLIND_SECONDS + 1
    assert "blind" in (bench._unready(root, lambda: later) or "")
