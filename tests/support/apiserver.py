"""A real etcd and kube-apiserver: processes of the tests, on loopback alone."""

import os
import secrets
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.kube import NAMESPACES, Kube, KubeError
from tests.support.programs import Program, free_port, running
from tests.support.waiting import PATIENCE, until

TOOLS = ("etcd", "kube-apiserver")
DEFAULT_ASSETS = "/usr/local/kubebuilder/bin"

GO: Mapping[str, str] = {"GOGC": "400"}
"""Environment of Kubernetes' own programs: what they spend on collecting garbage is better spent on tests."""

ADMIN = "admin"
"""User who may do everything."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A kube-apiserver that serves."""

    url: str
    tokens: Mapping[str, str]
    """By user; all but `ADMIN` have no right of their own."""
    certificate: Path
    kubeconfig: Path
    """As `ADMIN`."""
    server: Program

    @property
    def token(self) -> str:
        """`ADMIN`'s."""
        return self.tokens[ADMIN]

    def ssl(self) -> ssl.SSLContext:
        """Return what a client needs to trust it."""
        return ssl.create_default_context(cafile=str(self.certificate))


@asynccontextmanager
async def playground_server(
    folder: Path, *, crds: bool = True, forked: bool = True
) -> AsyncIterator[tuple[Program, Path]]:
    """Run the playground's API server, and yield it with its kubeconfig; not forked where it is measured."""
    kubeconfig, log, module = folder / "kubeconfig", folder / "server.log", "tests.support.serve_playground"
    arguments = [str(kubeconfig), *([] if crds else ["--without-crds"])]
    fresh = [sys.executable, "-m", module, *arguments]
    starting = Program.fork(module, arguments, log) if forked else Program.start(fresh, log)
    async with running(starting) as server:
        await until(lambda: server.check() and kubeconfig.exists(), PATIENCE, "playground serving")
        yield server, kubeconfig


def assets() -> Path:
    """Return the folder where Kubernetes' own test tools look for programs."""
    return Path(os.environ.get("KUBEBUILDER_ASSETS") or DEFAULT_ASSETS)


def missing() -> str | None:
    """Return why there can be no real API server, or None."""
    if not all((assets() / tool).exists() for tool in TOOLS):
        return f"no etcd and kube-apiserver in $KUBEBUILDER_ASSETS or {DEFAULT_ASSETS} (see setup-envtest)"
    return None if shutil.which("openssl") else "no openssl on PATH, which makes the real API server's key"


@asynccontextmanager
async def control_plane(
    folder: Path, users: Sequence[str] = (), environment: Mapping[str, str] | None = GO
) -> AsyncIterator[ControlPlane]:
    """Run etcd and kube-apiserver, with keys, certificates and tokens of their own; no controllers.

    `environment` is theirs besides ours: what is measured runs as it is shipped.
    """
    async with AsyncExitStack() as stack:
        etcd_port, peer_port, port = free_port(), free_port(), free_port()
        etcd_url, url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{port}"
        tokens = {user: secrets.token_hex(16) for user in (ADMIN, *users)}
        certificates = folder / "certificates"
        etcd = [str(assets() / "etcd"), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"]
        etcd += [f"--listen-client-urls={etcd_url}", f"--advertise-client-urls={etcd_url}"]
        etcd += [f"--listen-peer-urls=http://127.0.0.1:{peer_port}"]
        store = await stack.enter_async_context(running(Program.start(etcd, folder / "etcd.log", environment)))
        command = [str(assets() / "kube-apiserver"), f"--etcd-servers={etcd_url}", f"--cert-dir={certificates}"]
        command += ["--bind-address=127.0.0.1", f"--secure-port={port}", "--allow-privileged=true"]
        command += [f"--token-auth-file={_token_file(folder, tokens)}", "--authorization-mode=RBAC"]
        command += ["--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.0.0.0/24"]
        key = await _key(folder)
        command += ["--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"]
        command += [f"--service-account-signing-key-file={key}"]
        starting = Program.start(command, folder / "kube-apiserver.log", environment)
        server = await stack.enter_async_context(running(starting))
        certificate, kubeconfig = certificates / "apiserver.crt", folder / "kubeconfig"

        def certified() -> bool:
            # The key is written after the certificate.
            return store.check() and server.check() and certificate.with_suffix(".key").exists()

        await until(certified, PATIENCE, f"kube-apiserver with a certificate; see {folder}")
        write_kubeconfig(kubeconfig, url, tokens[ADMIN], certificate)
        kube = await Kube.open(kubeconfig)
        stack.push_async_callback(kube.close)

        async def ready() -> bool:
            try:
                return store.check() and server.check() and await _serves(kube)
            except (KubeError, aiohttp.ClientError):
                return False

        await until(ready, PATIENCE, f"kube-apiserver ready; see {folder}")
        yield ControlPlane(url, tokens, certificate, kubeconfig, server)


def write_kubeconfig(path: Path, url: str, token: str, certificate: Path | None) -> None:
    """Write a kubeconfig for the user of a token."""
    authority = {} if certificate is None else {"certificate-authority": str(certificate)}
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, **authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _token_file(folder: Path, tokens: Mapping[str, str]) -> Path:
    groups = {ADMIN: ",system:masters"}
    path = folder / "tokens.csv"
    path.touch(mode=0o600)
    lines = [f"{token},{user},{user}{groups.get(user, '')}\n" for user, token in tokens.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


async def _key(folder: Path) -> Path:
    key = folder / "accounts.key"
    maker = await Program.start(["openssl", "genrsa", "-out", str(key), "2048"], folder / "openssl.log")
    if await maker.ended(PATIENCE) != 0:
        raise RuntimeError(f"openssl made no key: {maker.text()}")
    return key


async def _serves(kube: Kube) -> bool:
    """Whether it is ready, and has made what every cluster begins with."""
    return await kube.text("/readyz") == "ok" and bool(await kube.get(NAMESPACES, "", "default"))
