"""RayClusters: their pods, and what becomes of them when they are suspended."""

from typing import Any

import pytest

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.kinds import POD, RAY_CLUSTER
from agentstop_playground.controllers.ray_cluster import CLUSTER_LABEL, GROUP_LABEL, SUSPENDED, SUSPENDING

from .bench import Bench, conditions, pod_spec, runs

pytestmark = pytest.mark.ours


def spec(**more: Any) -> Object:
    template = {"template": {"metadata": {"labels": {CLUSTER_LABEL: "mine"}}, "spec": pod_spec()}}
    return {"headGroupSpec": template, "workerGroupSpecs": [{"groupName": "w", "replicas": 2, **template}], **more}


def steps(obj: Object) -> tuple[str, str]:
    """Whether it says that it is suspending, and suspended."""
    found = conditions(obj)
    return found.get(SUSPENDING, ("", ""))[0], found.get(SUSPENDED, ("", ""))[0]


async def run(bench: Bench) -> set[str]:
    """Wait until the head and both workers run; returns their UIDs."""
    pods = await bench.until_pods(lambda pods: len(pods) == 3 and all(map(runs, pods)))
    groups = sorted(
        (each["metadata"]["labels"][CLUSTER_LABEL], each["metadata"]["labels"][GROUP_LABEL]) for each in pods
    )
    assert groups == [("r", "headgroup"), ("r", "w"), ("r", "w")]
    return {each["metadata"]["uid"] for each in pods}


async def suspend(bench: Bench, suspend: bool | None) -> None:
    await bench.patch(RAY_CLUSTER, "r", {"spec": {"suspend": suspend}})


async def test_a_suspended_one_has_no_pods_and_says_so_step_by_step(bench: Bench) -> None:
    await bench.create(RAY_CLUSTER, "r", spec())
    first = await run(bench)
    await bench.until_now(RAY_CLUSTER, "r", lambda obj: obj["status"].get("state") == "ready")
    await suspend(bench, True)
    await bench.until(RAY_CLUSTER, "r", lambda obj: steps(obj) == ("True", "False"))
    await bench.until_now(RAY_CLUSTER, "r", lambda obj: steps(obj) == ("False", "True"))
    assert bench.present(POD) == []
    await suspend(bench, False)
    assert not first & await run(bench)


async def test_a_suspension_that_has_begun_is_carried_out(bench: Bench) -> None:
    await bench.create(RAY_CLUSTER, "r", spec())
    first = await run(bench)
    await suspend(bench, True)
    await bench.until(RAY_CLUSTER, "r", lambda obj: steps(obj) == ("True", "False"))
    await suspend(bench, False)
    await bench.until(RAY_CLUSTER, "r", lambda obj: steps(obj) == ("False", "True"))
    assert not first & await run(bench)


async def test_to_take_the_field_away_is_no_resume(bench: Bench) -> None:
    await bench.create(RAY_CLUSTER, "r", spec(suspend=True))
    await bench.until_now(RAY_CLUSTER, "r", lambda obj: steps(obj) == ("False", "True"))
    await suspend(bench, None)
    await bench.settled()
    assert bench.present(POD) == []


async def test_one_that_is_managed_elsewhere_is_left_alone(bench: Bench) -> None:
    await bench.create(RAY_CLUSTER, "r", spec(managedBy="kueue.x-k8s.io/multikueue"))
    await bench.settled()
    assert not any(each["metadata"].get("ownerReferences") for each in bench.present(POD))
