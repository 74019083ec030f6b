"""One worker for each PodControl of the node, and what the process says of itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from agentstop.node.component import BLIND_SECONDS, Component, Options
from agentstop.node.watch import Watch
from agentstop.node.worker import Means
from tests.support.cgroups import fake_root

Raw = dict[str, Any]


def control(uid: str, namespace: str = "ns") -> Raw:
    return {"metadata": {"namespace": namespace, "name": uid, "uid": uid}, "spec": {}}


class Bench(Component):
    """A component whose workers wait for ever."""

    def __init__(self) -> None:
        super().__init__(Options(node="n"))

        async def ask(*_: Any) -> None:
            raise AssertionError("nothing is asked for what is refused")

        def clock() -> None:
            return None

        async def pause(_: float) -> None:
            raise AssertionError("not begun")

        self.means = cast("Means", SimpleNamespace(node="n", clock=clock, ask=ask, pause=pause))

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
