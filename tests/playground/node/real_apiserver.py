"""A kube-apiserver with etcd for the node's tests, where Kubernetes' own test tools look for them."""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from agentstop.playground.node.guardian.process_tree import PR_SET_PDEATHSIG, prctl

READY_TIMEOUT = 60.0
TOOLS = ("etcd", "kube-apiserver")


@dataclass(frozen=True)
class Endpoint:
    """How to reach an API server."""

    url: str
    token: str
    ssl: ssl.SSLContext | None
    kubeconfig: Path


def assets() -> Path | None:
    """The folder with the programs, or None."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
    return folder if all((folder / tool).exists() for tool in TOOLS) and shutil.which("openssl") else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_kubeconfig(path: Path, url: str, token: str, ca_file: Path | None) -> None:
    authority = f"\n    certificate-authority: {ca_file}" if ca_file else ""
    path.write_text(
        f"""apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters:
- name: test
  cluster:
    server: {url}{authority}
users: [{{name: test, user: {{token: "{token}"}}}}]
""",
        encoding="utf-8",
    )


@contextmanager
def running(folder: Path) -> Iterator[Endpoint]:
    """Start etcd and kube-apiserver on free ports of loopback, and end them."""
    tools = assets()
    assert tools is not None
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},test,test,system:masters\n", encoding="utf-8")
    key = folder / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    etcd = [str(tools / "etcd"), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"]
    etcd += ["--listen-client-urls", f"http://127.0.0.1:{etcd_port}"]
    etcd += ["--advertise-client-urls", f"http://127.0.0.1:{etcd_port}"]
    etcd += ["--listen-peer-urls", f"http://127.0.0.1:{peer_port}"]
    apiserver = [str(tools / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{etcd_port}"]
    apiserver += ["--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={folder / 'certs'}"]
    apiserver += [f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC"]
    apiserver += ["--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.0.0.0/24"]
    apiserver += ["--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"]
    apiserver += [f"--service-account-signing-key-file={key}", "--allow-privileged=true"]
    programs: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in (("etcd", etcd), ("kube-apiserver", apiserver)):
            with (folder / f"{name}.log").open("wb") as log:
                programs.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_us))
        certificate = folder / "certs" / "apiserver.crt"
        url = f"https://127.0.0.1:{port}"
        context = _wait_until_ready(url, token, certificate, folder)
        write_kubeconfig(folder / "kubeconfig", url, token, certificate)
        yield Endpoint(url, token, context, folder / "kubeconfig")
    finally:
        for program in reversed(programs):
            program.terminate()
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _end_with_us() -> None:
    # However the test run ends: nothing of it stays.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_ready(url: str, token: str, certificate: Path, folder: Path) -> ssl.SSLContext:
    end = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        if certificate.exists():
            context = ssl.create_default_context(cafile=str(certificate))
            request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - our own
            try:
                with urllib.request.urlopen(request, context=context, timeout=5) as answer:  # noqa: S310 - our own
                    if answer.status == 200:
                        return context
            except (URLError, OSError):
                time.sleep(0.1)
        time.sleep(0.1)
    raise RuntimeError(f"kube-apiserver was not ready in {READY_TIMEOUT} s; see {folder}")
