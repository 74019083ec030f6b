"""A real kube-apiserver with etcd, started where Kubernetes' own test tools look for the programs."""

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from .api import Endpoint

TOOLS = ("etcd", "kube-apiserver")
READY_TIMEOUT = 90.0


def folder() -> Path | None:
    """Where the programs are; None where they are not, or where there is no openssl to make a key with."""
    found = Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
    return found if all((found / tool).exists() for tool in TOOLS) and shutil.which("openssl") else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(programs: Path, work: Path) -> Iterator[Endpoint]:
    """Both programs on free ports of loopback; they are ended with the context."""
    token, client, peer, port = secrets.token_hex(16), _free_port(), _free_port(), _free_port()
    key = work / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (work / "tokens.csv").write_text(f"{token},test,test,system:masters\n", encoding="utf-8")
    commands = {
        "etcd": [
            f"--data-dir={work / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
        ],
        "kube-apiserver": [
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={work / 'certs'}",
            f"--token-auth-file={work / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ],
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, arguments in commands.items():
            with (work / f"{name}.log").open("wb") as log:
                started.append(subprocess.Popen([str(programs / name), *arguments], stdout=log, stderr=log))
        certificate = work / "certs" / "apiserver.crt"
        url = f"https://127.0.0.1:{port}"
        yield Endpoint(url, token, _wait_until_ready(url, token, certificate, work), real=True)
    finally:
        for program in reversed(started):
            program.terminate()
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _wait_until_ready(url: str, token: str, certificate: Path, work: Path) -> ssl.SSLContext:
    end = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        time.sleep(0.2)
        if not certificate.exists():
            continue
        context = ssl.create_default_context(cafile=str(certificate))
        request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=context, timeout=5):  # noqa: S310
                return context
        except (URLError, OSError):
            continue
    raise RuntimeError(f"kube-apiserver was not ready in {READY_TIMEOUT} s; its log is in {work}")
