"""The node's pure decisions: starting, ending, environment, scheduling, status."""

import math
import signal
from datetime import UTC, datetime
from typing import Any

import pytest

from agentstop_playground.node import pod_status
from agentstop_playground.node.containers import (
    CRASH_BACKOFF_MOST,
    Container,
    Role,
    Running,
    State,
    Terminated,
    Waiting,
    after_exit,
    plan,
    should_restart,
)
from agentstop_playground.node.environment import expand
from agentstop_playground.node.pod_status import Moment, build
from agentstop_playground.node.processes import Process
from agentstop_playground.node.scheduling import quantity, unschedulable, wants_scheduling
from agentstop_playground.node.stopping import MIN_TERM, Stop

NOW = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
WAITING = Waiting("ContainerCreating")
RUNNING = Running(NOW)
DONE = Terminated(0, "Completed", "", NOW, NOW)
CRASHED = Terminated(1, "Error", "", NOW, NOW)


def make(role: Role, state: State, name: str = "x") -> Container:
    process = Process(1, lambda _: None, lambda _: None) if isinstance(state, Running) else None
    return Container(name, role, {"name": name, "image": "none"}, state, process=process)


@pytest.mark.parametrize(
    ("states", "starts", "finished"),
    [
        ([(Role.MAIN, WAITING), (Role.MAIN, WAITING)], [0, 1], False),
        ([(Role.INIT, WAITING), (Role.MAIN, WAITING)], [0], False),
        ([(Role.INIT, RUNNING), (Role.MAIN, WAITING)], [], False),
        ([(Role.INIT, DONE), (Role.MAIN, WAITING)], [1], False),
        ([(Role.INIT, CRASHED), (Role.MAIN, WAITING)], [], True),
        ([(Role.SIDECAR, WAITING), (Role.MAIN, WAITING)], [0], False),
        ([(Role.SIDECAR, RUNNING), (Role.MAIN, WAITING)], [1], False),
        ([(Role.SIDECAR, CRASHED), (Role.MAIN, WAITING)], [0], False),
        ([(Role.SIDECAR, CRASHED), (Role.MAIN, RUNNING)], [0], False),
        ([(Role.SIDECAR, RUNNING), (Role.INIT, WAITING), (Role.SIDECAR, WAITING), (Role.MAIN, WAITING)], [1], False),
        ([(Role.SIDECAR, RUNNING), (Role.MAIN, DONE)], [], True),
        ([(Role.MAIN, DONE), (Role.MAIN, RUNNING)], [], False),
        ([(Role.MAIN, CRASHED)], [], True),
    ],
)
def test_plan_without_restarts(states: list[tuple[Role, State]], starts: list[int], finished: bool) -> None:
    containers = [make(role, state) for role, state in states]
    decided = plan(containers, "Never", now=10.0)
    assert [containers.index(item) for item in decided.start] == starts
    assert decided.finished is finished


@pytest.mark.parametrize(
    ("role", "state", "policy", "again"),
    [
        (Role.MAIN, DONE, "Always", True),
        (Role.MAIN, DONE, "OnFailure", False),
        (Role.MAIN, CRASHED, "OnFailure", True),
        (Role.MAIN, CRASHED, "Never", False),
        (Role.INIT, DONE, "Always", False),
        (Role.INIT, CRASHED, "Always", True),
        (Role.SIDECAR, DONE, "Never", True),
        (Role.MAIN, RUNNING, "Always", False),
    ],
)
def test_who_is_restarted(role: Role, state: State, policy: str, again: bool) -> None:
    assert should_restart(make(role, state), policy) is again


@pytest.mark.parametrize(
    ("role", "own", "rules", "pod_policy", "exit_code", "again"),
    [
        (Role.MAIN, "Always", (), "Never", 0, True),
        (Role.MAIN, "OnFailure", (), "Never", 0, False),
        (Role.MAIN, "OnFailure", (), "Never", 1, True),
        (Role.MAIN, "Never", (), "Always", 1, False),
        (Role.MAIN, "Never", ("In", 42), "Never", 42, True),
        (Role.MAIN, "Never", ("In", 42), "Never", 41, False),
        (Role.MAIN, "Never", ("NotIn", 42), "Never", 41, True),
        (Role.MAIN, "OnFailure", ("In", 0), "Never", 0, True),
        # Rules count only beside a policy of the container's own.
        (Role.MAIN, None, ("In", 42), "Never", 42, False),
        (Role.INIT, "Never", ("In", 42), "Always", 42, True),
        (Role.INIT, "Never", ("In", 0), "Always", 0, False),
        (Role.EPHEMERAL, None, (), "Always", 1, False),
    ],
)
def test_a_containers_own_policy_and_rules_come_before_its_pods(
    role: Role, own: str | None, rules: tuple[Any, ...], pod_policy: str, exit_code: int, *, again: bool
) -> None:
    item = make(role, Terminated(exit_code, "x", "", NOW, NOW))
    if own:
        item.spec["restartPolicy"] = own
    if rules:
        codes = {"operator": rules[0], "values": list(rules[1:])}
        item.spec["restartPolicyRules"] = [{"action": "Restart", "exitCodes": codes}]
    assert should_restart(item, pod_policy) is again


