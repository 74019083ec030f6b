"""Pod templates: what the API server takes, so that no template blinds those who read tasks."""

import copy
import json
import secrets
from typing import Any

import pytest
from tools.podspec import podspec

from agentstop.api.crd import task_crd
from agentstop.api.podtemplate import MAX_TEMPLATE, kubernetes_version
from tests.support import agents, definitions
from tests.support.clusters import Cluster
from tests.support.kube import APPLY, CRDS, MERGE, TASKS, Kind, KubeError, Object
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.operators import Operator
from tests.support.programs import ROOT

PODSPEC: Object = json.loads((ROOT / "operator/agentstop/api/podspec.json").read_text(encoding="utf-8"))

STRICT = {"fieldValidation": "Strict"}
"""What kubectl asks for."""


def task(template: Object, name: str = "a") -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "metadata": {"name": name},
        "spec": {"podTemplate": template},
    }


def with_container(**more: Any) -> Object:
    return {"spec": {"containers": [{**agents.container(agents.IDLE), **more}]}}


async def refused(ns: Namespace, template: Object, **query: str) -> str:
    with pytest.raises(KubeError) as caught:
        await ns.kube.call("POST", TASKS.path(ns.name), task(template), query=query)
    return caught.value.message


def fields(schema: Object, path: str = "spec") -> set[str]:
    """The paths of all fields of a schema."""
    found = set()
    for name, child in schema.get("properties", {}).items():
        found |= {f"{path}.{name}"} | fields(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            found |= fields(schema[word], path)
    return found


async def test_the_schema_is_in_step_with_the_newest_api_server(cluster: Cluster) -> None:
    """If this fails: make podspec KUBECONFIG=FILE of a cluster of that version."""
    if cluster.name == "playground":
        pytest.skip("the playground has no PodSpec of its own")
    theirs = podspec(await cluster.kube.call("GET", "/openapi/v3/api/v1"))
    missing = sorted(fields(theirs["schema"]) - fields(PODSPEC["schema"]))
    assert not missing, (
        f"Kubernetes {theirs['kubernetes']} has pod fields that {kubernetes_version()} has not: {missing}"
    )
    if theirs["kubernetes"] == PODSPEC["kubernetes"]:
        assert theirs == PODSPEC


@pytest.mark.usefixtures("launch")
async def test_a_field_of_a_newer_kubernetes_is_refused_by_name(ns: Namespace) -> None:
    message = await refused(ns, with_container(fromTheFuture=1), **STRICT)
    assert 'strict decoding error: unknown field "spec.podTemplate.spec.containers[0].fromTheFuture"' in message
    apply = {**STRICT, "fieldManager": "flux"}
    with pytest.raises(KubeError, match="fromTheFuture"):
        await ns.kube.call(
            "PATCH", TASKS.path(ns.name, "a"), task(with_container(fromTheFuture=1)), content_type=APPLY, query=apply
        )


@pytest.mark.usefixtures("launch")
async def test_a_field_of_a_newer_kubernetes_is_dropped_where_nobody_asks(ns: Namespace) -> None:
    """Nobody can see it then, neither a policy nor the operator: docs/workloads.md says so."""
    for query in ({}, {"fieldValidation": "Ignore"}):
        name = f"a-{len(query)}"
        await ns.kube.call("POST", TASKS.path(ns.name), task(with_container(fromTheFuture=1), name), query=query)
        [container] = (await ns.task(name))["spec"]["podTemplate"]["spec"]["containers"]
        assert container == agents.container(agents.IDLE)


WHAT_PODS_TAKE: dict[str, Object] = {
    "a variable twice": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]},
    "nothing said": {"env": None, "command": None, "resources": None},
    "defaults by name": {"imagePullPolicy": "", "terminationMessagePath": ""},
    "quantities": {"resources": {"limits": {"cpu": 1, "memory": "1Gi", "example.com/gpu": "2"}}},
    "ports": {"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
    "named ports": {"livenessProbe": {"httpGet": {"port": "http"}}, "readinessProbe": {"tcpSocket": {"port": 80}}},
}


@pytest.mark.usefixtures("launch")
@pytest.mark.parametrize("case", WHAT_PODS_TAKE)
async def test_a_template_takes_what_a_pod_takes_and_adds_nothing(ns: Namespace, case: str) -> None:
    given = WHAT_PODS_TAKE[case]
    await ns.kube.call("POST", TASKS.path(ns.name), task(with_container(**given)), query=STRICT)
    [container] = (await ns.task("a"))["spec"]["podTemplate"]["spec"]["containers"]
    said = {name: value for name, value in given.items() if value is not None}
    assert container == {**{k: v for k, v in agents.container(agents.IDLE).items() if k not in given}, **said}


TOO_MUCH: dict[str, tuple[Object, str]] = {
    "a long argument": (with_container(args=["x" * 32_769]), "32768"),
    "many variables": (with_container(env=[{"name": f"A{i}"} for i in range(1_025)]), "1024"),
    "a long name": (with_container(image="x" * 4_097), "4096"),
    "many labels": ({"metadata": {"labels": {f"a{i}": "" for i in range(65)}}, **agents.template()}, "64"),
    "a long key": ({"metadata": {"annotations": {"x" * 318: ""}}, **agents.template()}, "317"),
    "a long annotation": ({"metadata": {"annotations": {"a": "x" * 4_097}}, **agents.template()}, "4096"),
    "as a whole": (with_container(args=["x" * 32_000] * 5), str(MAX_TEMPLATE)),
    "many long keys": (agents.template(nodeSelector={f"{i:03}{'x' * 30_000}": "" for i in range(5)}), "as a whole"),
    "a year and a second": (agents.template(grace=31_536_001), "31536000"),
    "no containers": ({"spec": {"containers": None}}, "containers"),
    "a half": (with_container(resources={"limits": {"cpu": 0.5}}), "integer,string"),
}


