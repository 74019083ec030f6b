"""What people and machines learn of a task: conditions, Events, probes, metrics."""

import re

import pytest

from tests.support import agents
from tests.support.kube import Object
from tests.support.laws import conditions_of, kstatus, status
from tests.support.namespaces import Namespace
from tests.support.operators import Operator


def holding(task: Object) -> set[str]:
    return {kind for kind, each in conditions_of(task).items() if each["status"] == "True"}


async def test_conditions_from_the_start_to_the_stop(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(1)))
    running = await ns.running("a")
    assert (kstatus(running), holding(running)) == ("Current", {"Ready"})
    assert "Stopped" not in conditions_of(running)
    await ns.stop("a")
    stopping = await ns.phase("a", "Stopping")
    assert (kstatus(stopping), holding(stopping)) == ("InProgress", {"Reconciling"})
    assert conditions_of(stopping)["Stopped"]["status"] == "False"
    stopped = await ns.ended("a")
    assert (kstatus(stopped), holding(stopped)) == ("Current", {"Ready", "Stopped"})
    assert conditions_of(stopped)["Stopped"]["reason"] == "UserRequested"


async def test_conditions_of_a_task_that_waits(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(nodeSelector={"example.com/nowhere": "true"}))
    task = await ns.until("a", lambda each: status(each).get("reason") == "Unschedulable", what="unschedulable")
    assert (kstatus(task), holding(task)) == ("InProgress", {"Reconciling"})
    assert conditions_of(task)["Reconciling"]["reason"] == "Unschedulable"


@pytest.mark.parametrize(
    ("code", "reads", "holds"), [(0, "Current", {"Ready"}), (1, "Failed", {"Stalled"})], ids=["completed", "failed"]
)
async def test_conditions_of_a_task_that_ended_by_itself(
    ns: Namespace, operator: Operator, code: int, reads: str, holds: set[str]
) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2, code=code)))
    task = await ns.ended("a")
    assert (kstatus(task), holding(task)) == (reads, holds)
    assert "Stopped" not in conditions_of(task)


async def test_conditions_of_a_task_that_is_held_up(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("a", agents.pod_spec())
    await ns.create_task("a", agents.template())
    task = await ns.stalled("a", "PodNameTaken")
    assert (kstatus(task), holding(task)) == ("Failed", {"Stalled"})


async def test_a_condition_keeps_its_time_while_it_stays_as_it_is(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    running = await ns.running("a")
    await ns.patch("a", agent="researcher")
    later = await ns.until("a", lambda task: status(task).get("observedGeneration") == 2, what="observed")
    assert conditions_of(later) == conditions_of(running)


async def test_events_of_a_stop(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    task = await ns.running("a")
    await ns.merge_task(
        "a",
        {
            "metadata": {"annotations": {"agentstop.dev/stop-requested-by": "jane@example.com"}},
            "spec": {"stopRequested": True, "stop": {"reason": "RunawayCost"}},
        },
    )
    await ns.ended("a")
    await ns.event("a", "StopConfirmed")
    events = {each["reason"]: each for each in await ns.events("a")}
    for reason, action in (
        ("Running", "Start"),
        ("StopAccepted", "Stop"),
        ("StopSignaled", "Stop"),
        ("StopConfirmed", "Stop"),
    ):
        event = events[reason]
        assert (event["type"], event["action"]) == ("Normal", action)
        assert event["reportingController"] == "agentstop.dev/operator"
        assert event["reportingInstance"]
        assert event["regarding"]["uid"] == task["metadata"]["uid"]
        assert event["regarding"]["kind"] == "AgentTask"
    assert "jane@example.com" in events["StopAccepted"]["note"]
    assert "RunawayCost" in events["StopAccepted"]["note"]
    assert "Graceful" in events["StopConfirmed"]["note"]
    assert len(await ns.events("a")) == 4


async def test_the_event_of_a_task_that_is_held_up(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("a", agents.pod_spec())
    await ns.create_task("a", agents.template())
    event = await ns.event("a", "PodNameTaken")
    assert (event["type"], event["action"]) == ("Warning", "Start")


@pytest.mark.parametrize(("code", "kind", "reason"), [(0, "Normal", "Completed"), (1, "Warning", "ContainerFailed")])
async def test_the_event_of_a_task_that_ended_by_itself(
    ns: Namespace, operator: Operator, code: int, kind: str, reason: str
) -> None:
    await ns.create_task("a", agents.template(agents.ending(0.2, code=code)))
    event = await ns.event("a", reason)
    assert (event["type"], event["action"]) == (kind, "Observe")


async def test_the_probes_say_that_all_is_well(ns: Namespace, operator: Operator) -> None:
    assert await operator.get("/healthz") == (200, "ok\n")
    assert await operator.get("/readyz") == (200, "ok\n")
    assert await operator.probe("/elsewhere") == 404


@pytest.mark.exclusive
async def test_metrics_of_a_stop(ns: Namespace, operator: Operator) -> None:
    before = await numbers(operator)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    running = await numbers(operator)
    assert running[f'agentstop_tasks{{namespace="{ns.name}",phase="Running"}}'] == 1
    await ns.stop("a")
    await ns.ended("a")
    await ns.event("a", "StopConfirmed")
    after = await numbers(operator)
    for name in (
        'agentstop_stop_requests_total{source="User"}',
        'agentstop_stop_signal_seconds_count{source="User"}',
        'agentstop_stop_duration_seconds_count{source="User",verdict="Graceful"}',
    ):
        assert after[name] == before.get(name, 0) + 1, name
    assert after[f'agentstop_tasks{{namespace="{ns.name}",phase="Stopped"}}'] == 1
    assert after[f'agentstop_tasks{{namespace="{ns.name}",phase="Running"}}'] == 0
    assert after["agentstop_queue_depth"] == 0
    assert after['agentstop_reconcile_total{result="success"}'] > before.get(
        'agentstop_reconcile_total{result="success"}', 0
    )
    assert any(name.startswith("agentstop_build_info{version=") for name in after)
    assert after['agentstop_watch_last_event_timestamp_seconds{kind="AgentTask"}'] > 1e9


async def test_metrics_never_name_a_task(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a-name-to-look-for", agents.template(agents.ending(0)))
    await ns.ended("a-name-to-look-for")
    _, text = await operator.get("/metrics")
    assert "agentstop_tasks" in text
    assert "a-name-to-look-for" not in text


async def numbers(operator: Operator) -> dict[str, float]:
    status, text = await operator.get("/metrics")
    assert status == 200
    lines = (re.fullmatch(r"([^#\s]\S*) (\S+)", line) for line in text.splitlines())
    return {match[1]: float(match[2]) for match in lines if match}
