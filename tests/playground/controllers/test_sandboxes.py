"""Sandboxes: their pod, their conditions, and what they do to pods that are not theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.kinds import POD, SANDBOX
from agentstop_playground.controllers.quirks import ANNOTATION, Quirks, parse
from agentstop_playground.controllers.sandbox_status import NAME_HASH_LABEL, POD_NAME, name_hash

from .bench import FOREVER, Bench, conditions, pod_spec, runs

SUSPENDED = ("True", "PodTerminated")
pytestmark = pytest.mark.ours


def sandbox(script: str = FOREVER, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec(script, restartPolicy="Never")}
    return {"podTemplate": template, **spec}


def has(kind: str, status: str, reason: str) -> Any:
    return lambda obj: conditions(obj).get(kind) == (status, reason)


async def run(bench: Bench, name: str = "s", spec: Object | None = None, **metadata: Any) -> Object:
    """Create a Sandbox and wait until it is ready."""
    await bench.create(SANDBOX, name, spec or sandbox(), **metadata)
    return await bench.until_now(SANDBOX, name, has("Ready", "True", "DependenciesReady"))


async def set_mode(bench: Bench, mode: str, name: str = "s") -> int:
    """Set the operating mode; returns the generation."""
    patched = await bench.patch(SANDBOX, name, {"spec": {"operatingMode": mode}})
    return int(patched["metadata"]["generation"])


async def add_pod(bench: Bench, name: str, owner: Object | None = None) -> None:
    """Create a pod, controlled by a Sandbox or by nobody."""
    metadata: Object = {}
    if owner is not None:
        identity = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        reference = {"apiVersion": SANDBOX.api_version, "kind": "Sandbox", "controller": True, **identity}
        metadata = {"ownerReferences": [reference], "labels": {NAME_HASH_LABEL: name_hash(owner["metadata"]["name"])}}
    await bench.create(POD, name, pod_spec(), **metadata)
    await bench.until(POD, name, runs)


SOON = 6.0
"""Seconds in which a sandbox expires: its pod runs before that, on a busy machine too."""


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_sandbox_has_a_pod_of_its_name(bench: Bench) -> None:
    ready = await run(bench)
    (pod,) = bench.present(POD)
    metadata = pod["metadata"]
    assert metadata["name"] == "s"
    assert metadata["labels"] == {"app": "x", NAME_HASH_LABEL: name_hash("s")}
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Sandbox", ready["metadata"]["uid"], True)
    assert ready["metadata"]["annotations"][POD_NAME] == "s"
    status = ready["status"]
    assert status["selector"] == f"{NAME_HASH_LABEL}={name_hash('s')}"
    assert status["nodeName"] == pod["spec"]["nodeName"]
    assert status["podIPs"] == ["127.0.0.1"]
    assert conditions(ready) == {
        "Ready": ("True", "DependenciesReady"),
        "Suspended": ("False", "NotSuspended"),
        "PodScheduled": ("True", "PodScheduled"),
    }


async def test_a_deleted_pod_is_made_again(bench: Bench) -> None:
    await run(bench)
    (first,) = bench.present(POD)
    await bench.delete(POD, "s")
    await bench.until_now(POD, "s", lambda pod: runs(pod) and pod["metadata"]["uid"] != first["metadata"]["uid"])
    await bench.until_now(SANDBOX, "s", has("Ready", "True", "DependenciesReady"))


async def test_suspension_ends_the_pod_and_says_so_at_its_generation(bench: Bench) -> None:
    await run(bench)
    generation = await set_mode(bench, "Suspended")
    await bench.until(SANDBOX, "s", has("Suspended", "False", "PodTerminating"))
    left = await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))
    await bench.until_gone(POD, "s")
    found = next(item for item in left["status"]["conditions"] if item["type"] == "Suspended")
    assert found["observedGeneration"] == generation
    assert conditions(left)["Ready"] == ("False", "SandboxSuspended")
    assert "PodScheduled" not in conditions(left)
    assert {"podIPs", "nodeName"} & set(left["status"]) == set()


async def test_a_sandbox_is_not_suspended_before_its_pod_is_gone(bench: Bench) -> None:
    await run(bench, spec=sandbox("trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done"))
    await set_mode(bench, "Suspended")
    left = await bench.until(SANDBOX, "s", has("Suspended", *SUSPENDED))
    last = await bench.until_gone(POD, "s")
    assert int(left["metadata"]["resourceVersion"]) > int(last["metadata"]["resourceVersion"])


async def test_resumption_makes_another_pod(bench: Bench) -> None:
    await run(bench)
    await set_mode(bench, "Suspended")
    await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))
    await set_mode(bench, "Running")
    ready = await bench.until_now(SANDBOX, "s", has("Ready", "True", "DependenciesReady"))
    assert conditions(ready)["Suspended"] == ("False", "NotSuspended")
    assert len({state["metadata"]["uid"] for state in bench.states(POD, "s")}) == 2


@pytest.mark.parametrize(("code", "reason"), [(0, "PodSucceeded"), (3, "PodFailed")])
async def test_a_pod_that_ended_is_kept_and_told_of_until_suspension(bench: Bench, code: int, reason: str) -> None:
    await bench.create(SANDBOX, "s", sandbox(f"exit {code}"))
    ended = await bench.until_now(SANDBOX, "s", has("Finished", "True", reason))
    assert conditions(ended)["Ready"] == ("False", reason)
    assert len(bench.present(POD)) == 1
    await set_mode(bench, "Suspended")
    left = await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))
    assert "Finished" not in conditions(left)
    await bench.until_gone(POD, "s")


async def test_several_pods_are_left_alone(bench: Bench) -> None:
    owner = await run(bench)
    await add_pod(bench, "other", owner)
    await bench.until_now(SANDBOX, "s", has("Ready", "False", "MultiplePods"))
    await set_mode(bench, "Suspended")
    left = await bench.until_now(SANDBOX, "s", has("Suspended", "Unknown", "PodStateUnknown"))
    assert conditions(left)["Ready"] == ("False", "MultiplePods")
    await bench.settled()
    assert {pod["metadata"]["name"] for pod in bench.present(POD) if runs(pod)} == {"s", "other"}


async def test_of_several_pods_the_last_one_is_ended(bench: Bench) -> None:
    owner = await run(bench)
    await add_pod(bench, "other", owner)
    await set_mode(bench, "Suspended")
    await bench.until_now(SANDBOX, "s", has("Suspended", "Unknown", "PodStateUnknown"))
    await bench.delete(POD, "s")
    await bench.until_gone(POD, "other")
    await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))


async def test_a_pod_of_its_name_that_it_does_not_control_is_not_touched(bench: Bench) -> None:
    await add_pod(bench, "s")
    await bench.create(SANDBOX, "s", sandbox(operatingMode="Suspended"))
    await bench.until_now(SANDBOX, "s", has("Suspended", "False", "PodNotOwned"))
    await set_mode(bench, "Running")
    await bench.until_now(SANDBOX, "s", has("Ready", "False", "ReconcilerError"))
    await bench.settled()
    (pod,) = bench.present(POD)
    assert runs(pod)
    assert "ownerReferences" not in pod["metadata"]


async def test_an_expired_sandbox_says_so_before_its_pod_is_gone(bench: Bench) -> None:
    await run(bench, spec=sandbox(shutdownTime=in_seconds(SOON)))
    expired = await bench.until(SANDBOX, "s", has("Ready", "False", "SandboxExpired"))
    last = await bench.until_gone(POD, "s")
    assert int(expired["metadata"]["resourceVersion"]) < int(last["metadata"]["resourceVersion"])
    left = await bench.get(SANDBOX, "s")
    assert set(left["status"]) == {"conditions"}


async def test_an_expired_sandbox_does_not_look_at_its_operating_mode(bench: Bench) -> None:
    await bench.create(SANDBOX, "s", sandbox(shutdownTime=in_seconds(-1)))
    await bench.until_now(SANDBOX, "s", has("Ready", "False", "SandboxExpired"))
    generation = await set_mode(bench, "Suspended")

    def at_generation(obj: Object) -> bool:
        return any(item["observedGeneration"] == generation for item in obj["status"]["conditions"])

    left = await bench.until_now(SANDBOX, "s", at_generation)
    assert conditions(left) == {"Ready": ("False", "SandboxExpired")}
    assert bench.seen(POD) == []


async def test_an_expired_sandbox_goes_if_it_is_to(bench: Bench) -> None:
    await run(bench, spec=sandbox(shutdownTime=in_seconds(SOON), shutdownPolicy="Delete"))
    await bench.until_gone(SANDBOX, "s")
    await bench.until_gone(POD, "s")


async def test_a_stale_controller_says_suspended_while_the_pod_runs(bench: Bench) -> None:
    await run(bench, annotations={ANNOTATION: "stale-suspended=1"})
    generation = await set_mode(bench, "Suspended")
    lie = await bench.until(SANDBOX, "s", has("Suspended", *SUSPENDED))
    found = next(item for item in lie["status"]["conditions"] if item["type"] == "Suspended")
    assert found["observedGeneration"] == generation
    assert runs(bench.states(POD, "s")[-1])
    await bench.until_gone(POD, "s")
    history = [conditions(state)["Suspended"] for state in bench.states(SANDBOX, "s") if "status" in state]
    changes = [item for item, before in zip(history[1:], history, strict=False) if item != before]
    assert changes[:2] == [SUSPENDED, ("False", "PodTerminating")]
    await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))


async def test_a_slow_controller_acts_later(bench: Bench) -> None:
    await run(bench, annotations={ANNOTATION: "slow=0.5"})
    await set_mode(bench, "Suspended")
    await bench.settled()
    assert runs(bench.states(POD, "s")[-1])
    await bench.until_now(SANDBOX, "s", has("Suspended", *SUSPENDED))


async def test_a_controller_that_never_acts(bench: Bench) -> None:
    await bench.create(SANDBOX, "s", sandbox(), annotations={ANNOTATION: "never"})
    await bench.settled()
    assert "status" not in await bench.get(SANDBOX, "s")
    assert bench.seen(POD) == []


async def test_unknown_quirks_are_told_of_and_passed_over(bench: Bench) -> None:
    await run(bench, annotations={ANNOTATION: "lazy"})

    async def told() -> list[str]:
        events = await bench.api.request("GET", f"/api/v1/namespaces/{bench.namespace}/events")
        return [item["message"] for item in events["items"] if item["reason"] == "BadQuirks"]

    for _ in range(100):
        if await told():
            break
        await bench.settled()
    (message,) = await told()
    assert message.startswith(f"annotation {ANNOTATION}: lazy is none of the quirks")


def test_quirks_are_read_from_words() -> None:
    assert parse("") == Quirks()
    assert parse("stale-suspended=2 slow=0.5") == Quirks(stale_suspended=2.0, slow=0.5)
    assert parse("never") == Quirks(never=True)
    with pytest.raises(ValueError, match="never-ever is none of the quirks"):
        parse("never-ever")


def test_the_hash_of_a_name_is_that_of_agent_sandbox() -> None:
    assert [name_hash(name) for name in ("a", "ends", "cold")] == ["e40c292c", "9743849b", "ea44dd0f"]


async def test_many_sandboxes_at_once(bench: Bench) -> None:
    names = [f"s{number}" for number in range(50)]
    for name in names:
        await bench.create(SANDBOX, name, sandbox("exec sleep 1000"))
    for name in names:
        await bench.until_now(SANDBOX, name, has("Ready", "True", "DependenciesReady"))
    for name in names:
        await set_mode(bench, "Suspended", name)
    for name in names:
        await bench.until_now(SANDBOX, name, has("Suspended", *SUSPENDED))
    assert bench.present(POD) == []
