"""The rights that the documentation names are those of the chart, and they suffice to stop every kind of workload."""

import re
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.support import apiserver, clusters, helm, installed
from tests.support.clusters import Cluster
from tests.support.kube import NAMESPACES, Object
from tests.support.operators import Operator
from tests.support.orders import Orders

from . import agents
from .conftest import Place
from .documents import ROOT, table_below

LISTED = re.compile(r", *")


def of_the_chart(roles: Iterable[Object], named: str = ", its own") -> dict[str, set[str]]:
    """Return the verbs of roles, by API group and resource; `named` is added where single names are meant."""
    found: dict[str, set[str]] = {}
    for role in roles:
        for rule in role.get("rules", ()):
            for resource in rule["resources"]:
                name = resource + (named if "resourceNames" in rule else "")
                found.setdefault(f"{rule['apiGroups'][0]}/{name}", set()).update(rule["verbs"])
    return found


def of_the_documentation() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group, resources, verbs, _ in table_below("docs/rights.md", "## The operator's"):
        own = resources.endswith(", its own")
        for resource in [resources] if own else LISTED.split(resources):
            assert f"{group}/{resource}" not in found
            found[f"{group}/{resource}"] = set(LISTED.split(verbs))
    return found


def test_they_are_the_charts() -> None:
    assert of_the_documentation() == of_the_chart(installed.operator_rights())


def test_those_of_the_gateway_are_the_charts() -> None:
    people = {"users": ["jane", "system:serviceaccount:team-a:ci"], "groups": ["oncall"]}
    values = {"gateway": {"enabled": True, "impersonate": people}}
    more = [each for each in installed.rights(values) if each not in installed.rights()]
    named = ", those of "
    documented = {
        f"{group}/{resource.partition(named)[0]}{named if named in resource else ''}": set(LISTED.split(verbs))
        for group, resources, verbs, _ in table_below("docs/rights.md", "## The gateway's")
        for resource in ([resources] if named in resources else LISTED.split(resources))
    }
    assert documented == of_the_chart(more, named)


def test_the_roles_are_the_charts() -> None:
    names = {row[0].strip("`") for row in table_below("docs/rights.md", "## People's and pipelines'")}
    roles = {each["metadata"]["name"] for each in installed.rights() if each["kind"] == "ClusterRole"}
    assert names == {name for name in roles if "-aggregate-to-" not in name} - {helm.RELEASE}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/threat-model.md").read_text()))
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert named <= set(re.findall(r"^(?:async )?def (test_\w+)", written, re.MULTILINE))


@pytest.fixture
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster on which the operator has the rights of the chart, and no others."""
    if reason := apiserver.missing():
        pytest.skip(reason)
    async with clusters.real(tmp_path_factory.mktemp("rights")) as cluster:
        yield cluster


async def test_they_suffice(guarded: Cluster) -> None:
    kubeconfig = guarded.operator_kubeconfig
    assert kubeconfig is not None
    operator = await Operator.start(guarded)
    try:
        for name in ("researcher", "job", "deployment", "sandbox", "claim"):
            place = Place(guarded, name, guarded.kubeconfig)
            await guarded.kube.create(NAMESPACES, "", {"metadata": {"name": name}})
            objects = await agents.run(place, name)
            await agents.stop(place, objects)
            status = await agents.ended(place, objects[-1]["metadata"]["name"])
            assert (status["phase"], status["stop"]["verdict"]) == ("Stopped", "Graceful")
        for kind in ("StopOrder", "ClusterStopOrder"):
            namespace = kind.lower()
            place = Place(guarded, namespace, kubeconfig)
            await guarded.kube.create(NAMESPACES, "", {"metadata": {"name": namespace}})
            objects = await agents.run(place, "researcher")
            orders = Orders(guarded, namespace)
            order = await (orders.make() if kind == "StopOrder" else orders.make_wide())
            status = await agents.ended(place, objects[-1]["metadata"]["name"])
            assert (status["stop"]["source"], status["stop"]["order"]["kind"]) == ("StopOrder", kind)
            await order.phase("Complete")
            await orders.close()
    finally:
        await operator.program.end()
    assert "forbidden" not in operator.program.text().lower()
