"""A long grace period: said before it is given, and that nothing shortens it once it runs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentstop.cli.plugin.graces import longest, running_out, too_late
from agentstop.cli.plugin.ordering import certainly_means
from agentstop.cli.plugin.waiting.aims import row_of
from agentstop.words.moments import moments_of
from agentstop.words.reasons import answer
from tests.plugin.commands import Cli, Terminal
from tests.plugin.paper import EARLIER, STOP, Paper
from tests.support import agents
from tests.support.kube import Object
from tests.support.namespaces import Namespace

NOW = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)

WISHED: Object = {**STOP, "killAt": "2026-01-02T03:14:05.020000Z", "gracePeriodSeconds": 2}
"""600 s run, and 2 s were asked for later."""


def task(phase: str, **status: Any) -> Object:
    metadata = {"name": "a", "namespace": "x", "generation": 1, "creationTimestamp": "2026-01-02T03:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "observedGeneration": 1, **status}}


def test_only_what_is_long_and_does_not_run_yet_is_worth_a_word() -> None:
    long, short = task("Running", gracePeriodSeconds=600), task("Running", gracePeriodSeconds=30)
    assert longest([short, long]) == 600
    assert longest([short, task("Pending")]) is None
    assert longest([task("Pausing", gracePeriodSeconds=600), task("Stopping", stop=STOP)]) is None


@pytest.mark.parametrize(
    ("asked", "late"), [(1, True), (595, False), (500, True), (None, False)], ids=["now", "as long", "less", "nothing"]
)
def test_less_than_runs_is_too_late(asked: int | None, late: bool) -> None:
    said = too_late(task("Stopping", stop={**WISHED, "gracePeriodSeconds": 600}), asked, NOW)
    assert (said is not None) is late
    if said is not None:
        assert "no kubelet shortens the grace period that runs: SIGKILL comes at" in said
        assert "in 9m55s" in said
    assert too_late(task("Running"), asked, NOW) is None
    assert too_late(task("Stopped", stop=WISHED), asked, NOW) is None


def test_a_wish_that_came_too_late_is_said_while_it_waits_and_no_longer() -> None:
    stopping = task("Stopping", stop=WISHED)
    said = running_out([stopping, task("Stopping", stop=STOP)], NOW)
    assert said is not None
    assert "no kubelet shortens" in said
    assert running_out([stopping], NOW + timedelta(seconds=5)) == said
    assert running_out([stopping], NOW + timedelta(minutes=11)) is None
    assert running_out([task("Stopping", stop=STOP)], NOW) is None
    assert running_out([task("Stopping", stop={**STOP, "gracePeriodSeconds": 28})], NOW) is None


def test_why_tells_the_wish_from_what_runs() -> None:
    said = answer(task("Stopping", stop=WISHED), (), NOW)
    assert "SIGKILL follows in 9m55s" in said.headline
    facts = " ".join(said.facts)
    assert "SIGKILL is due 10m after it" in facts
    assert "2s were asked for when that ran already, and no kubelet shortens what runs" in facts
    assert "nothing in Kubernetes brings it forward" in said.advice[0]
    shown = [each.what for each in moments_of(task("Stopping", stop=WISHED), (), NOW)]
    assert "SIGTERM on its way (grace 600s; 2s came too late)" in shown


def test_why_says_nothing_of_it_where_the_pod_was_deleted_late() -> None:
    pods = [{"name": "p", "uid": "1", "gracePeriodSeconds": 20}, {"name": "q", "uid": "2"}]
    late = {**WISHED, "gracePeriodSeconds": 30}
    assert running_out([task("Stopping", stop=late)], NOW) is not None
    stopping = task("Stopping", stop=late, workload={"kind": "Job", "name": "w", "uid": "3", "pods": pods})
    assert running_out([stopping], NOW) is None
    assert "were asked for" not in " ".join(answer(stopping, (), NOW).facts)


def test_why_says_nothing_of_it_where_the_wish_came_in_time() -> None:
    said = answer(task("Stopping", stop=STOP), (), NOW)
    assert said.advice == ()
    assert "were asked for" not in " ".join(said.facts)
    assert "shortens" not in " ".join(said.facts)


def condition(kind: str, reason: str) -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": "so it is", "lastTransitionTime": EARLIER}


@pytest.mark.parametrize("kind", ["Reconciling", "Stalled"])
def test_no_signal_is_told_of_that_a_busy_kubelet_does_not_send(kind: str) -> None:
    stopping = task("Stopping", stop=STOP, conditions=[condition(kind, "KubeletBusy")])
    said = answer(stopping, (), NOW)
    facts = " ".join((said.headline, *said.facts))
    assert "SIGKILL follows" not in facts
    assert "SIGTERM was on its way" not in facts
    assert "nothing holds it up" not in facts
    assert "acts on it when it is done with what it does, and SIGKILL comes 30s after that" in facts
    assert said.held_up == "KubeletBusy: so it is"
    assert "describe pod" in said.advice[0]
    shown = [each.what for each in moments_of(stopping, (), NOW)]
    assert "stop on its way to a busy kubelet (grace 30s)" in shown
    assert not [each for each in shown if "SIGKILL" in each]
    detail = row_of(stopping, NOW).detail
    assert ("kubelet is busy" in detail or "KubeletBusy" in detail, "SIGTERM" in detail) == (True, False)


@pytest.mark.parametrize("reason", ["NodeUnreachable", "NodeDeleted"])
def test_what_a_node_does_that_does_not_answer_is_not_known(reason: str) -> None:
    said = answer(task("Stopping", stop=STOP, conditions=[condition("Stalled", reason)]), (), NOW)
    assert "whether SIGTERM came is not known" in " ".join(said.facts)
    assert "SIGTERM was on its way" not in " ".join(said.facts)


async def test_a_stop_warns_before_a_long_grace_period_is_given(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600})
    done = await cli("stop", "a", "-n", paper.namespace)
    assert (done.code, "a may take 10m to end" in done.err, "--grace 30s, or --now" in done.err) == (0, True, True)
    assert (await paper.get("a"))["spec"]["stopRequested"] is True


@pytest.mark.parametrize("words", [("--now",), ("--grace", "5m"), ("--dry-run",)])
async def test_who_says_how_long_is_not_warned(cli: Cli, paper: Paper, words: tuple[str, ...]) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600})
    done = await cli("stop", "a", *words, "-n", paper.namespace)
    assert (done.code, done.err) == (0, "")


async def test_a_person_is_asked_and_may_ask_for_less_yet(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600})
    terminal = await Terminal.start(cli, tmp_path, "stop", "a", "--no-wait", "-n", paper.namespace)
    await terminal.shows("Stop a so?")
    terminal.type("n\n")
    assert await terminal.ended() == 1
    assert "stopRequested" not in (await paper.get("a"))["spec"] or not (await paper.get("a"))["spec"]["stopRequested"]
    terminal = await Terminal.start(cli, tmp_path, "stop", "a", "--no-wait", "-y", "-n", paper.namespace)
    assert await terminal.ended() == 0
    assert "may take 10m" in terminal.text()
    assert (await paper.get("a"))["spec"]["stopRequested"] is True


async def test_the_question_before_many_names_the_longest(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600})
    await paper.task("b", {"phase": "Running", "gracePeriodSeconds": 30})
    terminal = await Terminal.start(cli, tmp_path, "stop", "--all", "-n", paper.namespace)
    await terminal.shows("one of them may take 10m to end")
    await terminal.shows("Stop 2 tasks")
    terminal.type("n\n")
    assert await terminal.ended() == 1


async def test_a_pause_says_that_not_even_a_stop_shortens_it(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600})
    done = await cli("pause", "a", "--no-wait", "-n", paper.namespace)
    assert done.code == 0, done.err
    assert "a may take 10m to end, and nothing shortens that once it runs; not even a stop does" in done.err


@pytest.mark.parametrize("spec", [{"pausePolicy": "Freeze"}, {}])
async def test_a_freeze_ends_nothing_and_sets_the_policy(cli: Cli, paper: Paper, spec: Object) -> None:
    await paper.task("a", {"phase": "Running", "gracePeriodSeconds": 600}, **spec)
    done = await cli("pause" if spec else "freeze", "a", "--no-wait", "-n", paper.namespace)
    assert done.code == 0, done.err
    assert "may take" not in done.err
    found = (await paper.get("a"))["spec"]
    assert (found["paused"], found["pausePolicy"]) == (True, "Freeze")


async def test_what_is_frozen_is_shown_as_such_everywhere(cli: Cli, paper: Paper) -> None:
    status = {"phase": "Paused", "reason": "Frozen", "pausePolicy": "Freeze", "pausedAt": "2026-01-02T03:04:05Z"}
    await paper.task("a", status, paused=True, pausePolicy="Freeze")
    for verb in (["list"], ["get", "a"], ["why", "a"]):
        done = await cli(*verb, "-n", paper.namespace)
        assert "Paused (frozen)" in done.out, verb
    assert "the kernel holds all processes" in (await cli("get", "a", "-n", paper.namespace)).out


async def test_a_second_stop_for_less_says_that_it_comes_too_late(cli: Cli, paper: Paper) -> None:
    await paper.task("a", stopRequested=True)
    kill = datetime.now(UTC) + timedelta(seconds=300)
    began = datetime.now(UTC) - timedelta(seconds=5)
    stop = {**STOP, "signaledAt": f"{began:%FT%T.%fZ}", "killAt": f"{kill:%FT%T.%fZ}", "gracePeriodSeconds": 305}
    await paper.write("a", phase="Stopping", stop=stop)
    done = await cli("stop", "a", "--now", "-n", paper.namespace)
    assert done.code == 0, done.err
    assert "a is ending already, and no kubelet shortens the grace period that runs: SIGKILL comes at" in done.err
    assert (await paper.get("a"))["spec"]["stop"]["gracePeriodSeconds"] == 1


async def test_a_grace_period_that_runs_is_not_shortened_and_all_say_so(live: Cli, ns: Namespace) -> None:
    """From the pod's own 8 seconds to SIGKILL, as a person sees it who asks again after a moment."""
    await ns.create_task("a", agents.template(agents.DEAF, grace=8))
    assert (await ns.running("a"))["status"]["gracePeriodSeconds"] == 8
    await ns.stop("a")
    await ns.until("a", lambda found: "killAt" in found["status"].get("stop", {}), what="signaled")
    done = await live("stop", "a", "-n", ns.name, "--now", "--wait")
    assert done.code == 0, done.err
    assert "no kubelet shortens: SIGKILL comes at" in done.err
    stop = (await ns.task("a"))["status"]["stop"]
    assert (stop["gracePeriodSeconds"], stop["verdict"]) == (1, "Killed")
    since = datetime.fromisoformat(stop["killAt"]) - datetime.fromisoformat(stop["signaledAt"])
    assert since > timedelta(seconds=6)
    why = await live("why", "a", "-n", ns.name)
    assert "1s were asked for when that ran already" in " ".join(why.out.split())
    await ns.event("a", "GracePeriodRuns")


