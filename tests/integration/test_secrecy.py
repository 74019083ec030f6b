"""Nothing that an agent is given is told to anybody else: not in the log, not in an Event, not in a number."""

import json

import pytest

from agentstop.controller.events import CONTROLLER
from tests.support import agents
from tests.support.kube import EVENTS, Object
from tests.support.laws import status
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

CANARY = "sk-Canary-7f3a9"
"""Stands for a key, a prompt, whatever a template holds."""


def secretive(script: str = agents.IDLE, **container: object) -> Object:
    """A template that has the canary everywhere where an agent's secrets and prompts are."""
    given: Object = agents.container(f": {CANARY}; {script}", env=[{"name": "KEY", "value": CANARY}])
    given |= {"args": [f"--prompt={CANARY}"], **container}
    return {
        "metadata": {"annotations": {"prompt": CANARY}},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [given]},
    }


WRONG: dict[str, Object] = {
    "a key in the place of a name": {"env": [{"name": f"{CANARY}=1", "value": "x"}]},
    "a key in the place of a container's name": {"name": CANARY},
    "a key in the place of a policy": {"imagePullPolicy": CANARY},
    "a key twice": {"env": [{"name": CANARY, "value": "x", "valueFrom": {"fieldRef": {"fieldPath": CANARY}}}]},
    "no such thing": {"command": [f"/no/such/{CANARY}"], "args": []},
}


def is_ours(event: Object) -> bool:
    return bool(event["reportingController"] == CONTROLLER)


async def told(ns: Namespace, operator: Operator, since: int) -> str:
    """All that the outside learns from the operator; the kubelet has Events of its own about its pods."""
    events = json.dumps([each for each in await ns.kube.list(EVENTS, ns.name) if is_ours(each)])
    _, numbers = await operator.get("/metrics")
    assert "agentstop_tasks" in numbers
    return operator.program.text()[since:] + events + numbers


async def test_what_an_agent_is_given_is_told_to_nobody(ns: Namespace, operator: Operator) -> None:
    since = len(operator.program.text())
    for name, script in {"stopped": agents.graceful(), "deaf": agents.DEAF, "failed": agents.ending(0.2, 3)}.items():
        await ns.create_task(name, secretive(script))
    await ns.phase("failed", "Failed")
    for name in ("stopped", "deaf"):
        await ns.phase(name, "Running")
        await ns.stop(name, reason="Over", message=f"it said {CANARY}")
        await ns.ended(name)
        await ns.event(name, "StopConfirmed")

    text = await told(ns, operator, since)
    assert f"{ns.name}/deaf is Stopped" in text
    assert CANARY not in text


@pytest.mark.parametrize("how", WRONG)
async def test_what_is_refused_is_not_told_either(ns: Namespace, operator: Operator, how: str) -> None:
    """The API server's own words quote what is wrong: they are cut, and say what is wrong all the same."""
    since = len(operator.program.text())
    await ns.create_task("a", secretive(**WRONG[how]))
    seen = await ns.until("a", lambda task: bool(status(task).get("reason")) and status(task)["reason"] != "Starting")
    if status(seen)["phase"] == "Failed":
        await ns.event("a", status(seen)["reason"])
    await ns.stop("a")
    ended = await ns.ended("a")
    if status(ended).get("reason") == "InvalidPodTemplate":
        assert "containers" in status(ended)["message"]
        assert CANARY not in status(ended)["message"]

    assert CANARY not in await told(ns, operator, since)
