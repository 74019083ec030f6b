"""Releases on a real API server: installed, tested, upgraded, rolled back, uninstalled, and installed again."""

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import helm_python
import pytest
import yaml

from agentstop.api.crd import crds
from tests.support import helm, manifests
from tests.support.helm import CHART, NAMESPACE, RELEASE
from tests.support.kube import CRDS, DEPLOYMENTS, EVENTS, JOBS, PODS, TASKS, Kind, KubeError, Object, missing_ignored
from tests.support.laws import status
from tests.support.programs import Program
from tests.support.waiting import PATIENCE, until

from .conftest import ELSEWHERE, SECOND, SERVED, Site
from .options import EVERYTHING, MATRIX, Values

KIND = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask"}

TASK = {
    **KIND,
    "metadata": {"name": "kept"},
    "spec": {"podTemplate": {"spec": {"containers": [{"name": "a", "image": "b"}]}}},
}

QUIET: Values = {"replicaCount": 0}
"""For what is not about the operator's pods."""


def without(text: str, name: str) -> str:
    """Return YAML without a key, which must be there once, and all that is below it."""
    (found,) = re.finditer(rf"^( +){name}:\n(?:\1 +.*\n)+", text, re.MULTILINE)
    return text[: found.start()] + text[found.end() :]


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The chart as its version before this one may have been: with a field less in tasks, and a Service more."""
    chart = tmp_path / "agentstop"
    shutil.copytree(CHART, chart)
    description = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(description | {"version": "0.0.9", "appVersion": "0.0.9"}))
    template = chart / "templates" / "crds" / "agentstop.dev_agenttasks.yaml"
    template.write_text(without(template.read_text(), "ttlSecondsAfterFinished"))
    return chart


async def fields(site: Site) -> set[str]:
    """Return the names of the fields that a task's spec has."""
    definition = await site.cluster.kube.get(CRDS, "", "agenttasks.agentstop.dev")
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(schema["properties"]["spec"]["properties"])


async def served(site: Site) -> None:
    async def is_served() -> bool:
        try:
            await site.cluster.kube.list(TASKS, "default")
        except KubeError:
            return False
        return True

    await until(is_served, PATIENCE, "tasks served")


async def places(site: Site, objects: Iterable[Object]) -> dict[tuple[str, str], tuple[Kind, bool]]:
    """Return where objects live, and whether in namespaces, by API version and kind; only what this cluster serves."""
    found = {}
    for version in sorted({each["apiVersion"] for each in objects}):
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        with missing_ignored():
            for each in (await site.cluster.kube.call("GET", prefix))["resources"]:
                if "/" not in each["name"]:
                    found[version, each["kind"]] = (Kind(prefix, each["name"]), each["namespaced"])
    return found


async def left(site: Site, name: str = RELEASE) -> list[str]:
    """Return what there is of a release, but the definitions, and what has its own time to go."""
    query = {"labelSelector": f"app.kubernetes.io/instance={name}"}
    made = helm.render(EVERYTHING)
    where = await places(site, made)
    found = []
    for kind in {where[key][0] for each in made if (key := (each["apiVersion"], each["kind"])) in where} - {CRDS}:
        objects = await site.cluster.kube.list(kind, **query)
        found += [f"{kind.plural}/{e['metadata']['name']}" for e in objects if "deletionTimestamp" not in e["metadata"]]
    return found


async def nothing_left(site: Site, name: str = RELEASE) -> None:
    async def none() -> bool:
        return not await left(site, name)

    try:
        await until(none, PATIENCE, f"the end of release {name}")
    except AssertionError:
        raise AssertionError(f"left of {name}: {await left(site, name)}") from None


async def available(site: Site, namespace: str = NAMESPACE, name: str = "agentstop") -> None:
    """Wait for the operator."""

    async def is_available() -> bool:
        status = (await site.cluster.kube.get(DEPLOYMENTS, namespace, name)).get("status", {})
        return bool(status.get("availableReplicas"))

    await until(is_available, PATIENCE, "the operator available")


async def stops_proven(site: Site, namespace: str) -> int:
    """Return how many tasks of `helm test` were stopped with proof, by the Events that the operator wrote."""
    found = await site.cluster.kube.list(EVENTS, namespace)
    return len(
        {
            each["regarding"]["name"]
            for each in found
            if each["reason"] == "StopConfirmed" and each["regarding"]["name"].startswith("agentstop-try-")
        }
    )


