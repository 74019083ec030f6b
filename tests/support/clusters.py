"""The clusters that the integration tests run on, from nothing but a folder for their files."""

import enum
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from agentstop.api.crd import crds
from tests.support import apiserver, controllers, definitions, installed
from tests.support.kube import NODES, PODS, Kube, KubeError
from tests.support.programs import Program
from tests.support.waiting import PATIENCE, until

NODE = "playground"
OPERATOR_USER = "agentstop-operator"
"""User without any right of its own, for tests that give it some."""


TESTED_KINDS = {"test.agentstop.dev": "crews"}
"""Groups and resources of kinds that tests make: an operator may stop them because `rbac.extraRules` has them."""


class Feature(enum.Enum):
    """What not every cluster can do."""

    REHEARSAL = "the node plays dead on request"
    KUBELET_COMMAND = "its kubelet can be ended (--kubelet-command)"
    MEMORY_LIMITS = "containers are held to their memory limits"
    IMAGE_CHANGES = "containers are started anew when somebody changes their image"
    PROCESSES = "containers are processes of this machine"
    PAPER_NODES = "nobody looks after nodes, so that a test may write what they say"
    OWN_SERVER = "the API server is a process of the tests, which they may halt"
    OWN_CONTROLLERS = "the controllers of Jobs and the like are a process of the tests, which they may halt"
    OWN_NODE = "the node is a process of the tests, which they may start anew"
    RBAC = "users can be given single rights"
    GARBAGE_COLLECTION = "what an object owns goes with it"
    POD_LOGS = "the API server serves pods' logs"
    SANDBOX_QUIRKS = "its sandbox controller misbehaves on request"
    RAY_CLUSTERS = "somebody looks after RayClusters"


STANDING_IN = frozenset({Feature.SANDBOX_QUIRKS, Feature.RAY_CLUSTERS})
"""What is so where the playground's controllers look after custom kinds."""


@dataclass
class Cluster:
    """One cluster."""

    name: str
    kubeconfig: Path
    kube: Kube
    features: frozenset[Feature]
    folder: Path
    """For files of the tests."""
    server: Program | None = None
    """The API server, where it is a process of the tests."""
    controllers: Program | None = None
    """What looks after Jobs, Deployments, ReplicaSets and StatefulSets, where it is a process of the tests."""
    node: Program | None = None
    """The playground's node, where that is the one."""
    component: bool = False
    """Whether that node answers PodControls, by signals."""
    operator_token: str | None = None
    """Token of `OPERATOR_USER`."""
    operator_kubeconfig: Path | None = None
    """Of a user with the chart's rights for an operator, and no others, where the cluster tells rights apart."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Tokens of all users of a real API server, by name."""
    shares_namespaces: bool = False
    """Whether others use the cluster: then an operator must keep to its own namespaces."""
    job_controller: bool = False
    """Whether Kubernetes' own controllers look after Jobs, Deployments, ReplicaSets and StatefulSets."""
    kubelet_command: str | None = None
    """Ends and starts the kubelet, called with `stop` and `start`."""

    async def logs(self, namespace: str, pod: str, container: str = "agent") -> str:
        """Return what a container wrote."""
        if Feature.POD_LOGS in self.features:
            return await self.kube.text(PODS.path(namespace, pod, "log"), {"container": container})
        node = await self.kube.get(NODES, "", NODE)
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        url = f"http://127.0.0.1:{port}/containerLogs/{namespace}/{pod}/{container}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        if answer.status >= 400:
            raise KubeError(answer.status, {"message": text})
        return text

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Halt the API server: it takes connections, and answers nothing."""
        assert self.server is not None
        with _halted(self.server):
            yield

    @contextmanager
    def controllers_halted(self) -> Iterator[None]:
        """Halt the controllers of Jobs and the like: they notice nothing before they go on."""
        assert self.controllers is not None
        with _halted(self.controllers):
            yield

    async def start_node(self) -> None:
        """Start the playground's node; returns once it is ready."""
        arguments = ["--name", NODE, "--kubeconfig", str(self.kubeconfig), "--data-dir", str(self.folder / "node")]
        arguments += ["--component"] if self.component else []
        node = self.node = await Program.fork("agentstop_playground.node", arguments, self.folder / "node.log")

        async def ready() -> bool:
            return node.check() and any(is_ready(each) for each in await self.kube.list(NODES))

        await until(ready, PATIENCE, "the node ready")

    async def reboot_node(self) -> None:
        """End the playground's node with all that runs on it, and start it anew, as a machine that is rebooted."""
        assert self.node is not None
        await self.node.end()
        await self.start_node()

    def kubeconfig_of(self, token: str) -> Path:
        """Return a kubeconfig like the cluster's own for the user of another token."""
        content: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        content["users"][0]["user"] = {"token": token}
        path = self.folder / f"{secrets.token_hex(4)}.kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path