def test_crash_back_off_grows_to_its_limit_and_is_forgotten_after_a_long_run() -> None:
    item = make(Role.MAIN, CRASHED)
    pauses = []
    for _ in range(8):
        after_exit(item, "Always", ran_for=0.1, now=100.0)
        pauses.append(item.retry_at - 100.0)
    assert pauses == [0, 1, 2, 4, 8, 16, CRASH_BACKOFF_MOST, CRASH_BACKOFF_MOST]
    assert plan([item], "Always", now=100.0).wake_at == item.retry_at
    after_exit(item, "Always", ran_for=3600, now=100.0)
    assert item.retry_at == 100.0


class Recorder:
    """Stands in for the processes."""

    def __init__(self, *, hook: bool = False) -> None:
        self.signals: list[tuple[str, signal.Signals]] = []
        self._hook = hook

    def signal(self, container: Container, number: signal.Signals) -> None:
        self.signals.append((container.name, number))

    def start_hook(self, container: Container) -> None:
        if self._hook and container.ending is not None:
            container.ending.hook_running = True


def test_stop_kills_when_the_grace_period_is_over_and_not_before() -> None:
    item, actions = make(Role.MAIN, RUNNING), Recorder()
    stop = Stop(now=100.0, grace=30)
    assert stop.step([item], 100.0, actions) == 130.0
    assert actions.signals == [("x", signal.SIGTERM)]
    stop.step([item], 129.9, actions)
    assert len(actions.signals) == 1
    assert stop.step([item], 130.0, actions) == math.inf
    stop.step([item], 140.0, actions)
    assert actions.signals[1:] == [("x", signal.SIGKILL)]


def test_grace_period_is_shortened_only_for_what_was_not_signaled_yet() -> None:
    main, sidecar, actions = make(Role.MAIN, RUNNING), make(Role.SIDECAR, RUNNING), Recorder()
    stop = Stop(now=100.0, grace=30)
    stop.step([sidecar, main], 100.0, actions)
    stop.shorten(101.0, grace=5)
    stop.shorten(102.0, grace=500)
    assert stop.until == 106.0
    stop.step([sidecar, main], 106.0, actions)
    assert sidecar.ending is not None
    assert sidecar.ending.kill_at == 106.0 + MIN_TERM
    assert main.ending is not None
    assert main.ending.kill_at == 130.0


def test_hook_has_the_grace_period_and_the_process_a_last_moment() -> None:
    item, actions = make(Role.MAIN, RUNNING), Recorder(hook=True)
    stop = Stop(now=100.0, grace=10)
    assert stop.step([item], 100.0, actions) == 110.0
    assert actions.signals == []
    assert stop.step([item], 110.0, actions) == 110.0 + MIN_TERM
    assert actions.signals == [("x", signal.SIGTERM)]


def test_sidecars_wait_for_what_started_after_them_but_not_for_ever() -> None:
    first, second, main = (
        make(Role.SIDECAR, RUNNING, "first"),
        make(Role.SIDECAR, RUNNING, "second"),
        make(Role.MAIN, RUNNING, "main"),
    )
    containers, actions = [first, second, main], Recorder()
    stop = Stop(now=0.0, grace=10)
    stop.step(containers, 0.0, actions)
    assert [name for name, _ in actions.signals] == ["main"]
    main.process = None
    stop.step(containers, 1.0, actions)
    assert [name for name, _ in actions.signals] == ["main", "second"]
    stop.step(containers, 10.0, actions)
    assert ("first", signal.SIGTERM) in actions.signals


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(C) $A ${A} $(A", "$(C) $A ${A} $(A"),
        ("100%$$", "100%$"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1.0), ("500m", 0.5), ("1.5", 1.5), ("2Ki", 2048.0), ("3M", 3e6), ("1e3", 1000.0), ("2E", 2e18), ("?", 0.0)],
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


def node(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "labels": {"zone": "a"}},
        "spec": spec,
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}},
    }


