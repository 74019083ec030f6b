"""The clusters that the integration tests run on, from nothing but a folder for their files."""

import asyncio
import enum
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from agentstop.api.crd import crds
from tests.support.kube import CRDS, NODES, PODS, TASKS, Kube, KubeError
from tests.support.programs import Program, free_port

START_SECONDS = 90.0
"""How long a cluster may take to come up; a loaded machine needs some of it."""

NODE = "playground"
OPERATOR_USER = "agentstop-operator"
"""User without any right of its own, for tests that give it some."""

TOOLS = ("etcd", "kube-apiserver")


class Feature(enum.Enum):
    """What not every cluster can do."""

    REHEARSAL = "the node plays dead on request"
    KUBELET_COMMAND = "its kubelet can be ended (--kubelet-command)"
    MEMORY_LIMITS = "containers are held to their memory limits"
    PROCESSES = "containers are processes of this machine"
    PAPER_NODES = "nobody looks after nodes, so that a test may write what they say"
    OWN_SERVER = "the API server is a process of the tests, which they may halt"
    RBAC = "users can be given single rights"
    GARBAGE_COLLECTION = "what an object owns goes with it"
    POD_LOGS = "the API server serves pods' logs"


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
    operator_token: str | None = None
    """Token of `OPERATOR_USER`."""
    shares_namespaces: bool = False
    """Whether others use the cluster: then an operator must keep to its own namespaces."""
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
        self.server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)

    def kubeconfig_of(self, token: str) -> Path:
        """Return a kubeconfig like the cluster's own for the user of another token."""
        content: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        content["users"][0]["user"] = {"token": token}
        path = self.folder / f"{secrets.token_hex(4)}.kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path


async def until(check: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until a check is true; raises AssertionError after the time. It may be a coroutine function."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                result = check()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still not: {what}") from None


@asynccontextmanager
async def playground(folder: Path, *, crds: bool = True, node: bool = True) -> AsyncIterator[Cluster]:
    """The playground's API server and node."""
    kubeconfig = folder / "kubeconfig"
    script = Path(__file__).with_name("serve_playground.py")
    async with AsyncExitStack() as stack:
        command = [sys.executable, str(script), str(kubeconfig), *([] if crds else ["--without-crds"])]
        server = await _start(stack, command, folder / "server.log")
        await until(lambda: kubeconfig.exists() or _failed(server), START_SECONDS, "playground serving")
        kube = await Kube.open(kubeconfig)
        stack.push_async_callback(kube.close)
        features = {Feature.OWN_SERVER, Feature.GARBAGE_COLLECTION, Feature.POD_LOGS}
        cluster = Cluster("playground", kubeconfig, kube, frozenset(features), folder, server)
        if node:
            await _add_node(stack, cluster)
        yield cluster


@asynccontextmanager
async def apiserver(folder: Path) -> AsyncIterator[Cluster]:
    """A real kube-apiserver with etcd, and the playground's node; no controllers, so nothing collects garbage."""
    tools = assets()
    assert tools is not None
    async with AsyncExitStack() as stack:
        etcd_port, peer_port, port = free_port(), free_port(), free_port()
        etcd_url, url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{port}"
        admin, operator = secrets.token_hex(16), secrets.token_hex(16)
        tokens = folder / "tokens.csv"
        tokens.write_text(f"{admin},admin,admin,system:masters\n{operator},{OPERATOR_USER},{OPERATOR_USER}\n")
        tokens.chmod(0o600)
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)  # noqa: ASYNC221  (short)
        etcd = [str(tools / "etcd"), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"]
        etcd += [f"--listen-client-urls={etcd_url}", f"--advertise-client-urls={etcd_url}"]
        etcd += [f"--listen-peer-urls=http://127.0.0.1:{peer_port}"]
        await _start(stack, etcd, folder / "etcd.log")
        certificates = folder / "certificates"
        command = [str(tools / "kube-apiserver"), f"--etcd-servers={etcd_url}", f"--cert-dir={certificates}"]
        command += ["--bind-address=127.0.0.1", f"--secure-port={port}", f"--token-auth-file={tokens}"]
        command += ["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"]
        command += ["--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://localhost"]
        command += [f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"]
        server = await _start(stack, command, folder / "kube-apiserver.log")
        certificate = certificates / "apiserver.crt"
        await until(lambda: certificate.exists() or _failed(server), START_SECONDS, "kube-apiserver's certificate")
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(url, admin, certificate)), encoding="utf-8")
        kube = await Kube.open(kubeconfig)
        stack.push_async_callback(kube.close)

        async def ready() -> bool:
            try:
                return not _failed(server) and await kube.text("/readyz") == "ok"
            except (KubeError, aiohttp.ClientError):
                return False

        await until(ready, START_SECONDS, f"kube-apiserver ready; see {folder}")
        await install_crds(kube)
        features = {Feature.OWN_SERVER, Feature.RBAC}
        cluster = Cluster("apiserver", kubeconfig, kube, frozenset(features), folder, server, operator)
        await _add_node(stack, cluster)
        yield cluster