@pytest.mark.usefixtures("launch")
@pytest.mark.parametrize("case", TOO_MUCH)
async def test_a_template_has_bounds(ns: Namespace, case: str) -> None:
    template, word = TOO_MUCH[case]
    message = await refused(ns, template)
    assert word in message
    assert "spec.podTemplate" in message


@pytest.mark.usefixtures("launch")
async def test_a_large_template_stays_immutable(ns: Namespace) -> None:
    template = with_container(args=["x" * 30_000] * 4)
    await ns.create_task("a", template)
    other = copy.deepcopy((await ns.task("a"))["spec"]["podTemplate"])
    other["spec"]["containers"][0]["args"][3] += "y"
    with pytest.raises(KubeError, match="podTemplate is immutable"):
        await ns.patch("a", podTemplate=other)
    assert await ns.stop("a")


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


DEEP = [
    '{"spec": {"containers": [{"name": "a", "image": "a"}], "deep": %s}}',
    '{"spec": {"containers": [{"name": "a", "image": "a"}], "nodeSelector": %s}}',
    '{"spec": {"containers": [{"name": "a", "image": "a", "resources": {"limits": %s}}]}}',
    '{"spec": {"containers": [{"name": "a", "image": "a"}]}, "metadata": %s}',
    '{"spec": {"containers": [{"name": "a", "image": "a"}], "volumes": [{"name": "v", "ephemeral":'
    ' {"volumeClaimTemplate": {"spec": {}, "metadata": {"managedFields": [{"fieldsV1": %s}]}}}}]}}',
]


@pytest.mark.parametrize("levels", [300, 1_200, 9_000, 11_000])
async def test_no_template_blinds_those_who_read_tasks(ns: Namespace, operator: Operator, levels: int) -> None:
    """Neither does it hide its own task from a stop, nor anybody else's."""
    if ns.cluster.name == "playground" and levels > 300:
        pytest.skip("Python's own JSON parser refuses such a request")
    await ns.create_task("other", agents.template())
    for number, text in enumerate(DEEP):
        body = json.dumps(task({"spec": {}}, f"deep-{number}")).replace('{"spec": {}}', text % nested(levels))
        await _post(ns, body)
    stored = await ns.kube.call("GET", TASKS.path())
    assert "deep-0" in {each["metadata"]["name"] for each in stored["items"]} or levels > 9_000
    assert '{"a": {"a": ' not in json.dumps(stored)
    await ns.running("other")
    await ns.stop("other")
    await ns.ended("other")
    assert (await ns.task("other"))["status"]["stop"]["verdict"] == "Graceful"


async def _post(ns: Namespace, body: str) -> None:
    try:
        await ns.kube.call("POST", TASKS.path(ns.name), body)
    except KubeError as error:
        assert error.code in {400, 422, 500}, error  # noqa: PT017


@pytest.mark.usefixtures("launch")
@pytest.mark.exclusive
async def test_a_task_from_before_the_schema_can_still_be_read_and_stopped(ns: Namespace) -> None:
    """It was stored by a definition that took anything; the new one has rules that it breaks."""
    plural, group = "agenttasks", f"x{secrets.token_hex(4)}.example.com"
    kind = Kind(f"/apis/{group}/v1alpha1", plural)
    now = task_crd()
    now["metadata"]["name"], now["spec"]["group"] = f"{plural}.{group}", group
    now["spec"]["names"] |= {"shortNames": [], "categories": []}
    before = copy.deepcopy(now)
    version = before["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    version["podTemplate"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["agent"] = {"type": "string"}
    await definitions.install(ns.kube, [before])
    try:
        # The playground drops unknown fields of what comes in, not of what it has.
        unknown = {} if ns.cluster.name == "playground" else {"fromTheFuture": 1}
        template = with_container(args=["x" * 140_000], **unknown)
        template["metadata"] = {"labels": {f"a{i}": "" for i in range(100)}}
        body = {**task(template), "apiVersion": f"{group}/v1alpha1"}
        body["spec"]["agent"] = "a; b"
        await ns.kube.create(kind, ns.name, body)
        await ns.kube.merge(CRDS, "", now["metadata"]["name"], {"spec": now["spec"]})
        await definitions.install(ns.kube, [now])
        read = await ns.kube.get(kind, ns.name, "a")
        assert "fromTheFuture" not in json.dumps(read)
        await ns.kube.merge(kind, ns.name, "a", {"status": {"phase": "Running"}}, "status")
        await ns.kube.call("PATCH", kind.path(ns.name, "a"), {"spec": {"stopRequested": True}}, content_type=MERGE)
        read = await ns.kube.get(kind, ns.name, "a")
        assert (read["spec"]["stopRequested"], read["status"]["phase"]) == (True, "Running")
    finally:
        await ns.kube.delete(kind, ns.name, "a", missing_ok=True)
        await ns.kube.delete(CRDS, "", now["metadata"]["name"])