def pod_of(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {"containers": [], **spec}}


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pod", "on", "words"),
    [
        (pod_of(), node(), None),
        (pod_of(nodeSelector={"zone": "a"}), node(), None),
        (pod_of(nodeSelector={"zone": "b"}), node(), "didn't match Pod's node affinity/selector"),
        (pod_of(), node(taints=[TAINT]), "untolerated taint {k: v}"),
        (pod_of(tolerations=[{"key": "k", "value": "v"}]), node(taints=[TAINT]), None),
        (pod_of(tolerations=[{"key": "k", "value": "w"}]), node(taints=[TAINT]), "untolerated taint"),
        (pod_of(tolerations=[{"operator": "Exists"}]), node(taints=[TAINT]), None),
        (pod_of(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), None),
        (pod_of(), node(unschedulable=True), "were unschedulable"),
        (pod_of(containers=[{"resources": {"requests": {"cpu": "2"}}}]), node(), None),
        (pod_of(containers=[{"resources": {"requests": {"cpu": "1"}}}] * 3), node(), "Insufficient cpu"),
        (
            pod_of(containers=[{"resources": {"limits": {"example.com/gpu": "1"}}}]),
            node(),
            "Insufficient example.com/gpu",
        ),
    ],
)
def test_why_a_pod_does_not_fit(pod: dict[str, Any], on: dict[str, Any], words: str | None) -> None:
    problem = unschedulable(pod, on)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.startswith("0/1 nodes are available: 1 ")
        assert words in problem


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"nodeName": "n"}, False),
        ({"schedulingGates": [{"name": "g"}]}, False),
        ({"schedulerName": "s"}, False),
    ],
)
def test_which_pods_wait_for_this_scheduler(change: dict[str, Any], wanted: bool) -> None:
    assert wants_scheduling(pod_of(**change)) is wanted


def status_of(*containers: Container, terminal: bool = False, failure: tuple[str, str] | None = None) -> dict[str, Any]:
    moment = Moment(
        pod=pod_of(),
        address="127.0.0.1",
        started_at=NOW,
        previous={},
        terminal=terminal,
        failure=failure,
        time=NOW,
        clock=0.0,
    )
    return build(containers, moment)


@pytest.mark.parametrize(
    ("states", "terminal", "phase"),
    [
        ([(Role.MAIN, WAITING)], False, "Pending"),
        ([(Role.MAIN, RUNNING), (Role.MAIN, WAITING)], False, "Pending"),
        ([(Role.INIT, RUNNING), (Role.MAIN, WAITING)], False, "Pending"),
        ([(Role.MAIN, RUNNING), (Role.MAIN, CRASHED)], False, "Running"),
        ([(Role.SIDECAR, RUNNING), (Role.MAIN, DONE)], False, "Running"),
        ([(Role.SIDECAR, CRASHED), (Role.MAIN, DONE)], True, "Succeeded"),
        ([(Role.MAIN, DONE), (Role.MAIN, CRASHED)], True, "Failed"),
        ([(Role.INIT, CRASHED), (Role.MAIN, WAITING)], True, "Failed"),
        ([(Role.MAIN, WAITING)], True, "Failed"),
    ],
)
def test_phases(states: list[tuple[Role, State]], terminal: bool, phase: str) -> None:
    status = status_of(*(make(role, state, f"c{at}") for at, (role, state) in enumerate(states)), terminal=terminal)
    assert status["phase"] == phase


def test_failure_is_shown_only_when_the_pod_is_over() -> None:
    failure = ("DeadlineExceeded", "too long")
    assert "reason" not in status_of(make(Role.MAIN, RUNNING), failure=failure)
    over = status_of(make(Role.MAIN, DONE), terminal=True, failure=failure)
    assert (over["phase"], over["reason"], over["message"]) == ("Failed", *failure)


def test_container_that_never_ran_is_unknown_when_the_pod_is_over() -> None:
    state = status_of(make(Role.MAIN, WAITING), terminal=True)["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (137, "ContainerStatusUnknown")


def test_unchanged_conditions_keep_their_time_and_others_conditions_stay() -> None:
    old = "2025-12-31T00:00:00Z"
    theirs = {"type": "DisruptionTarget", "status": "True"}
    moment = Moment(
        pod={**pod_of(), "status": {"conditions": [theirs]}},
        address="127.0.0.1",
        started_at=NOW,
        previous={"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": old}]},
        terminal=False,
        failure=None,
        time=NOW,
        clock=0.0,
    )
    ready = {item["type"]: item for item in pod_status.conditions([make(Role.MAIN, RUNNING)], moment, "Running")}
    assert ready["Ready"]["lastTransitionTime"] == old
    assert ready["ContainersReady"]["lastTransitionTime"] == "2026-01-01T10:00:00Z"
    assert ready["DisruptionTarget"] == theirs