async def test_an_order_for_less_says_so_of_what_was_ending_before(live: Cli, ns: Namespace) -> None:
    for name in ("a", "b"):
        await ns.create_task(name, agents.template(agents.DEAF, grace=10))
        await ns.running(name)
    await ns.stop("a")
    await ns.until("a", lambda found: "killAt" in found["status"].get("stop", {}), what="signaled")
    done = await live("stop", "--all", "-n", ns.name, "--now", "--wait", "-y")
    assert done.code == 0, done.err
    assert "no kubelet shortens: SIGKILL comes at" in done.err
    assert "2 tasks stopped" in done.out


@pytest.mark.parametrize(
    ("spec", "means"),
    [
        ({}, True),
        ({"taskNames": ["a"], "agents": ["x"], "selector": {"matchLabels": {"team": "t"}}}, True),
        ({"taskNames": ["b"]}, False),
        ({"agents": ["y"]}, False),
        ({"selector": {"matchLabels": {"team": "u"}}}, False),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}, False),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, False),
    ],
)
def test_whom_an_ordercertainly_means(spec: Object, means: bool) -> None:
    metadata = {"name": "a", "namespace": "x", "labels": {"team": "t"}}
    assert certainly_means(spec, {"metadata": metadata, "spec": {"agent": "x"}}) is means
