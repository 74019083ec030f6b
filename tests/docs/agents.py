"""Examples as somebody runs them: applied, looked at, stopped."""

import json
from collections.abc import Mapping

import aiohttp
import yaml

from tests.support.kube import PODS, TASKS, USAGES, Kind, KubeError, Object
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import KINDS

from .conftest import Place
from .documents import ROOT

PATHS: Mapping[str, Kind] = {**KINDS, "AgentTask": TASKS, "TaskUsage": USAGES}


async def run(place: Place, name: str) -> list[Object]:
    """Create what an example describes, and wait until its agents are at work; returns the manifests."""
    objects = list(yaml.safe_load_all((ROOT / "examples" / f"{name}.yaml").read_text()))
    for each in objects:
        await place.cluster.kube.create(PATHS[each["kind"]], place.namespace, each)
    await at_work(place)
    return objects


async def stop(place: Place, objects: list[Object]) -> None:
    """Stop every task of an example that has no parent."""
    for each in objects:
        if each["kind"] == "AgentTask" and "parentRef" not in each["spec"]:
            name = each["metadata"]["name"]
            await place.cluster.kube.merge(TASKS, place.namespace, name, {"spec": {"stopRequested": True}})


async def ended(place: Place, task: str) -> Object:
    """Wait for a task's end, and return its status."""
    found: list[Object] = []

    async def has_ended() -> bool:
        found[:] = [(await place.cluster.kube.get(TASKS, place.namespace, task)).get("status", {})]
        return found[0].get("phase") in {"Stopped", "Completed", "Failed"}

    await until(has_ended, PATIENCE, f"the end of {task}")
    return found[0]


def exit_codes(status: Object) -> list[int]:
    """Return the exit codes of all containers in a task's status."""
    return [container["exitCode"] for pod in status["workload"]["pods"] for container in pod["containers"]]


async def at_work(place: Place) -> None:
    """Wait until every task of a place has left Pending, and every agent that prints has begun to.

    Only what has printed something has set up its handling of SIGTERM.
    """

    async def begun() -> bool:
        tasks = await place.cluster.kube.list(TASKS, place.namespace)
        pods = await place.cluster.kube.list(PODS, place.namespace)
        phases = [task.get("status", {}).get("phase", "Pending") for task in tasks]
        return "Pending" not in phases and all([await _printed(place, pod) for pod in pods if _prints(pod)])

    await until(begun, PATIENCE, "all agents at work")


def _prints(pod: Object) -> bool:
    return "print(" in json.dumps(pod["spec"]["containers"])


async def _printed(place: Place, pod: Object) -> bool:
    try:
        return bool(await place.cluster.logs(place.namespace, pod["metadata"]["name"]))
    except (KubeError, aiohttp.ClientError):
        return False
