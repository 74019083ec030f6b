"""`agentstop try` and `agentstop unprotect`, which the chart's hooks run, against an API server that plays a part."""

from pathlib import Path
from typing import Any

import pytest

from agentstop.api.crd import UNSEEN
from agentstop.api.meta import STOP_FINALIZER
from agentstop.cli import main, smoke, unprotect
from agentstop.client.client import Api
from agentstop.client.config import Target
from agentstop.client.credentials import Credentials
from agentstop.client.errors import ApiError, UnreachableError
from agentstop.words.tasks import Object

RUNNING: Object = {"phase": "Running", "reason": "Running", "message": "Task runs"}
STOPPED: Object = {
    "phase": "Stopped",
    "manuallyStopped": True,
    "finishedAt": "2026-01-01T00:00:00Z",
    "stop": {"verdict": "Graceful", "durationSeconds": 0.25},
}
STALLED: Object = {
    "phase": "Stopping",
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "Stopping", "message": "..."},
        {"type": "Stalled", "status": "True", "reason": "NodeUnreachable", "message": "Node a does not answer"},
    ],
}


class Part:
    """An API server with one task after the other, as a list says."""

    def __init__(self) -> None:
        self.target = Target("https://example", "default", "test")
        self.statuses: list[Object] = []
        self.found: dict[str, list[list[Object]]] = {}
        """What is there at one look after the other, by plural."""
        self.rejections: list[ApiError] = []
        self.asked: list[tuple[Any, ...]] = []
        self.made: Object = {}
        """Metadata of what is created."""
        self.credentials = Credentials()

    def create(self, path: str, body: Object, *, manager: str) -> Object:
        self.asked.append(("create", path, body["metadata"]))
        if self.rejections:
            raise self.rejections.pop()
        return {"metadata": {"name": "agentstop-try-x", **self.made}}

    def get(self, path: str) -> Object:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"metadata": {"name": path.rsplit("/", 1)[1]}, "status": status}

    def merge(self, path: str, body: Object, *, manager: str) -> Object:
        self.asked.append(("merge", path, body))
        if self.rejections:
            raise self.rejections.pop()
        return {}

    def delete(self, path: str) -> Object:
        self.asked.append(("delete", path))
        return {}

    def list(self, path: str) -> tuple[list[Object], str]:
        if self.rejections and self.rejections[-1].code in {403, 404}:
            raise self.rejections.pop()
        looks = self.found.get(path.rsplit("/", 1)[1])
        return (looks.pop(0) if looks else []), "1"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Part:
    part = Part()
    monkeypatch.setattr(Api, "open", lambda *_, **__: part)
    for module in (smoke, unprotect):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    return part


def try_it(timeout: float = 5) -> int:
    return main.main(["try", "-n", "here", "--task", '{"kind": "AgentTask"}', "--timeout", str(timeout)])


