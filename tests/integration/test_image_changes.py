"""A container whose image somebody changes: the kubelet ends it and starts it anew, whatever the restart policy says.

Source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
"""

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.kube import Object
from tests.support.laws import TERMINAL, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

pytestmark = [pytest.mark.needs(Feature.IMAGE_CHANGES)]

SAME = f"docker.io/library/{agents.IMAGE}"
"""Another name of the same image."""

MISSING = "127.0.0.1:1/agent:2"
"""Nobody has it."""

AFTERWARDS = 2.0
"""Seconds for which nothing may be seen of an agent whose task is Stopped."""


async def change_image(ns: Namespace, name: str, image: str) -> None:
    containers = [{**each, "image": image} for each in (await ns.pod(name))["spec"]["containers"]]
    await ns.patch_pod(name, {"spec": {"containers": containers}})


def container_of(pod: Object) -> Object:
    found: list[Object] = pod.get("status", {}).get("containerStatuses", [{}])
    return found[0]


def without_image(pod: Object) -> bool:
    return pod["spec"]["containers"][0]["image"] == MISSING and "waiting" in container_of(pod).get("state", {})


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
async def test_an_agent_with_another_image_is_the_same_task(ns: Namespace, operator: Operator, policy: str) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), restartPolicy=policy))
    await ns.running("a")
    await change_image(ns, "a", SAME)
    await ns.pods.until("a", lambda pod: container_of(pod).get("restartCount") == 1, what="started anew")
    await ns.ready("a")
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    assert stop_of(await ns.ended("a"))["verdict"] == "Graceful"


async def test_an_agent_whose_new_image_is_missing_can_be_stopped(ns: Namespace, operator: Operator) -> None:
    """With `Never`, or after an exit code of 0, the kubelet does not start it anew: then the pod has ended."""
    await ns.create_task("a", agents.template(agents.graceful(), restartPolicy="Always"))
    await ns.running("a")
    await change_image(ns, "a", MISSING)
    await ns.pods.until("a", without_image, what="without its image")
    await ns.nothing_happens(AFTERWARDS)
    assert status(await ns.task("a"))["phase"] not in TERMINAL
    await ns.stop("a")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    await change_image(ns, "a", SAME)
    await ns.nothing_happens(AFTERWARDS)
    assert container_of(await ns.pod("a")).get("state", {}).keys() == {"terminated"}


async def test_an_image_that_is_changed_while_the_agent_is_stopped(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(3), grace=30))
    await ns.running("a")
    await ns.stop("a")
    await change_image(ns, "a", SAME)
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    await ns.nothing_happens(AFTERWARDS)
    assert container_of(await ns.pod("a")).get("state", {}).keys() == {"terminated"}
