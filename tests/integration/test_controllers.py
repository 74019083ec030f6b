"""What the tests of workloads build on: controllers that do the same on every cluster."""

from collections.abc import Callable

import pytest

from tests.support import agents, manifests
from tests.support.kube import Object
from tests.support.laws import conditions_of
from tests.support.namespaces import Namespace
from tests.support.workloads import Workloads, controller_of

SCALED = [manifests.deployment, manifests.replica_set, manifests.stateful_set]


def uids(pods: list[Object]) -> set[str]:
    return {each["metadata"]["uid"] for each in pods}


def is_suspended(sandbox: Object) -> bool:
    return bool(conditions_of(sandbox)["Suspended"]["status"] == "True")


async def test_a_job_ends_its_pods_when_it_is_suspended_and_makes_new_ones_when_it_is_not(workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful(), parallelism=3))
    before = await workloads.running(job, 3)
    await workloads.patch(job, suspend=True)
    await workloads.gone(job)
    await workloads.patch(job, suspend=False)
    after = await workloads.running(job, 3)
    assert not uids(before) & uids(after)
    assert uids(await workloads.ever(job)) == uids(before) | uids(after)


@pytest.mark.parametrize("manifest", SCALED, ids=lambda each: each.__name__)
async def test_what_scales_has_as_many_pods_as_it_is_told(
    workloads: Workloads, manifest: Callable[..., Object]
) -> None:
    made = await workloads.create(manifest("agents", replicas=2))
    await workloads.running(made, 2)
    await workloads.merge(made, {"spec": {"replicas": 0}}, "scale")
    await workloads.gone(made)
    await workloads.merge(made, {"spec": {"replicas": 1}}, "scale")
    await workloads.running(made, 1)


async def test_a_sandbox_makes_its_pod_again_and_has_none_while_it_is_suspended(
    ns: Namespace, workloads: Workloads
) -> None:
    sandbox = await workloads.create(manifests.sandbox("box", agents.graceful()))
    (first,) = await workloads.running(sandbox)
    await ns.delete_pod(first["metadata"]["name"])
    await ns.pods.until_gone(first["metadata"]["name"], of=first["metadata"]["uid"])
    (second,) = await workloads.running(sandbox)
    await workloads.patch(sandbox, operatingMode="Suspended")
    await workloads.until(sandbox, is_suspended, what="suspended")
    await workloads.gone(sandbox)
    await workloads.patch(sandbox, operatingMode="Running")
    (third,) = await workloads.running(sandbox)
    assert len(uids([first, second, third])) == 3


@pytest.mark.parametrize("ready", [0, 1], ids=["made for it", "kept ready"])
async def test_a_claim_is_given_a_sandbox(workloads: Workloads, ready: int) -> None:
    await workloads.create(manifests.sandbox_template("blank"))
    pool = await workloads.create(manifests.warm_pool("pool", "blank", replicas=ready))
    await workloads.running(pool, ready)
    claim = await workloads.create(manifests.claim("mine", "pool"))
    sandbox = await workloads.sandbox_of(claim)
    (pod,) = await workloads.running(claim)
    assert controller_of(pod) == sandbox["metadata"]["uid"]
    assert controller_of(sandbox) == claim["metadata"]["uid"]
