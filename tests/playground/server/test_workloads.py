"""Jobs, Deployments, ReplicaSets and StatefulSets: defaults, what is refused, status and tables."""

from typing import Any

import pytest

from .api import MERGE_PATCH, TABLE, Api
from .objects import CRON_JOBS, DEPLOYMENTS, JOBS, REPLICA_SETS, STATEFUL_SETS, job, pod, replicated, template

POD_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "containers": [
        {
            "name": "main",
            "image": "image:1",
            "imagePullPolicy": "IfNotPresent",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ],
}
SELECTOR = {"matchLabels": {"app": "x"}}
LABELLED = {"labels": {"app": "x"}}


def without(obj: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in names}


@pytest.mark.parametrize(
    ("plural", "kind", "own"),
    [
        (
            DEPLOYMENTS,
            "Deployment",
            {
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
        ),
        (REPLICA_SETS, "ReplicaSet", {}),
        (
            STATEFUL_SETS,
            "StatefulSet",
            {
                "serviceName": "",
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "revisionHistoryLimit": 10,
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
        ),
    ],
)
async def test_what_replicated_kinds_are_filled_in_with(api: Api, plural: str, kind: str, own: dict[str, Any]) -> None:
    answer = await api.create(api.path(plural), replicated(kind, "one"))
    assert answer.status == 201
    spec = {**answer.body["spec"]}
    spec["template"] = {**spec["template"], "metadata": without(spec["template"]["metadata"], "creationTimestamp")}
    assert spec == {
        "replicas": 1,
        "selector": SELECTOR,
        "template": {"metadata": LABELLED, "spec": POD_DEFAULTS},
        **own,
    }
    assert answer.body["metadata"]["generation"] == 1


async def test_what_a_job_is_filled_in_with(api: Api) -> None:
    answer = await api.create(api.path(JOBS), job("one"))
    assert answer.status == 201
    uid = answer.body["metadata"]["uid"]
    own = {
        "controller-uid": uid,
        "job-name": "one",
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "one",
    }
    spec = answer.body["spec"]
    assert without(spec, "template") == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
    }
    assert spec["template"]["metadata"]["labels"] == {"app": "x", **own}
    assert spec["template"]["spec"] == {**POD_DEFAULTS, "restartPolicy": "Never"}
    assert answer.body["metadata"]["labels"] == {"app": "x", **own}


async def test_a_job_with_parallelism_alone_is_a_work_queue(api: Api) -> None:
    spec = (await api.create(api.path(JOBS), job("one", parallelism=3))).body["spec"]
    assert spec["parallelism"] == 3
    assert "completions" not in spec


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"parallelism": -1}, "spec.parallelism"),
        ({"backoffLimit": -1}, "spec.backoffLimit"),
        ({"activeDeadlineSeconds": -1}, "spec.activeDeadlineSeconds"),
        ({"template": template(restartPolicy="Always")}, "spec.template.spec.restartPolicy"),
        ({"template": {"spec": {"restartPolicy": "Never"}}}, "spec.template.spec.containers"),
    ],
)
async def test_jobs_that_are_refused(api: Api, spec: dict[str, Any], field: str) -> None:
    answer = await api.create(api.path(JOBS), job("one", **spec))
    assert answer.status == 422
    assert field in {cause[0] for cause in answer.causes}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "y"}}}, "spec.template.metadata.labels"),
        ({"template": template(restartPolicy="Never")}, "spec.template.spec.restartPolicy"),
        ({"template": {**template(), "spec": {"containers": []}}}, "spec.template.spec.containers"),
    ],
)
async def test_deployments_that_are_refused(api: Api, spec: dict[str, Any], field: str) -> None:
    answer = await api.create(api.path(DEPLOYMENTS), replicated("Deployment", "one", **spec))
    assert answer.status == 422
    assert field in {cause[0] for cause in answer.causes}


@pytest.mark.parametrize(
    "spec",
    [{"template": template(restartPolicy="OnFailure")}, {"completions": 5}, {"managedBy": "somebody.else/runs-it"}],
)
async def test_what_may_not_change_in_a_job(api: Api, spec: dict[str, Any]) -> None:
    await api.create(api.path(JOBS), job("one"))
    answer = await api.patch(api.path(JOBS, "one"), {"spec": spec})
    assert answer.status == 422
    assert f"spec.{next(iter(spec))}" in {cause[0] for cause in answer.causes}
    assert "field is immutable" in answer.message


