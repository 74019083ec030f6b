"""Deployments, ReplicaSets and StatefulSets: the pods that they keep."""

from typing import Any

import pytest

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.kinds import DEPLOYMENT, POD, REPLICA_SET, STATEFUL_SET, Kind

from .bench import FOREVER, Bench, conditions, pod_spec, runs

KINDS = {kind.plural: kind for kind in (DEPLOYMENT, REPLICA_SET, STATEFUL_SET)}


def spec_of(replicas: int, script: str = FOREVER, **spec: Any) -> Object:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(script)}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec}


def ready(count: int) -> Any:
    """Whether a status says that so many are ready, of as many as there are."""

    def check(obj: Object) -> bool:
        status = obj.get("status") or {}
        seen = status.get("observedGeneration") == obj["metadata"]["generation"]
        return bool(seen) and bool(status.get("replicas", 0) == status.get("readyReplicas", 0) == count)

    return check


def owners(pods: list[Object]) -> dict[str, str]:
    """The UID of each pod's owner, by the pod's name; pods without one are left out."""
    return {
        pod["metadata"]["name"]: owner["uid"] for pod in pods for owner in pod["metadata"].get("ownerReferences", ())
    }


def running(count: int) -> Any:
    return lambda pods: len(pods) == count and all(runs(pod) for pod in pods)


@pytest.mark.parametrize("plural", KINDS)
async def test_as_many_pods_as_are_asked_for(bench: Bench, plural: str) -> None:
    kind: Kind = KINDS[plural]
    await bench.create(kind, "r", spec_of(3))
    made = await bench.until_now(kind, "r", ready(3))
    assert made["status"]["availableReplicas"] == 3
    await bench.until_pods(running(3))


@pytest.mark.parametrize("plural", KINDS)
async def test_none_after_scaling_to_zero_and_as_many_again_after_scaling_back(bench: Bench, plural: str) -> None:
    kind = KINDS[plural]
    await bench.create(kind, "r", spec_of(2))
    await bench.until_now(kind, "r", ready(2))
    first = {pod["metadata"]["uid"] for pod in await bench.until_pods(running(2))}
    await bench.scale(kind, "r", 0)
    await bench.until_pods(lambda pods: not pods)
    await bench.until_now(kind, "r", ready(0))
    await bench.scale(kind, "r", 2)
    second = {pod["metadata"]["uid"] for pod in await bench.until_pods(running(2))}
    assert not first & second


@pytest.mark.parametrize("plural", KINDS)
async def test_a_lost_pod_is_replaced(bench: Bench, plural: str) -> None:
    kind = KINDS[plural]
    await bench.create(kind, "r", spec_of(1))
    (lost,) = await bench.until_pods(running(1))
    await bench.delete(POD, lost["metadata"]["name"])
    await bench.until_pods(lambda pods: running(1)(pods) and pods[0]["metadata"]["uid"] != lost["metadata"]["uid"])


@pytest.mark.parametrize("plural", ["deployments", "replicasets"])
async def test_a_pod_that_is_stopped_in_place_is_replaced_and_stays(bench: Bench, plural: str) -> None:
    kind = KINDS[plural]
    await bench.create(kind, "r", spec_of(1))
    (stopped,) = await bench.until_pods(running(1))
    name = stopped["metadata"]["name"]
    await bench.patch(POD, name, {"spec": {"activeDeadlineSeconds": 1}})
    pods = await bench.until_pods(lambda pods: len(pods) == 2 and any(runs(pod) for pod in pods))
    assert {pod["metadata"]["name"]: pod["status"]["phase"] for pod in pods}[name] == "Failed"


async def test_pods_of_a_deployment_lead_to_it_by_their_controllers(bench: Bench) -> None:
    await bench.create(DEPLOYMENT, "d", spec_of(1))
    deployment = await bench.until_now(DEPLOYMENT, "d", ready(1))
    (pod,), (replica_set,) = await bench.until_pods(running(1)), bench.present(REPLICA_SET)
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("ReplicaSet", replica_set["metadata"]["uid"], True)
    (owner,) = replica_set["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", deployment["metadata"]["uid"], True)
    template_hash = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"d-{template_hash}"
    assert pod["metadata"]["labels"] == {"app": "x", "pod-template-hash": template_hash}


async def test_a_deployment_tells_when_it_is_rolled_out(bench: Bench) -> None:
    await bench.create(DEPLOYMENT, "d", spec_of(2))
    done = await bench.until_now(DEPLOYMENT, "d", ready(2))
    assert conditions(done) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert done["status"]["updatedReplicas"] == 2
    assert "unavailableReplicas" not in done["status"]


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
async def test_a_new_template_gets_a_replica_set_of_its_own(bench: Bench, strategy: str) -> None:
    await bench.create(DEPLOYMENT, "d", spec_of(2, strategy={"type": strategy}))
    await bench.until_now(DEPLOYMENT, "d", ready(2))
    (old,) = bench.present(REPLICA_SET)
    await bench.patch(DEPLOYMENT, "d", {"spec": {"template": spec_of(2, "exec sleep 1000")["template"]}})
    await bench.until_now(DEPLOYMENT, "d", lambda obj: ready(2)(obj) and obj["status"].get("updatedReplicas") == 2)
    await bench.until_now(REPLICA_SET, old["metadata"]["name"], ready(0))
    pods = await bench.until_pods(running(2))
    assert all(pod["spec"]["containers"][0]["command"][-1] == "exec sleep 1000" for pod in pods)


