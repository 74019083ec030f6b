"""Freezes through the whole: the console script, the operator of all namespaces, and a node that freezes by signals.

The judge is what the agents write.
"""

import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .verbs import ask, read, run, running, until

GROUP = "/apis/agentstop.dev/v1alpha1"
BEATING = "trap 'echo checkpoint; exit 0' TERM; n=0; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
"""Says a number again and again, and never the same one twice; ends well on SIGTERM."""

ON_THE_WAY, SILENCE = 0.5, 1.0
"""Seconds after which is written what was said before a freeze, and for which nothing may be heard after that."""


@dataclass(frozen=True)
class Playground:
    """A playground with its operator, as `agentstop playground --with-operator --node-component` serves it."""

    folder: Path
    kubeconfig: Path

    def verb(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb of the plugin to its end."""
        return run(self.folder, *words, KUBECONFIG=str(self.kubeconfig))

    def done(self, *words: str) -> str:
        """Run a verb that does what it is to; returns what it said."""
        ended = self.verb(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def order(self, name: str) -> Any:
        return ask(self.kubeconfig, f"{GROUP}/clusterstoporders/{name}")


@dataclass(frozen=True)
class Place:
    """A namespace of the playground."""

    playground: Playground
    namespace: str

    @property
    def _tasks(self) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/agenttasks"

    def run(self, *names: str, **labels: str) -> None:
        """Have agents run that write all the time."""
        container = {"name": "agent", "image": "x", "command": ["sh", "-c", BEATING]}
        template = {"spec": {"terminationGracePeriodSeconds": 20, "containers": [container]}}
        for name in names:
            metadata = {"name": name, "labels": labels}
            body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "metadata": metadata}
            ask(self.playground.kubeconfig, self._tasks, {**body, "spec": {"podTemplate": template}})
        for name in names:
            self.until_running(name)  # before that there is no log
            self.goes_on(name, 0)

    def task(self, name: str) -> Any:
        return ask(self.playground.kubeconfig, f"{self._tasks}/{name}")

    def status(self, name: str) -> Any:
        return self.task(name)["status"]

    def log(self, name: str) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/log"
        return read(self.playground.kubeconfig, path) or ""

    def beats(self, name: str) -> list[int]:
        return [int(number) for number in re.findall(r"beat (\d+)", self.log(name))]

    def goes_on(self, name: str, before: int) -> None:
        """Wait until an agent is further, and check that it went on where it was."""
        until(lambda: (self.beats(name) or [0])[-1] > before, f"{name} at work")
        numbers = self.beats(name)
        assert numbers == list(range(1, numbers[-1] + 1)), "it began again"

    def until_running(self, name: str) -> None:
        until(lambda: self.task(name).get("status", {}).get("phase") == "Running", f"{name} running")

    def is_silent(self, name: str) -> int:
        """Check that nothing is heard of an agent; returns the last that was."""
        time.sleep(ON_THE_WAY)
        before = self.beats(name)
        time.sleep(SILENCE)
        assert self.beats(name) == before, f"{name} works while it is frozen"
        return before[-1]


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    folder = tmp_path_factory.mktemp("freezing")
    kubeconfig = folder / "kubeconfig"
    words = ("playground", "--with-operator", "--node-component", "--kubeconfig", str(kubeconfig))
    with running(folder, *words) as process:
        until(kubeconfig.exists, "the kubeconfig")
        yield Playground(folder, kubeconfig)
        process.terminate()
        assert process.wait(60) == 0
    text = (folder / "output").read_text()
    assert "Traceback" not in text, text[-3000:]


@pytest.fixture
def place(playground: Playground) -> Place:
    return make_place(playground)


def make_place(playground: Playground) -> Place:
    name = f"t-{secrets.token_hex(4)}"
    ask(playground.kubeconfig, "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"stage": name}}})
    return Place(playground, name)


def test_a_task_is_frozen_and_thawed_by_its_name(playground: Playground, place: Place) -> None:
    place.run("a", "b")
    where = ("-n", place.namespace)
    assert "a is Paused (frozen)" in playground.done("freeze", "a", "--wait", *where)
    last = place.is_silent("a")
    place.goes_on("b", place.beats("b")[-1])
    status = place.status("a")
    assert (status["reason"], status["pausePolicy"], status["attempts"]) == ("Frozen", "Freeze", 1)
    (pod,) = status["workload"]["pods"]
    assert pod["frozenAt"] <= status["pausedAt"]
    assert "Paused (frozen)" in playground.done("list", *where)
    assert "frozen by its own spec since " in playground.done("why", "a", *where)
    tree = playground.done("get", "a", *where)
    assert "frozen by  its own spec since " in tree
    assert "frozen: the kernel holds all processes" in tree

    assert "a is Running" in playground.done("thaw", "a", "--wait", *where)
    place.goes_on("a", last)
    status = place.status("a")
    assert (status["attempts"], "pausePolicy" in status, "frozenAt" in status["workload"]["pods"][0]) == (
        1,
        False,
        False,
    )
    assert status["pausedSeconds"] >= SILENCE


def test_a_pause_freezes_where_the_task_says_so_and_a_stop_goes_first(playground: Playground, place: Place) -> None:
    place.run("a")
    where = ("-n", place.namespace)
    path = f"{GROUP}/namespaces/{place.namespace}/agenttasks/a"
    merge(playground, path, {"spec": {"pausePolicy": "Freeze"}})
    assert "a is Paused (frozen)" in playground.done("pause", "a", "--wait", *where)
    place.is_silent("a")
    playground.done("stop", "a", "--wait", *where)
    status = place.status("a")
    assert (status["phase"], status["stop"]["verdict"]) == ("Stopped", "Graceful")
    assert "checkpoint" in place.log("a")


@pytest.mark.parametrize(
    ("verb", "verdict", "code"), [("stop", "Graceful", 0), ("kill", "Killed", 137), ("lift", None, None)]
)
def test_an_order_of_all_namespaces_halts_a_crowd_before_it_is_said_what_follows(
    playground: Playground, place: Place, verb: str, verdict: str | None, code: int | None
) -> None:
    other, elsewhere = make_place(playground), make_place(playground)
    crew = place.namespace
    for each in (place, other):
        each.run("a", "b", crew=crew)
    place.run("left")
    elsewhere.run("a")
    said = playground.done("freeze", "-l", f"crew={crew}", "-A", "--reason", "OddTraffic", "-y", "--wait")
    assert "4 tasks frozen in " in said
    (name,) = set(re.findall(rf"order {verb} (\S+) -A", said))
    order = playground.order(name)
    assert (order["status"]["phase"], order["status"]["matched"], order["status"]["frozen"]) == ("Frozen", 4, 4)
    assert order["status"]["freezeSeconds"] >= 0
    frozen = [(each, task) for each in (place, other) for task in ("a", "b")]
    lasts = {}
    for each, task in frozen:
        status = each.status(task)
        assert (status["reason"], status["frozenBy"]["name"]) == ("Frozen", name)
        lasts[each, task] = each.is_silent(task)
    for each, task in ((place, "left"), (elsewhere, "a")):
        each.goes_on(task, each.beats(task)[-1])
    why = playground.done("why", "a", "-n", other.namespace)
    assert f"frozen by ClusterStopOrder {name} since " in why
    assert f"agentstop order lift {name} -A" in why

    playground.done("order", verb, name, "-A", *([] if verb == "lift" else ["-y", "--wait"]))
    for each, task in frozen:
        if verdict is None:
            each.goes_on(task, lasts[each, task])
            each.until_running(task)
            assert each.status(task)["attempts"] == 1
            continue
        status = each.status(task)
        (container,) = status["workload"]["pods"][0]["containers"]
        assert (status["stop"]["verdict"], container["exitCode"]) == (verdict, code)
        assert (status["stop"]["source"], status["stop"]["order"]["kind"]) == ("StopOrder", "ClusterStopOrder")
        assert ("checkpoint" in each.log(task)) is (verb == "stop")
        # A node that is slow to kill has its pod deleted, and what it wrote goes with it.
        assert (
            verb == "stop"
            or [*each.beats(task), lasts[each, task]][-2:] == 2 * [lasts[each, task]]
            or not each.log(task)
        )
    assert place.status("left")["phase"] == elsewhere.status("a")["phase"] == "Running"


def test_an_order_of_some_namespaces_stops_as_soon_as_all_is_frozen(playground: Playground, place: Place) -> None:
    other = make_place(playground)
    for each in (place, other):
        each.run("a", "b")
    words = ("--all", "-A", "--namespace-selector", f"stage={place.namespace}", "--freeze", "--then", "stop", "--hold")
    said = playground.done("order", "create", f"halt-{place.namespace}", *words, "-y", "--wait")
    assert "2 tasks stopped" in said
    status = playground.order(f"halt-{place.namespace}")["status"]
    assert (status["phase"], status["stopped"]["graceful"], status["frozen"]) == ("Holding", 2, 0)
    assert {other.status(name)["phase"] for name in ("a", "b")} == {"Running"}
    assert all("checkpoint" in place.log(name) for name in ("a", "b"))


def test_what_an_order_has_frozen_is_thawed_by_the_same_words(playground: Playground, place: Place) -> None:
    place.run("a", "b")
    where = ("-n", place.namespace)
    assert "2 tasks frozen in " in playground.done("freeze", "--all", "-y", "--wait", *where)
    lasts = {name: place.is_silent(name) for name in ("a", "b")}
    refused = playground.verb("resume", "a", *where)
    assert (refused.returncode, "frozen by StopOrder " in refused.stderr) == (1, True)
    said = playground.done("thaw", "--all", "-y", "--wait", *where)
    assert len(re.findall("[ab] is Running", said)) == 2
    for name, last in lasts.items():
        place.goes_on(name, last)


def merge(playground: Playground, path: str, body: Any) -> None:
    """Merge into an object."""
    kind = "application/merge-patch+json"
    assert read(playground.kubeconfig, path, body, "PATCH", content_type=kind) is not None