def together(*values: Values) -> Values:
    return {key: value for each in values for key, value in each.items()}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
async def test_the_api_server_takes_everything(values: Values, site: Site) -> None:
    """Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#validation-for-unrecognized-or-duplicate-fields"""
    objects = helm.render(values)
    where = await places(site, objects)
    for each in objects:
        if (each["apiVersion"], each["kind"]) in where:
            kind, namespaced = where[each["apiVersion"], each["kind"]]
            path = kind.path(each["metadata"].get("namespace", NAMESPACE) if namespaced else "")
            await site.cluster.kube.call("POST", path, each, query={"dryRun": "All", "fieldValidation": "Strict"})


async def test_installed_tested_uninstalled_and_installed_elsewhere(site: Site) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=site.values)
        await available(site)
        before = await stops_proven(site, NAMESPACE)  # other tests have left Events of their own
        await releases.test()
        assert await stops_proven(site, NAMESPACE) == before + 1
        assert not await site.tasks(NAMESPACE)
        await site.cluster.kube.create(TASKS, "default", TASK)
        await releases.uninstall()
        await nothing_left(site)
    assert len(await site.definitions()) == len(crds())
    assert [each["metadata"]["name"] for each in await site.tasks("default")] == ["kept"]
    with helm.connected(site.cluster.kubeconfig, ELSEWHERE) as releases:
        with pytest.raises(helm_python.HelmReleaseError, match="invalid ownership metadata"):
            await releases.install(SECOND, site.values)
        await releases.install(SECOND, site.values, take_ownership=True)
        await available(site, ELSEWHERE, f"{SECOND}-agentstop")
        await releases.test(SECOND)
        assert await stops_proven(site, ELSEWHERE) > 0
        owners = {each["metadata"]["annotations"]["meta.helm.sh/release-name"] for each in await site.definitions()}
        assert owners == {SECOND}
        await releases.upgrade(SECOND, together(site.values, {"podAnnotations": {"changed": "yes"}}))
    assert [each["metadata"]["name"] for each in await site.tasks("default")] == ["kept"]


async def test_the_same_release_is_installed_again_without_more_ado(site: Site) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        for _ in range(2):
            await releases.install(values=together(site.values, QUIET))
            await releases.uninstall()
    await nothing_left(site)


async def test_an_upgrade_changes_the_definitions_and_a_rollback_changes_them_back(site: Site, previous: Path) -> None:
    values = together(site.values, QUIET)
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=values, chart=previous)
        await served(site)
        await site.cluster.kube.create(TASKS, "default", TASK)
        assert "ttlSecondsAfterFinished" not in await fields(site)
        await releases.upgrade(values=values)
        assert "ttlSecondsAfterFinished" in await fields(site)
        await releases.rollback()
        assert "ttlSecondsAfterFinished" not in await fields(site)
        await releases.upgrade(values=together(values, {"crds": {"enabled": False}}))
        assert len(await site.definitions()) == len(crds())
        await releases.upgrade(values=values)
        assert "ttlSecondsAfterFinished" in await fields(site)
    # For a moment after a change of their definition, they can't be read.
    await served(site)
    assert [each["metadata"]["name"] for each in await site.tasks("default")] == ["kept"]


async def test_an_upgrade_replaces_the_operator(site: Site, previous: Path) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        # The processes of two pods share this machine's ports, which pods do not.
        values = together(site.values, {"strategy": {"type": "Recreate", "rollingUpdate": None}})
        await releases.install(values=values, chart=previous)
        await available(site)
        await releases.upgrade(values=values)

        async def replaced() -> bool:
            deployment = await site.cluster.kube.get(DEPLOYMENTS, NAMESPACE, "agentstop")
            found = deployment["status"]
            current = found.get("observedGeneration") == deployment["metadata"]["generation"]
            return bool(current and found.get("updatedReplicas") == found.get("availableReplicas") == 1)

        await until(replaced, PATIENCE, "the new operator")
        await releases.test()


