"""The fence: what a stopped agent's token may still do, on a real API server."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support import agents, helm, installed
from tests.support.clusters import Cluster
from tests.support.guarded import API_GROUP, SENTINEL
from tests.support.kube import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    MERGE,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    Kind,
    Kube,
    KubeError,
    Object,
)
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import until

from .conftest import Users
from .test_admission import EDIT, refused

FENCES = Kind("/apis/agentstop.dev/v1alpha1", "fences")
ACCOUNTS = Kind("/api/v1", "serviceaccounts")
VALUES = {"admission": {"fence": "always"}}
NAME = helm.RELEASE
REFUSED = "tokens of its pods write nothing any more"
RIGHTS = ("", "configmaps", EDIT), ("", "pods/exec", ("create", "get")), ("", "serviceaccounts/token", ("create",))


def policies() -> list[Object]:
    return [each for each in installed.policies(VALUES) if "-fence" in each["metadata"]["name"]]


@asynccontextmanager
async def installing(kube: Kube, objects: Sequence[Object]) -> AsyncIterator[None]:
    """Objects of admission that are there for a while; one that refuses a name is made last, and waited for."""
    name = f"sentinel-{secrets.token_hex(4)}"  # an earlier one may count for a moment yet
    last = [{**each, "metadata": {"name": name}} for each in SENTINEL]
    last[0]["spec"] = {**last[0]["spec"], "validations": [{"expression": f"object.metadata.name != '{name}'"}]}
    last[1]["spec"] = {**last[1]["spec"], "policyName": name}
    made = [*objects, *last]
    await installed.install(kube, made)

    async def counts() -> bool:
        try:
            body = {"metadata": {"name": name}}
            await kube.call("POST", CONFIG_MAPS.path("default"), body, query={"dryRun": "All"})
        except KubeError as error:
            return error.code == 422
        return False

    try:
        await until(counts, installed.ACTIVE_SECONDS, "the last policy counts")
        yield
    finally:
        for each in made:
            await kube.delete(installed.kind_of(each), "", each["metadata"]["name"])


@asynccontextmanager
async def writing(kube: Kube, namespace: str, pause: float = 0) -> AsyncIterator[list[str]]:
    """Have somebody write all the time, with so many seconds between; yields what was refused."""
    problems: list[str] = []

    async def write() -> None:
        number = 0
        while True:
            number += 1
            try:
                await kube.merge(CONFIG_MAPS, namespace, "others", {"data": {"n": str(number)}})
            except KubeError as error:
                problems.append(str(error))
            await asyncio.sleep(pause)

    await kube.create(CONFIG_MAPS, namespace, {"metadata": {"name": "others"}})
    task = asyncio.create_task(write())
    try:
        yield problems
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def fence(cluster: Cluster, ns: Namespace, operators: Operators) -> AsyncIterator[Operator]:
    """An operator that keeps a fence, and the policies that read it."""
    kube = cluster.kube
    rules = [
        rule
        for role in installed.rights(VALUES)
        for rule in role.get("rules", ())
        if role["metadata"]["name"] == NAME and "fences" in rule["resources"]
    ]
    account = installed.USER.split(":")
    role: Object = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "fencer"}}
    binding = {
        **role,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fencer"},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[2], "name": account[3]}],
    }
    rights = [{**role, "rules": rules}, binding]
    await installed.install(kube, rights)
    try:
        async with installing(kube, policies()):
            operator = await operators.start(ns.name, options=["--fence", NAME])
            yield operator
            await operators.end_private()
            mistakes = operator.mistakes()
            assert not mistakes, f"the operator's log tells of mistakes: {mistakes}"
    finally:
        for each in rights:
            await kube.delete(installed.kind_of(each), "", "fencer")
        await kube.delete(FENCES, "", NAME, missing_ok=True)


class Crawler:
    """A service account that may write, and tokens of it that are bound to pods."""

    def __init__(self, cluster: Cluster, ns: Namespace, stack: AsyncExitStack) -> None:
        self._cluster = cluster
        self._ns = ns
        self._stack = stack

    async def runs(self, name: str, script: str = agents.graceful(), **spec: Any) -> Kube:
        """Have an agent run; return a client that has its token."""
        await self._ns.create_task(name, agents.template(script, serviceAccountName="crawler"), **spec)
        await self._ns.running(name)
        return await self.token_of(name)

    async def token_of(self, name: str) -> Kube:
        pod = (await self._ns.pod(name))["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["uid"]}
        body = {"spec": {"expirationSeconds": 3600, "boundObjectRef": bound}}
        made = await self._ns.kube.call("POST", ACCOUNTS.path(self._ns.name, "crawler", "token"), body)
        kube = await Kube.open(self._cluster.kubeconfig_of(made["status"]["token"]))
        self._stack.push_async_callback(kube.close)
        return kube


@pytest.fixture
async def crawler(cluster: Cluster, ns: Namespace) -> AsyncIterator[Crawler]:
    name = {"metadata": {"name": "crawler"}}
    await ns.kube.create(ACCOUNTS, ns.name, name)
    rules = [{"apiGroups": [group], "resources": [what], "verbs": list(verbs)} for group, what, verbs in RIGHTS]
    await ns.kube.create(ROLES, ns.name, {**name, "rules": rules})
    subject = {"kind": "ServiceAccount", "namespace": ns.name, "name": "crawler"}
    role = {"apiGroup": API_GROUP, "kind": "Role", "name": "crawler"}
    await ns.kube.create(ROLE_BINDINGS, ns.name, {**name, "roleRef": role, "subjects": [subject]})
    async with AsyncExitStack() as stack:
        yield Crawler(cluster, ns, stack)


async def may_write(kube: Kube, namespace: str) -> bool:
    try:
        body = {"metadata": {"name": "try"}}
        await kube.call("POST", CONFIG_MAPS.path(namespace), body, query={"dryRun": "All"})
    except KubeError as error:
        if REFUSED not in error.message:
            raise
        return False
    return True


async def fenced(cluster: Cluster) -> dict[str, str]:
    return dict((await cluster.kube.get(FENCES, "", NAME)).get("spec", {}).get("pods", {}))


async def test_the_token_of_a_stopped_agent_writes_nothing_more(
    cluster: Cluster, ns: Namespace, fence: Operator, crawler: Crawler
) -> None:
    """While it ends, when it has ended, and until its pod is gone; what is read goes on, and so do all others."""
    stopped, other = await crawler.runs("a", agents.DEAF), await crawler.runs("b")
    await ns.kube.create(CONFIG_MAPS, ns.name, {"metadata": {"name": "m"}})
    async with writing(ns.kube, ns.name, pause=0.05) as problems:
        assert await may_write(stopped, ns.name)
        await ns.stop("a")

        async def refused_by_now() -> bool:
            return not await may_write(stopped, ns.name)

        await until(refused_by_now, 20, "the token writes nothing more")
        await ns.phase("a", "Stopping")
        maps, body = CONFIG_MAPS.path(ns.name, "m"), {"data": {"a": "b"}}
        token = {"spec": {"expirationSeconds": 600}}
        for request in (
            stopped.merge(CONFIG_MAPS, ns.name, "m", body),
            stopped.call("PUT", maps, {"metadata": {"name": "m"}, **body}),
            stopped.delete(CONFIG_MAPS, ns.name, "m"),
            stopped.call("POST", ACCOUNTS.path(ns.name, "crawler", "token"), token),
            stopped.call("POST", PODS.path(ns.name, "b", "exec"), query={"command": "true", "stdout": "true"}),
        ):
            error = await refused(request)
            assert f"AgentTask {ns.name}/a was stopped, and {REFUSED}" in error.message
        assert (await stopped.get(CONFIG_MAPS, ns.name, "m"))["metadata"]["name"] == "m"
        assert await may_write(other, ns.name)
        await ns.ended("a")
        assert await may_write(stopped, ns.name) is False
        assert set((await fenced(cluster)).values()) == {f"{ns.name}/a"}
        await ns.delete_pod("a")

        async def nobody() -> bool:
            return not await fenced(cluster)

        await until(nobody, 60, "a pod that is gone leaves the fence")
    assert problems == []


async def test_an_agent_that_needs_the_api_to_end_well_may_ask_for_that(
    ns: Namespace, fence: Operator, crawler: Crawler
) -> None:
    after = await crawler.runs("a", agents.graceful(2), stop={"fence": "AfterGrace"})
    never = await crawler.runs("b", agents.graceful(0), stop={"fence": "Never"})
    for name in ("a", "b"):
        await ns.patch(name, stopRequested=True)
    await ns.phase("a", "Stopping")
    assert await may_write(after, ns.name)
    await ns.ended("a")

    async def refused_by_now() -> bool:
        return not await may_write(after, ns.name)

    await until(refused_by_now, 20, "once it has ended, its token writes nothing more")
    await ns.ended("b")
    assert await may_write(never, ns.name)


async def test_a_policy_whose_fence_nobody_knows_yet_refuses_nobody(
    cluster: Cluster, ns: Namespace, crawler: Crawler, operator: Operator
) -> None:
    """Its parameter is not there, or its kind is none that the API server serves; the policy counts all the same."""
    agent = await crawler.runs("a")
    policy, *others = policies()
    unknown = {**policy, "spec": {**policy["spec"], "paramKind": {**policy["spec"]["paramKind"], "kind": "NotYet"}}}
    for first in (policy, unknown):
        async with writing(cluster.kube, ns.name) as problems, installing(cluster.kube, [first, *others]):
            for _ in range(20):
                assert await may_write(agent, ns.name)
        assert problems == []
        await cluster.kube.delete(CONFIG_MAPS, ns.name, "others")


async def test_nobody_but_the_operator_changes_a_fence(
    cluster: Cluster, ns: Namespace, users: Users, fence: Operator, crawler: Crawler
) -> None:
    """Whoever deletes it lifts it; with the right to all of our kinds, too."""
    stopped = await crawler.runs("a")
    await ns.stop("a")
    await ns.ended("a")
    rules = [{"apiGroups": ["agentstop.dev"], "resources": ["fences"], "verbs": list(EDIT)}]
    await cluster.kube.create(CLUSTER_ROLES, "", {"metadata": {"name": "all-fences"}, "rules": rules})
    agent = await users.bind("agent", "all-fences", "")
    try:
        where = FENCES.path("", NAME)
        for request in (
            agent.delete(FENCES, "", NAME),
            agent.call("PATCH", where, {"spec": {"pods": None}}, content_type=MERGE),
            agent.create(FENCES, "", {"apiVersion": API_VERSION, "kind": "Fence", "metadata": {"name": "mine"}}),
        ):
            assert "only the operator writes it" in (await refused(request)).message
    finally:
        await cluster.kube.delete(CLUSTER_ROLES, "", "all-fences")
    assert await may_write(stopped, ns.name) is False


async def test_an_operator_that_starts_has_the_fence_as_it_was(
    cluster: Cluster, ns: Namespace, operators: Operators, fence: Operator, crawler: Crawler
) -> None:
    stopped = await crawler.runs("a")
    await ns.stop("a")
    await ns.ended("a")
    await fence.program.kill()
    await cluster.kube.delete(FENCES, "", NAME)
    await operators.start(ns.name, options=["--fence", NAME])

    async def refused_by_now() -> bool:
        return not await may_write(stopped, ns.name)

    await until(refused_by_now, 20, "the fence is there again")