async def test_a_deployments_selector_may_not_change(api: Api) -> None:
    await api.create(api.path(DEPLOYMENTS), replicated("Deployment", "one"))
    both = {"matchLabels": {"app": "x", "b": "c"}}
    body = replicated(
        "Deployment", "one", selector=both, template={**template(), "metadata": {"labels": both["matchLabels"]}}
    )
    answer = await api.put(api.path(DEPLOYMENTS, "one"), body)
    assert answer.status == 422
    assert "field is immutable" in answer.message


async def test_suspension_counts_a_generation_and_a_status_does_not(api: Api) -> None:
    await api.create(api.path(JOBS), job("one"))
    suspended = await api.patch(api.path(JOBS, "one"), {"spec": {"suspend": True}})
    assert suspended.body["metadata"]["generation"] == 2
    reported = await api.patch(f"{api.path(JOBS, 'one')}/status", {"status": {"ready": 0}})
    assert (reported.status, reported.body["metadata"]["generation"]) == (200, 2)


async def test_a_status_can_not_be_written_beside_the_specification(api: Api) -> None:
    body = {**replicated("Deployment", "one"), "status": {"replicas": 9}}
    await api.create(api.path(DEPLOYMENTS), body)
    await api.patch(api.path(DEPLOYMENTS, "one"), {"status": {"replicas": 9}})
    assert "replicas" not in (await api.get(api.path(DEPLOYMENTS, "one"))).body["status"]


async def test_the_pods_of_a_job_that_is_deleted_plainly_are_orphaned(play: Api) -> None:
    owner = (await play.create(play.path(JOBS), job("one"))).body
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "one", "uid": owner["metadata"]["uid"]}
    orphan = pod("p")
    orphan["metadata"]["ownerReferences"] = [reference]
    await play.create(play.path("pods"), orphan)
    deleted = await play.delete(play.path(JOBS, "one"))
    assert deleted.body["metadata"]["finalizers"] == ["orphan"]


async def test_workloads_are_shown_as_tables(api: Api) -> None:
    await api.create(api.path(JOBS), job("one", parallelism=2, completions=3))
    await api.create(api.path(DEPLOYMENTS), replicated("Deployment", "one", replicas=3))
    await api.create(api.path(STATEFUL_SETS), replicated("StatefulSet", "one"))
    await api.create(api.path(REPLICA_SETS), replicated("ReplicaSet", "one"))
    shown = {}
    for plural in (JOBS, DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS):
        table = (await api.get(api.path(plural, "one"), accept=TABLE)).body
        names = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
        shown[plural] = dict(zip(names, table["rows"][0]["cells"], strict=False))
        shown[plural].pop("Age")
    assert shown == {
        JOBS: {"Name": "one", "Status": "Running", "Completions": "0/3", "Duration": ""},
        DEPLOYMENTS: {"Name": "one", "Ready": "0/3", "Up-to-date": 0, "Available": 0},
        STATEFUL_SETS: {"Name": "one", "Ready": "0/1"},
        REPLICA_SETS: {"Name": "one", "Desired": 1, "Current": 0, "Ready": 0},
    }


async def test_a_definition_whose_scale_leads_nowhere_is_refused(api: Api) -> None:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"scale": {"specReplicasPath": "ships", "statusReplicasPath": ".spec.ships"}},
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    names = {"plural": "boats", "kind": "Boat"}
    definition = {
        "metadata": {"name": "boats.tests.agentstop.dev"},
        "spec": {"group": "tests.agentstop.dev", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    answer = await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert answer.status == 422
    found = {cause[0].rpartition(".")[2] for cause in answer.causes}
    assert {"specReplicasPath", "statusReplicasPath"} <= found


async def test_the_playground_takes_no_indexed_jobs(play: Api) -> None:
    answer = await play.create(play.path(JOBS), job("one", completionMode="Indexed", completions=1))
    rejection = 'Unsupported value: "Indexed": supported values: "NonIndexed"'
    assert answer.causes == {("spec.completionMode", "FieldValueNotSupported", rejection)}


async def test_cron_jobs_are_kept(api: Api) -> None:
    spec = {"schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}
    made = await api.create(api.path(CRON_JOBS), body)
    assert made.status == 201
    assert (made.body["spec"]["suspend"], made.body["spec"]["concurrencyPolicy"]) == (False, "Allow")
    assert made.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    suspended = await api.patch(api.path(CRON_JOBS, "nightly"), {"spec": {"suspend": True}}, MERGE_PATCH)
    assert suspended.body["spec"]["suspend"] is True
    other = {**body, "metadata": {"name": "other"}, "spec": {**spec, "concurrencyPolicy": "Never"}}
    refused = await api.create(api.path(CRON_JOBS), other)
    assert {cause[0] for cause in refused.causes} == {"spec.concurrencyPolicy"}