def test_a_try_runs_stops_and_removes_its_task(part: Part, capsys: pytest.CaptureFixture[str]) -> None:
    part.statuses = [{}, RUNNING, {**RUNNING, "phase": "Stopping"}, STOPPED]
    assert try_it() == 0
    assert capsys.readouterr().out == "task agentstop-try-x was stopped in 0.2 s, verdict Graceful\n"
    tasks = "/apis/agentstop.dev/v1alpha1/namespaces/here/agenttasks"
    assert part.asked == [
        ("create", tasks, {"generateName": "agentstop-try-"}),
        ("merge", f"{tasks}/agentstop-try-x", {"spec": {"stopRequested": True}}),
        ("delete", f"{tasks}/agentstop-try-x"),
    ]


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([UNSEEN], "is not Running after 0 s: it is not looked at by any operator; see whether one runs"),
        (
            [{"phase": "Pending", "reason": "ImagePull", "message": "no image"}],
            "is not Running after 0 s: it is Pending (ImagePull: no image)",
        ),
        (
            [{"phase": "Failed", "reason": "PodRefused", "message": "no", "finishedAt": "now"}],
            "was to be Running and is Failed (PodRefused: no)",
        ),
        ([RUNNING, STALLED], "is not Stopped after 0 s: it is Stopping (NodeUnreachable: Node a does not answer)"),
        (
            [RUNNING, {"phase": "Completed", "reason": "Completed", "message": "ended", "finishedAt": "now"}],
            "was to be Stopped by hand and is Completed (Completed: ended)",
        ),
        ([RUNNING, {**STOPPED, "stop": {"verdict": "Gone"}}], "without an exit code as proof: verdict Gone"),
    ],
)
def test_a_try_that_fails_says_why_and_removes_its_task(
    statuses: list[Object], said: str, part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    part.statuses = statuses
    assert try_it(timeout=0) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("agentstop: task agentstop-try-x ")
    assert errors.count("\n") == 1
    assert said in errors
    assert part.asked[-1][0] == "delete"


@pytest.mark.parametrize(
    ("code", "advice"), [(404, "install the Custom"), (403, "grant that"), (422, "mend that"), (500, "mend that")]
)
def test_a_refusal_comes_with_what_to_do(
    code: int, advice: str, part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    part.rejections = [ApiError(code, {"message": "so not"})]
    assert try_it() == 1
    assert capsys.readouterr().err.startswith(f"agentstop: the API server refused: so not; {advice}")


def test_a_task_that_is_no_json_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["try", "-n", "here", "--task", "{"])
    assert "it is not JSON" in capsys.readouterr().err


def test_an_api_server_that_is_away_is_named(
    part: Part, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: Any, **__: Any) -> Object:
        raise UnreachableError("connection refused")

    monkeypatch.setattr(part, "create", away)
    assert try_it() == 1
    assert capsys.readouterr().err == "agentstop: cannot reach the API server https://example: connection refused\n"


def task(name: str, *finalizers: str) -> Object:
    metadata = {"name": name, "namespace": "here", "uid": name, "resourceVersion": "7", "finalizers": list(finalizers)}
    return {"metadata": metadata}


def test_only_our_finalizer_is_taken_off(part: Part, capsys: pytest.CaptureFixture[str]) -> None:
    part.found["agenttasks"] = [[task("a", STOP_FINALIZER, "theirs/x"), task("b", "theirs/x"), task("c")]]
    assert main.main(["unprotect"]) == 0
    change = {"metadata": {"resourceVersion": "7", "finalizers": ["theirs/x"]}}
    assert part.asked == [("merge", "/apis/agentstop.dev/v1alpha1/namespaces/here/agenttasks/a", change)]
    assert capsys.readouterr().out == "took the finalizer off 1 tasks and orders\n"


def test_it_is_taken_off_orders_too(part: Part) -> None:
    part.found["stoporders"] = [[task("o", STOP_FINALIZER)]]
    wide = task("w", STOP_FINALIZER)
    del wide["metadata"]["namespace"]
    part.found["clusterstoporders"] = [[wide]]
    assert main.main(["unprotect"]) == 0
    assert [each[1] for each in part.asked] == [
        "/apis/agentstop.dev/v1alpha1/namespaces/here/stoporders/o",
        "/apis/agentstop.dev/v1alpha1/clusterstoporders/w",
    ]


def test_a_task_that_is_changed_meanwhile_is_looked_at_again(part: Part) -> None:
    part.rejections = [ApiError(409, {})]
    part.found["agenttasks"] = [[task("a", STOP_FINALIZER)], [], [], [task("a", STOP_FINALIZER)]]
    assert main.main(["unprotect", "-n", "here"]) == 0
    assert [each[0] for each in part.asked] == ["merge", "merge"]


def test_without_definitions_there_is_nothing_to_do(part: Part) -> None:
    part.rejections = [ApiError(404, {})]
    assert main.main(["unprotect"]) == 0


def test_an_operator_that_still_runs_is_told_of(
    part: Part, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unprotect, "GIVE_UP_SECONDS", -1)
    part.found["agenttasks"] = [[task("a", STOP_FINALIZER)]] * 9
    assert main.main(["unprotect"]) == 1
    assert capsys.readouterr().err == "agentstop: the finalizer is put on again and again: end the operator first\n"


def test_what_is_refused_is_not_taken_for_done(part: Part, capsys: pytest.CaptureFixture[str]) -> None:
    part.rejections = [ApiError(403, {"message": "forbidden"})]
    assert main.main(["unprotect"]) == 1
    assert "grant that" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["unprotect"], ["stop", "a"]])
def test_a_hook_and_the_plugin_name_a_kubeconfig_that_cannot_be_used(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text("just words", encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert main.main(words) == 1
    assert capsys.readouterr().err == f"agentstop: the kubeconfig {path} cannot be used: it is no mapping\n"