@asynccontextmanager
async def playground(folder: Path, *, crds: bool = True, component: bool = False) -> AsyncIterator[Cluster]:
    """The playground: its API server, its controllers, its node; with the `component` of that, if wanted."""
    async with AsyncExitStack() as stack:
        server, kubeconfig = await stack.enter_async_context(apiserver.playground_server(folder, crds=crds))
        kube = await Kube.open(kubeconfig)
        stack.push_async_callback(kube.close)
        await definitions.install(kube, definitions.custom())
        features = {Feature.OWN_SERVER, Feature.GARBAGE_COLLECTION, Feature.POD_LOGS, *STANDING_IN}
        cluster = Cluster("playground", kubeconfig, kube, frozenset(features), folder, server, component=component)
        ours = controllers.playground(kubeconfig, folder, job_controller=False)
        cluster.controllers = await stack.enter_async_context(ours)
        cluster.features |= {Feature.OWN_CONTROLLERS}
        await stack.enter_async_context(_node(cluster))
        yield cluster


@asynccontextmanager
async def real(folder: Path, *, users: Sequence[str] = (), crds: bool = True) -> AsyncIterator[Cluster]:
    """A real kube-apiserver with etcd, Kubernetes' own controllers where they are found, and the playground's node.

    `users` are known to it besides the usual ones; a service account is one by the name that Kubernetes gives it.
    With `crds` our definitions are there, and operators run with the rights that the chart gives them, and no others.
    """
    job_controller = controllers.has_manager()
    async with AsyncExitStack() as stack:
        known = [OPERATOR_USER, installed.USER, *users]
        plane = await stack.enter_async_context(apiserver.control_plane(folder, known))
        kube = await Kube.open(plane.kubeconfig)
        stack.push_async_callback(kube.close)
        if crds:
            await install_crds(kube)
        await definitions.install(kube, definitions.custom())
        features = {Feature.OWN_SERVER, Feature.OWN_CONTROLLERS, Feature.RBAC, *STANDING_IN}
        manager: Program | None = None
        if job_controller:
            manager = await stack.enter_async_context(controllers.kubernetes(plane, folder))
            features.add(Feature.GARBAGE_COLLECTION)
        cluster = Cluster(
            "apiserver",
            plane.kubeconfig,
            kube,
            frozenset(features),
            folder,
            plane.server,
            operator_token=plane.tokens[OPERATOR_USER],
            tokens=plane.tokens,
            job_controller=job_controller,
        )
        if crds:
            await installed.install(kube, installed.operator_rights(TESTED_KINDS))
            cluster.operator_kubeconfig = cluster.kubeconfig_of(plane.tokens[installed.USER])
        ours = controllers.playground(plane.kubeconfig, folder, job_controller=job_controller)
        program = await stack.enter_async_context(ours)
        cluster.controllers = manager or program
        await stack.enter_async_context(_node(cluster))
        yield cluster


@asynccontextmanager
async def whole(kubeconfig: Path, folder: Path, kubelet_command: str | None = None) -> AsyncIterator[Cluster]:
    """A cluster that is there already, with a kubelet."""
    kube = await Kube.open(kubeconfig)
    try:
        await install_crds(kube)
        features = {Feature.GARBAGE_COLLECTION, Feature.POD_LOGS, Feature.MEMORY_LIMITS, Feature.IMAGE_CHANGES}
        if not await definitions.belong_to_others(kube):
            await definitions.install(kube, definitions.sandboxes())
            if not await controllers.is_at_work(kube, "sandbox"):
                features.add(Feature.SANDBOX_QUIRKS)
        if kubelet_command is not None:
            features.add(Feature.KUBELET_COMMAND)
        yield Cluster(
            "whole",
            kubeconfig,
            kube,
            frozenset(features),
            folder,
            shares_namespaces=True,
            job_controller=True,
            kubelet_command=kubelet_command,
        )
    finally:
        await kube.close()


@asynccontextmanager
async def looked_after(cluster: Cluster, namespace: str) -> AsyncIterator[None]:
    """See to it that every kind of workload in a namespace has its controller."""
    if cluster.shares_namespaces and Feature.SANDBOX_QUIRKS in cluster.features:
        async with controllers.playground(
            cluster.kubeconfig, cluster.folder, job_controller=cluster.job_controller, namespaces=[namespace]
        ):
            yield
    else:
        yield


async def install_crds(kube: Kube) -> None:
    """Install our definitions where they are missing, and wait until they are served."""
    await definitions.install(kube, crds().values())


@asynccontextmanager
async def _node(cluster: Cluster) -> AsyncIterator[None]:
    cluster.features |= {Feature.REHEARSAL, Feature.PROCESSES, Feature.PAPER_NODES, Feature.OWN_NODE}
    try:
        await cluster.start_node()
        yield
    finally:
        if cluster.node is not None:
            await cluster.node.end()


@contextmanager
def _halted(program: Program) -> Iterator[None]:
    program.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.signal(signal.SIGCONT)


def is_ready(node: dict[str, Any]) -> bool:
    """Whether a Node's Ready condition holds."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
