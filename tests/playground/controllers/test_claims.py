"""SandboxClaims and warm pools: which Sandbox a claim gets, and what becomes of it."""

import secrets
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, Object
from agentstop_playground.controllers import Controllers, sandbox_crds
from agentstop_playground.controllers.claim import ASSIGNED, CLAIM_LABEL
from agentstop_playground.controllers.kinds import (
    POD,
    SANDBOX,
    SANDBOX_CLAIM,
    SANDBOX_TEMPLATE,
    SANDBOX_WARM_POOL,
)
from agentstop_playground.controllers.warm_pool import POOL_LABEL
from agentstop_playground.server import ApiServer

from .bench import Bench, conditions, pod_spec

pytestmark = pytest.mark.ours


def ready(obj: Object) -> bool:
    return conditions(obj).get("Ready") == ("True", "DependenciesReady")


def given(claim: Object) -> str:
    return str((claim.get("status") or {}).get("sandbox", {}).get("name", ""))


def owner(obj: Object) -> tuple[str, str]:
    """Kind and name of the only owner."""
    (reference,) = obj["metadata"]["ownerReferences"]
    return reference["kind"], reference["name"]


async def make_pool(bench: Bench, replicas: int) -> list[str]:
    """Create a template and a pool; returns the names of its Sandboxes once they are ready."""
    await bench.create(SANDBOX_TEMPLATE, "t", {"podTemplate": {"spec": pod_spec(restartPolicy="Never")}})
    await bench.create(SANDBOX_WARM_POOL, "pool", {"replicas": replicas, "sandboxTemplateRef": {"name": "t"}})
    pool = await bench.until_now(SANDBOX_WARM_POOL, "pool", filled(replicas))
    assert pool["status"]["observedGeneration"] == 1
    return [item["metadata"]["name"] for item in bench.present(SANDBOX)]


def filled(replicas: int) -> Any:
    def check(pool: Object) -> bool:
        status = pool.get("status") or {}
        return bool(status.get("replicas") == status.get("readyReplicas") == replicas)

    return check


async def claim(bench: Bench, name: str = "c") -> Object:
    """Create a claim and wait until its Sandbox is ready."""
    await bench.create(SANDBOX_CLAIM, name, {"warmPoolRef": {"name": "pool"}})
    return await bench.until_now(SANDBOX_CLAIM, name, ready)


async def test_a_claim_on_an_empty_pool_gets_a_sandbox_of_its_own_name(bench: Bench) -> None:
    await make_pool(bench, 0)
    bound = await claim(bench)
    assert bound["status"]["sandbox"] == {"name": "c", "podIPs": ["127.0.0.1"]}
    made = await bench.get(SANDBOX, "c")
    assert owner(made) == ("SandboxClaim", "c")
    assert ASSIGNED not in (bound["metadata"].get("annotations") or {})


async def test_a_claim_takes_over_a_sandbox_of_the_pool(bench: Bench) -> None:
    names = await make_pool(bench, 1)
    (pod,) = bench.present(POD)
    bound = await claim(bench)
    (name,) = names
    assert (given(bound), bound["metadata"]["annotations"][ASSIGNED]) == (name, name)
    adopted = await bench.get(SANDBOX, name)
    assert owner(adopted) == ("SandboxClaim", "c")
    assert POOL_LABEL not in adopted["metadata"]["labels"]
    assert adopted["metadata"]["labels"][CLAIM_LABEL] == bound["metadata"]["uid"]
    assert bench.states(POD, name)[-1]["metadata"]["uid"] == pod["metadata"]["uid"]


async def test_a_claim_is_assigned_before_the_sandbox_changes_hands(bench: Bench) -> None:
    await make_pool(bench, 1)
    bound = await claim(bench)
    name = given(bound)
    assigned = await bench.until(SANDBOX_CLAIM, "c", lambda obj: ASSIGNED in obj["metadata"].get("annotations", {}))
    taken = await bench.until(SANDBOX, name, lambda obj: owner(obj) == ("SandboxClaim", "c"))
    assert int(assigned["metadata"]["resourceVersion"]) < int(taken["metadata"]["resourceVersion"])


async def test_a_pool_makes_up_for_what_was_claimed(bench: Bench) -> None:
    names = await make_pool(bench, 1)
    await claim(bench)
    await bench.until_true(lambda: len(bench.present(SANDBOX)) == 2)
    (fresh,) = [item for item in bench.present(SANDBOX) if item["metadata"]["name"] not in names]
    assert owner(fresh) == ("SandboxWarmPool", "pool")
    assert fresh["metadata"]["generateName"] == "pool-"


async def test_claims_do_not_share_a_sandbox(bench: Bench) -> None:
    await make_pool(bench, 2)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        await bench.create(SANDBOX_CLAIM, name, {"warmPoolRef": {"name": "pool"}})
    bound = [given(await bench.until_now(SANDBOX_CLAIM, name, ready)) for name in names]
    assert len(set(bound)) == len(names)


