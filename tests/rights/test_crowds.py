"""Workloads of more pods than a status shows: none is forgotten, whatever is taken off it while no operator runs."""

from tests.support import agents, manifests
from tests.support.aftermath import Aftermath
from tests.support.clusters import Cluster
from tests.support.kube import PODS, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

MANY = 36
LISTED = 32


async def test_a_pod_that_is_not_shown_loses_its_labels_while_no_operator_runs(
    ns: Namespace, workloads: Workloads, operators: Operators, cluster: Cluster
) -> None:
    """Its UID alone is on record, and no label selector finds it any more: it is ended with the others."""
    aftermath = Aftermath(cluster, operators)
    await operators.serve(ns.name)
    made = await workloads.create(manifests.deployment("d", agents.graceful(), replicas=MANY))
    await workloads.adopt("a", made)
    await workloads.running(made, MANY)
    task = await ns.until("a", _all_on_record, what="all pods on record")
    shown = {each["uid"] for each in status(task)["workload"]["pods"]}
    pods = {each["metadata"]["uid"]: each for each in await ns.kube.list(PODS, ns.name)}
    hidden = pods[min(pods.keys() - shown)]["metadata"]["name"]
    await operators.end_shared()
    await ns.patch_pod(hidden, {"metadata": {"labels": None, "ownerReferences": None}})
    await aftermath.brake_works(await operators.serve(ns.name))
    await ns.stop("a")
    last = await ns.ended("a")
    assert status(last)["phase"] == "Stopped"
    assert stop_of(last)["verdict"] in {"Graceful", "Gone"}
    assert not ns.processes(hidden)
    assert not workloads.processes(made)

    async def is_ended() -> bool:
        left = {each["metadata"]["name"]: each for each in await ns.kube.list(PODS, ns.name)}
        return hidden not in left

    await until(is_ended, PATIENCE, f"pod {hidden} gone")
    await aftermath.clean_up(ns.name)


def _all_on_record(task: Object) -> bool:
    workload = status(task).get("workload") or {}
    others = sum(len(each["uids"]) for each in workload.get("otherPods") or ())
    running = all(any("startedAt" in each for each in pod["containers"]) for pod in workload.get("pods") or ())
    return running and len(workload.get("pods") or ()) == LISTED and others == MANY - LISTED
