"""The component on a node, as a process, on cgroups into which a test puts the processes of pods."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agentstop.node.cgroups import governs
from tests.support import cgroups
from tests.support.clusters import Cluster, Feature
from tests.support.kube import NODES, POD_CONTROLS, Object
from tests.support.namespaces import Namespace
from tests.support.operators import MODULE as CONSOLE
from tests.support.programs import Program, free_port
from tests.support.waiting import PATIENCE, until

MODULE = "tests.support.serve_component"


class NodeComponent:
    """One `agentstop node`, on the only node of a cluster."""

    def __init__(self, cluster: Cluster, namespace: str, root: Path, *, own: bool) -> None:
        """`own` says that the root is the test's own, in which the kubelet has no cgroups.

        It serves a namespace alone: the node is that of other tests, too, whose components have other roots.
        """
        self._cluster = cluster
        self._namespace = namespace
        self._own = own
        self._port = free_port()
        self._program: Program | None = None
        self.root = root
        self.proves = own or governs(root)
        """Whether the kernel's word is proof there: not where there are cgroups of version 1 besides."""

    async def start(self, kubeconfig: Path | None = None) -> None:
        """Start it, and wait until it is ready."""
        (node,) = await self._cluster.kube.list(NODES)
        arguments = ["node", "--node-name", node["metadata"]["name"], "--cgroup-root", str(self.root)]
        arguments += ["--health-port", str(self._port), "--metrics-port", str(self._port)]
        arguments += ["--namespace", self._namespace]
        log = self._cluster.folder / f"node-component-{secrets.token_hex(4)}.log"
        environment = {"KUBECONFIG": str(kubeconfig or self._cluster.kubeconfig)}
        program = self._program = await Program.fork(MODULE if self._own else CONSOLE, arguments, log, environment)

        async def ready() -> bool:
            return program.check() and (await self.get("/readyz"))[0] == 200

        await until(ready, PATIENCE, "the component ready")

    async def kill(self) -> None:
        """End it as a crash would."""
        assert self._program is not None
        await self._program.kill()

    async def end(self) -> None:
        """End it."""
        if self._program is not None:
            await self._program.end()
            assert "Traceback" not in self._program.text()

    async def get(self, path: str) -> tuple[int, str]:
        """Return the status and text of one of its pages; 0 where it does not listen."""
        try:
            url = f"http://127.0.0.1:{self._port}{path}"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def hold(self, ns: Namespace, pod: str) -> str:
        """Have the processes of a pod in its cgroup, where no kubelet has put them there; returns the pod's UID."""
        uid = str((await ns.pod(pod))["metadata"]["uid"])
        if self._own:
            cgroups.hold(self.root, uid, ns.processes(pod))
        return uid


@asynccontextmanager
async def component(cluster: Cluster, namespace: str) -> AsyncIterator[NodeComponent]:
    """A component of a cluster's node, started; on a whole cluster it works on the kubelet's own cgroups."""
    async with AsyncExitStack() as stack:
        if Feature.OWN_NODE in cluster.features:
            root = stack.enter_context(cgroups.real_root())
        else:
            places = [each for each in cgroups.MOUNTS if (each / "kubepods").is_dir() or any(each.glob("kubepods*"))]
            if not places or cgroups.missing():
                pytest.skip(cgroups.missing() or "the kubelet's cgroups are not those of this machine, of version 2")
            root = places[0]
        made = NodeComponent(cluster, namespace, root, own=Feature.OWN_NODE in cluster.features)
        await made.start()
        yield made
        await made.end()


async def controls(ns: Namespace) -> dict[str, Object]:
    """Return the PodControls of a namespace, by the UIDs of the pods."""
    return {each["metadata"]["name"]: each for each in await ns.kube.list(POD_CONTROLS, ns.name)}