@pytest.mark.ours
async def test_recreation_ends_the_old_pods_first(bench: Bench) -> None:
    await bench.create(DEPLOYMENT, "d", spec_of(2, strategy={"type": "Recreate"}))
    first = {pod["metadata"]["name"] for pod in await bench.until_pods(running(2))}
    await bench.patch(DEPLOYMENT, "d", {"spec": {"template": spec_of(2, "exec sleep 1000")["template"]}})
    await bench.until_pods(lambda pods: running(2)(pods) and not first & {pod["metadata"]["name"] for pod in pods})
    changes = bench.order(POD)
    last_end = max(changes.index((name, "DELETED")) for name in first)
    assert all(event != "ADDED" or name in first for name, event in changes[:last_end])


async def test_what_a_deployment_owns_goes_with_it(bench: Bench) -> None:
    if not bench.endpoint.collects_garbage:
        pytest.skip("nobody collects what an object owned here")
    await bench.create(DEPLOYMENT, "d", spec_of(2))
    await bench.until_pods(running(2))
    await bench.delete(DEPLOYMENT, "d")
    await bench.until_pods(lambda pods: not pods)
    await bench.until_true(lambda: not bench.present(REPLICA_SET))


@pytest.mark.ours
async def test_many_deployments_at_once(bench: Bench) -> None:
    names = [f"d{number}" for number in range(50)]
    for name in names:
        await bench.create(DEPLOYMENT, name, spec_of(1, "exec sleep 1000"))
    for name in names:
        await bench.until_now(DEPLOYMENT, name, ready(1))
    for name in names:
        await bench.scale(DEPLOYMENT, name, 0)
    await bench.until_pods(lambda pods: not pods)
    assert len(bench.seen(POD)) == len(names)


async def test_pods_of_a_stateful_set_are_numbered_and_come_one_after_another(bench: Bench) -> None:
    await bench.create(STATEFUL_SET, "s", spec_of(3))
    pods = await bench.until_pods(running(3))
    assert {pod["metadata"]["name"] for pod in pods} == {"s-0", "s-1", "s-2"}
    assert all(
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == pod["metadata"]["name"] for pod in pods
    )
    assert [name for name, event in bench.order(POD) if event == "ADDED"] == ["s-0", "s-1", "s-2"]


async def test_pods_of_a_stateful_set_go_from_the_last_on(bench: Bench) -> None:
    await bench.create(STATEFUL_SET, "s", spec_of(3))
    await bench.until_pods(running(3))
    await bench.scale(STATEFUL_SET, "s", 1)
    (left,) = await bench.until_pods(lambda pods: len(pods) == 1)
    assert left["metadata"]["name"] == "s-0"
    assert [name for name, event in bench.order(POD) if event == "DELETED"] == ["s-2", "s-1"]


async def test_pods_of_a_stateful_set_follow_its_template(bench: Bench) -> None:
    await bench.create(STATEFUL_SET, "s", spec_of(2))
    await bench.until_pods(running(2))
    await bench.patch(STATEFUL_SET, "s", {"spec": {"template": spec_of(2, "exec sleep 1000")["template"]}})
    await bench.until_pods(
        lambda pods: (
            running(2)(pods) and all(pod["spec"]["containers"][0]["command"][-1] == "exec sleep 1000" for pod in pods)
        )
    )


async def test_a_replica_set_takes_over_a_pod_that_matches_and_makes_another_when_it_ends(bench: Bench) -> None:
    matching = {"metadata": {"name": "bare", "labels": {"app": "x"}}, "spec": pod_spec(FOREVER)}
    other = {"metadata": {"name": "other", "labels": {"app": "y"}}, "spec": pod_spec(FOREVER)}
    for pod in (matching, other):
        await bench.api.request("POST", POD.collection(bench.namespace), {"apiVersion": "v1", "kind": "Pod", **pod})
    await bench.until_pods(running(2))
    made = await bench.create(REPLICA_SET, "r", spec_of(1))
    await bench.until_now(REPLICA_SET, "r", ready(1))
    # The pods are watched apart from the ReplicaSets: what is ready there may not be seen here yet.
    await bench.until_pods(lambda pods: running(2)(pods) and owners(pods) == {"bare": made["metadata"]["uid"]})
    await bench.api.request("DELETE", POD.path(bench.namespace, "bare"))
    await bench.until_pods(lambda pods: running(2)(pods) and "bare" not in {pod["metadata"]["name"] for pod in pods})
