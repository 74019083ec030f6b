"""The watch of a node's PodControls goes on whatever the API server answers."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, UnreachableError
from agentstop.node import watch as module
from agentstop.node.watch import Watch

Raw = dict[str, Any]
Answer = list[tuple[str, Raw]] | Exception


def control(uid: str, version: int) -> Raw:
    return {"metadata": {"namespace": "ns", "name": uid, "uid": uid, "resourceVersion": str(version)}}


class Server:
    """Answers lists and watches as told; the last watch ends it all."""

    def __init__(self, lists: list[Any], watches: list[Answer]) -> None:
        self._lists = lists
        self._watches = watches
        self.asked: list[str] = []
        self.done = threading.Event()

    def list(self, path: str, query: Raw) -> tuple[list[Raw], str]:
        assert (path, query) == ("/apis/agentstop.dev/v1alpha1/podcontrols", {"fieldSelector": "spec.nodeName=n"})
        self.asked.append("list")
        found = self._lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return found, "10"

    def watch(
        self, _path: str, query: Raw, version: str, _ended: Callable[[], bool], **_: Any
    ) -> Iterator[tuple[str, Raw]]:
        assert query == {"fieldSelector": "spec.nodeName=n"}
        self.asked.append(version)
        if not self._watches:
            self.done.set()
            threading.Event().wait()
        answer = self._watches.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield from answer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


def followed(server: Server) -> list[Any]:
    told: list[Any] = []
    watch = Watch(
        cast("Api", server),
        "n",
        "",
        lambda items: told.append([each["metadata"]["name"] for each in items]),
        lambda kind, raw: told.append((kind, raw["metadata"]["name"])),
    )
    watch.start()
    assert server.done.wait(60)
    watch.stop()
    return told


def test_it_goes_on_from_where_it_was() -> None:
    bookmark = {"metadata": {"resourceVersion": "15"}}
    server = Server(
        [[control("a", 9)]], [[("ADDED", control("b", 12)), ("BOOKMARK", bookmark)], [("DELETED", control("a", 16))]]
    )

    assert followed(server) == [["a"], ("ADDED", "b"), ("DELETED", "a")]
    assert server.asked == ["list", "10", "15", "16"]


@pytest.mark.parametrize(
    "trouble",
    [
        UnreachableError("away"),
        ApiError(403, {"message": "no"}),
        ApiError(410, {"message": "too old"}),
        ApiError(400, {"message": "field label not supported: spec.nodeName"}),
        [("ERROR", {"code": 410, "message": "too old"})],
        [("ADDED", {})],
    ],
)
def test_after_whatever_comes_it_lists_anew(trouble: Answer) -> None:
    server = Server([[], [control("a", 20)]], [trouble])

    assert followed(server) == [[], ["a"]]
    assert server.asked == ["list", "10", "list", "10"]


def test_a_list_that_fails_is_tried_again() -> None:
    server = Server([ApiError(500, {"message": "no"}), UnreachableError("away"), [control("a", 1)]], [])

    assert followed(server) == [["a"]]