async def test_a_claim_follows_its_sandbox(bench: Bench) -> None:
    await make_pool(bench, 0)
    await claim(bench)
    await bench.patch(SANDBOX, "c", {"spec": {"operatingMode": "Suspended"}})
    asleep = await bench.until_now(
        SANDBOX_CLAIM, "c", lambda obj: conditions(obj).get("Ready") == ("False", "SandboxSuspended")
    )
    assert given(asleep) == "c"


async def test_a_claim_whose_sandbox_is_deleted_binds_anew(bench: Bench) -> None:
    await make_pool(bench, 0)
    await claim(bench)
    first = await bench.get(SANDBOX, "c")
    await bench.delete(SANDBOX, "c")
    again = await bench.until_now(SANDBOX, "c", lambda obj: obj["metadata"]["uid"] != first["metadata"]["uid"])
    assert owner(again) == ("SandboxClaim", "c")


async def test_a_claim_waits_for_its_pool_and_its_template(bench: Bench) -> None:
    await bench.create(SANDBOX_CLAIM, "c", {"warmPoolRef": {"name": "pool"}})
    await bench.until_now(SANDBOX_CLAIM, "c", lambda obj: conditions(obj).get("Ready") == ("False", "WarmPoolNotFound"))
    await bench.create(SANDBOX_WARM_POOL, "pool", {"replicas": 0, "sandboxTemplateRef": {"name": "t"}})
    await bench.until_now(SANDBOX_CLAIM, "c", lambda obj: conditions(obj).get("Ready") == ("False", "TemplateNotFound"))
    await bench.create(SANDBOX_TEMPLATE, "t", {"podTemplate": {"spec": pod_spec()}})
    await bench.until_now(SANDBOX_CLAIM, "c", ready)


async def test_a_sandbox_of_the_claims_name_that_is_not_its_own_is_left_alone(bench: Bench) -> None:
    await make_pool(bench, 0)
    await bench.create(SANDBOX, "c", {"operatingMode": "Suspended", "podTemplate": {"spec": pod_spec()}})
    await bench.create(SANDBOX_CLAIM, "c", {"warmPoolRef": {"name": "pool"}})
    refused = await bench.until_now(
        SANDBOX_CLAIM, "c", lambda obj: conditions(obj).get("Ready") == ("False", "ReconcilerError")
    )
    assert given(refused) == ""
    assert "ownerReferences" not in (await bench.get(SANDBOX, "c"))["metadata"]


async def test_a_pool_scales(bench: Bench) -> None:
    if not bench.endpoint.collects_garbage:
        pytest.skip("nobody collects the pods of the pool's Sandboxes here")
    await make_pool(bench, 2)
    await bench.scale(SANDBOX_WARM_POOL, "pool", 0)
    await bench.until_now(SANDBOX_WARM_POOL, "pool", filled(0))
    await bench.until_pods(lambda pods: not pods)
    assert bench.present(SANDBOX) == []


async def test_sandboxes_are_looked_after_from_the_moment_that_their_kind_is_defined() -> None:
    token = secrets.token_urlsafe(16)
    server = ApiServer(token=token, crds=[])
    await server.start()
    controllers = Controllers(url=server.url, token=token)
    client = ApiClient(server.url, token=token)
    await client.open()
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = SANDBOX.path("default", "s")

    async def suspended() -> bool:
        return "Suspended" in conditions(await client.request("GET", path))

    try:
        await controllers.start()
        for _ in range(2):
            for definition in sandbox_crds():
                await client.request("POST", definitions, definition)
            body = {
                "apiVersion": SANDBOX.api_version,
                "kind": "Sandbox",
                "metadata": {"name": "s"},
                "spec": {"operatingMode": "Suspended", "podTemplate": {"spec": pod_spec()}},
            }
            await client.request("POST", SANDBOX.collection("default"), body)
            await until(suspended, PATIENCE, "the Sandbox looked after")
            for definition in sandbox_crds():
                await client.request("DELETE", f"{definitions}/{definition['metadata']['name']}")

            async def undefined() -> bool:
                return not (await client.request("GET", definitions))["items"]

            await until(undefined, PATIENCE, "the definitions gone")
    finally:
        await controllers.stop()
        await client.close()
        await server.stop()


def test_the_names_of_controllers_are_checked() -> None:
    with pytest.raises(ValueError, match="no such controller: cron; there are"):
        Controllers(url="http://127.0.0.1:1", wanted={"cron"})


async def test_an_adoption_survives_a_change_of_the_sandbox_in_the_middle(bench: Bench) -> None:
    names = await make_pool(bench, 1)
    path = SANDBOX.path(bench.namespace, names[0])
    await bench.create(SANDBOX_CLAIM, "c", {"warmPoolRef": {"name": "pool"}})
    for number in range(5):
        await bench.api.request("PATCH", path, {"metadata": {"labels": {"n": str(number)}}}, content_type=MERGE_PATCH)
    bound = await bench.until_now(SANDBOX_CLAIM, "c", ready)
    assert given(bound) == names[0]