@asynccontextmanager
async def whole(kubeconfig: Path, folder: Path, kubelet_command: str | None = None) -> AsyncIterator[Cluster]:
    """A cluster that is there already, with a kubelet."""
    kube = await Kube.open(kubeconfig)
    try:
        await install_crds(kube)
        features = {Feature.GARBAGE_COLLECTION, Feature.POD_LOGS, Feature.MEMORY_LIMITS}
        if kubelet_command is not None:
            features.add(Feature.KUBELET_COMMAND)
        yield Cluster(
            "whole",
            kubeconfig,
            kube,
            frozenset(features),
            folder,
            shares_namespaces=True,
            kubelet_command=kubelet_command,
        )
    finally:
        await kube.close()


async def install_crds(kube: Kube) -> None:
    """Install our definitions where they are missing, and wait until they are served."""
    for definition in crds().values():
        try:
            await kube.create(CRDS, "", definition)
        except KubeError as error:
            if error.code != 409:
                raise

    async def served() -> bool:
        try:
            await kube.list(TASKS)
        except KubeError:
            return False
        return True

    await until(served, START_SECONDS, "agenttasks served")


def assets() -> Path | None:
    """Return the folder with etcd and kube-apiserver, where Kubernetes' own test tools look; None without them."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
    return folder if all((folder / tool).exists() for tool in TOOLS) else None


def missing() -> str | None:
    """Return why there can be no real API server, or None."""
    if assets() is None:
        return "no etcd and kube-apiserver in $KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin (see setup-envtest)"
    return None if shutil.which("openssl") else "no openssl on PATH, which makes the real API server's key"


async def _start(stack: AsyncExitStack, command: list[str], log: Path) -> Program:
    program = await Program.start(command, log)
    stack.push_async_callback(program.end)
    return program


def _failed(program: Program) -> bool:
    if not program.running:
        raise RuntimeError(f"{program.log.stem} ended: {program.text()[-2000:]}")
    return False


def _kubeconfig(url: str, token: str, certificate: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(certificate)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


async def _add_node(stack: AsyncExitStack, cluster: Cluster) -> None:
    command = [sys.executable, "-m", "agentstop.playground.node", "--name", NODE]
    command += ["--kubeconfig", str(cluster.kubeconfig), "--data-dir", str(cluster.folder / "node")]
    node = await _start(stack, command, cluster.folder / "node.log")
    cluster.features |= {Feature.REHEARSAL, Feature.PROCESSES, Feature.PAPER_NODES}

    async def ready() -> bool:
        nodes = [] if _failed(node) else await cluster.kube.list(NODES)
        return any(is_ready(each) for each in nodes)

    await until(ready, START_SECONDS, "the node ready")


def is_ready(node: dict[str, Any]) -> bool:
    """Whether a Node's Ready condition holds."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