async def test_definitions_that_kubectl_applied_are_taken_over(site: Site) -> None:
    for path in sorted((CHART.parents[1] / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        definition["spec"]["names"]["categories"] = ["others"]
        query = {"fieldManager": "kubectl-client-side-apply"}
        await site.cluster.kube.call("POST", CRDS.path(), definition, query=query)
    values = together(site.values, QUIET)
    with helm.connected(site.cluster.kubeconfig) as releases:
        with pytest.raises(helm_python.HelmReleaseError, match="invalid ownership metadata"):
            await releases.install(values=values)
        await releases.install(values=values, take_ownership=True, force_conflicts=True)
    assert {tuple(each["spec"]["names"]["categories"]) for each in await site.definitions()} == {("agents",)}


async def test_definitions_go_with_the_release_if_wanted(site: Site) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=together(site.values, QUIET, {"crds": {"keep": False}}))
        assert len(await site.definitions()) == len(crds())
        await releases.uninstall()

    async def gone() -> bool:
        return not await site.definitions()

    await until(gone, PATIENCE, "the end of the definitions")


async def test_no_task_hangs_when_the_operator_is_gone(site: Site) -> None:
    kube = site.cluster.kube
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=site.values)
        await available(site)
        await kube.create(JOBS, SERVED[0], manifests.job("worker"))
        spec = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "worker"}, "deletionPolicy": "Stop"}
        await kube.create(TASKS, SERVED[0], {**KIND, "metadata": {"name": "worker"}, "spec": spec})

        async def protected() -> bool:
            return bool((await kube.get(TASKS, SERVED[0], "worker"))["metadata"].get("finalizers"))

        await until(protected, PATIENCE, "the task protected by a finalizer")
        await releases.uninstall()
        await nothing_left(site)
    assert "finalizers" not in (await kube.get(TASKS, SERVED[0], "worker"))["metadata"]
    await kube.delete(TASKS, SERVED[0], "worker")
    assert not await site.tasks(SERVED[0])
    assert not (await kube.get(JOBS, SERVED[0], "worker"))["spec"].get("suspend")
    await kube.delete(JOBS, SERVED[0], "worker")


async def test_a_release_that_serves_single_namespaces(site: Site) -> None:
    values = together(site.values, {"watchNamespaces": [SERVED[0]]})
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=values)
        await available(site)
        await releases.test()
        await site.cluster.kube.create(TASKS, SERVED[1], TASK)
        with helm.connected(site.cluster.kubeconfig, ELSEWHERE) as others:
            crds = {"crds": {"enabled": False}}
            await others.install(values=together(site.values, QUIET, crds, {"watchNamespaces": [SERVED[1]]}))
            await others.uninstall()
        assert not status(await site.cluster.kube.get(TASKS, SERVED[1], "kept"))
        await releases.uninstall()
        await nothing_left(site)


async def test_a_test_that_fails_says_why(site: Site) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=together(site.values, QUIET, {"crds": {"enabled": False}}))
        with pytest.raises(helm_python.HelmReleaseError):
            await releases.test()
        line = await site.cluster.logs(NAMESPACE, "agentstop-test", "test")
        advice = "install the CustomResourceDefinitions, for example with the chart's crds.enabled"
        assert re.fullmatch(rf"agentstop: the API server refused: [^\n;]*; {advice}\n", line)
        assert not {"roles/agentstop-test", "serviceaccounts/agentstop-test"} & set(await left(site))
        await site.cluster.kube.delete(PODS, NAMESPACE, "agentstop-test", grace=1)


async def test_a_try_without_an_operator_says_so(site: Site, tmp_path: Path) -> None:
    with helm.connected(site.cluster.kubeconfig) as releases:
        await releases.install(values=together(site.values, QUIET))
        await served(site)
        template = {"spec": {"containers": [{"name": "a", "image": "a"}]}}
        kind = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask"}
        task = json.dumps({**kind, "spec": {"podTemplate": template}})
        command = [sys.executable, "-m", "agentstop.cli.main", "try", "-n", "default", "--task", task, "--timeout", "1"]
        environment = {"KUBECONFIG": str(site.cluster.kubeconfig)}
        program = await Program.start(command, tmp_path / "try.log", environment)
        assert await program.ended(PATIENCE) == 1
    assert re.fullmatch(
        r"agentstop: task agentstop-try-\w+ is not Running after 1 s: it is not looked at by any operator;"
        r" see whether one runs that serves its namespace\n",
        program.text(),
    )
    assert not await site.tasks("default")
