"""What the demo compares, and that it sees what is wrong; and its commands as a shell reads them."""

import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.task import AgentTask, Phase, StopSource, Verdict
from agentstop.cli.demo.display import command_line
from agentstop.cli.demo.expectations import Expectation, mismatches
from agentstop.cli.demo.steps import SHORT_NAME, Patch, Place
from agentstop.cluster.resources import task_ref

KILLED = Expectation(
    phase=Phase.STOPPED, verdict=Verdict.KILLED, exit_code=137, reason="PolicyViolation", not_before_seconds=5
)


def killed_task(**status: Any) -> AgentTask:
    return AgentTask.model_validate(
        {
            "apiVersion": "agentstop.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": "deaf", "generation": 2},
            "spec": {"podTemplate": {"spec": {}}, "stopRequested": True},
            "status": {
                "observedGeneration": 2,
                "phase": "Stopped",
                "manuallyStopped": True,
                "workload": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": "deaf",
                    "uid": "1",
                    "pods": [{"name": "deaf", "uid": "1", "containers": [{"name": "agent", "exitCode": 137}]}],
                },
                "stop": {
                    "source": "User",
                    "reason": "PolicyViolation",
                    "acceptedAt": "2026-01-01T00:00:00Z",
                    "signaledAt": "2026-01-01T00:00:00Z",
                    "confirmedAt": "2026-01-01T00:00:05.2Z",
                    "verdict": "Killed",
                },
                **status,
            },
        }
    )


def test_as_it_should_be() -> None:
    assert list(mismatches(killed_task(), KILLED)) == []


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"phase": "Failed"}, "deaf: phase is Failed, not Stopped"),
        ({"manuallyStopped": False}, "deaf: manuallyStopped is False, not True"),
        ({"observedGeneration": 1}, "deaf: observedGeneration is 1, not 2"),
        ({"workload": None}, "deaf: exit codes is [], not [137]"),
        ({"stop": None}, "deaf: stop.verdict is absent, not Killed"),
        ({"stop": None}, "deaf: the times of its stop are not all there"),
    ],
)
def test_what_is_wrong_is_named(status: dict[str, Any], line: str) -> None:
    assert line in list(mismatches(killed_task(**status), KILLED))


def test_a_family_that_is_not_as_it_should_be_is_named() -> None:
    parent = Expectation(
        phase=Phase.STOPPED, verdict=Verdict.KILLED, exit_code=137, reason="PolicyViolation", children=2
    )
    (line,) = mismatches(killed_task(children={"total": 2, "active": 1}), parent)
    assert line.startswith("deaf: children is ")
    child = replace(KILLED, source=StopSource.PARENT, origin="planner")
    lines = list(mismatches(killed_task(), child))
    assert lines == ["deaf: stop.source is User, not Parent", "deaf: stop.origin is absent, not planner"]


def test_killed_before_its_time_is_wrong() -> None:
    stop = killed_task().status.wire()["stop"] | {"confirmedAt": "2026-01-01T00:00:02Z"}
    (line,) = mismatches(killed_task(stop=stop), KILLED)
    assert line == "deaf: it was gone 2.0 s after the signal, but had 5 s of grace"


def test_a_stop_that_nobody_asked_for_is_none_by_a_person() -> None:
    expected = replace(KILLED, source=StopSource.TETHER)
    lines = list(mismatches(killed_task(), expected))
    assert lines == ["deaf: manuallyStopped is True, not False", "deaf: stop.source is User, not Tether"]


def test_a_task_that_was_not_to_be_stopped_but_was() -> None:
    lines = list(mismatches(killed_task(), Expectation(phase=Phase.COMPLETED, exit_code=137)))
    assert "deaf: phase is Stopped, not Completed" in lines
    assert "deaf: stop.verdict is Killed, not absent" in lines


def test_a_shell_reads_the_commands_as_they_are_run() -> None:
    body = {"spec": {"stop": {"message": 'it\'s "enough" $HOME'}}}
    step = Patch(Place("two words"), task_ref("two words", "x"), SHORT_NAME, body)
    script = f"""kubectl() {{ printf '%s\\0' "$@"; }}; {command_line(["kubectl", *step.words()])}"""
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert read.split("\0")[:-1] == list(step.words())


def test_a_long_command_is_continued_on_the_next_line() -> None:
    words = ["kubectl", "apply", *(word for number in range(9) for word in ("-f", f"examples/number-{number}.yaml"))]
    lines = command_line(words).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) < 80
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split(command_line(words).replace("\\\n", "")) == words
