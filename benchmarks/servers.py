"""API servers to measure on: a cluster's, a real one of our own, or the playground's."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from benchmarks.api import Api, RequestFailedError
from benchmarks.operator_process import end_with_us

READY_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 10.0
DEFAULT_ASSETS: Final = "/usr/local/kubebuilder/bin"


class ServerFailedError(Exception):
    """An API server could not be had; the message says what to do."""


class Jobs(Enum):
    """Whether there is a Job controller to compare with."""

    NONE = "none"
    THEIRS = "theirs"
    """It runs already, set up as whoever runs it likes."""
    OURS = "ours"


@dataclass
class Server:
    """An API server; KUBECONFIG in the environment leads to it while it is there."""

    name: str
    throwaway: bool
    """Whether it ends with the run, so that nothing has to be cleaned up."""
    jobs: Jobs
    note: str
    """What has to be known of its Job controller."""
    job_controller: Callable[[int | None], AbstractContextManager[None]] = lambda _: nullcontext()
    """Runs the Job controller where it is ours, with so many requests a second for its client, or as it is shipped."""


@contextmanager
def given(kubeconfig: Path) -> Iterator[Server]:
    """Use the cluster of a kubeconfig."""
    if not kubeconfig.exists():
        raise ServerFailedError(f"there is no kubeconfig at {kubeconfig}")
    with _environment(kubeconfig):
        yield Server(f"cluster of {kubeconfig.name}", throwaway=False, jobs=Jobs.THEIRS, note="its own Job controller")


@contextmanager
def playground(folder: Path) -> Iterator[Server]:
    """Start the playground's API server in a process of its own."""
    kubeconfig = folder / "kubeconfig"
    with ExitStack() as stack:
        command = [sys.executable, "-m", "benchmarks.playground_server", str(kubeconfig)]
        stack.enter_context(_program(command, folder / "playground.log"))
        _wait_for(kubeconfig.exists, "the playground", folder)
        stack.enter_context(_environment(kubeconfig))
        yield Server(
            "playground", throwaway=True, jobs=Jobs.NONE, note="the playground has no Job controller to compare with"
        )


@contextmanager
def assets(folder: Path) -> Iterator[Server]:
    """Start etcd, kube-apiserver and, where it is beside them, kube-controller-manager with its Job controller."""
    tools = Path(os.environ.get("KUBEBUILDER_ASSETS", DEFAULT_ASSETS))
    for tool in ("etcd", "kube-apiserver"):
        if not (tools / tool).exists():
            raise ServerFailedError(f"there is no {tool} in {tools}; set KUBEBUILDER_ASSETS to a folder with both")
    if shutil.which("openssl") is None:
        raise ServerFailedError("openssl is not installed; it makes the keys of the API server")
    etcd, peer, port = _free_ports(3)
    token = secrets.token_hex(16)
    tokens, key, kubeconfig = folder / "tokens.csv", folder / "sa.key", folder / "kubeconfig"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token},bench,bench,system:masters\n", encoding="ascii")
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    with ExitStack() as stack:
        stack.enter_context(
            _program(
                [
                    str(tools / "etcd"),
                    f"--data-dir={folder / 'etcd'}",
                    "--unsafe-no-fsync",
                    f"--listen-client-urls=http://127.0.0.1:{etcd}",
                    f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                    f"--listen-peer-urls=http://127.0.0.1:{peer}",
                ],
                folder / "etcd.log",
            )
        )
        stack.enter_context(
            _program(
                [
                    str(tools / "kube-apiserver"),
                    f"--etcd-servers=http://127.0.0.1:{etcd}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    f"--cert-dir={folder / 'certs'}",
                    f"--token-auth-file={tokens}",
                    "--authorization-mode=RBAC",
                    "--disable-admission-plugins=ServiceAccount",
                    "--service-cluster-ip-range=10.0.0.0/24",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={key}",
                    f"--service-account-signing-key-file={key}",
                ],
                folder / "kube-apiserver.log",
            )
        )
        certificate = folder / "certs" / "apiserver.crt"
        _wait_for(certificate.exists, "kube-apiserver", folder)
        _write_kubeconfig(kubeconfig, f"https://127.0.0.1:{port}", token, certificate)
        stack.enter_context(_environment(kubeconfig))
        _wait_for(lambda: asyncio.run(_answers()), "kube-apiserver", folder)
        manager = tools / "kube-controller-manager"
        if not manager.exists():
            yield Server("kube-apiserver", True, Jobs.NONE, f"there is no kube-controller-manager in {tools}")
            return
        yield Server(
            "kube-apiserver",
            throwaway=True,
            jobs=Jobs.OURS,
            note="the Job controller runs without its limit of 20 requests a second, except where it says 'as shipped'",
            job_controller=lambda rate: _program(
                _job_controller(manager, kubeconfig, rate), folder / f"job-controller-{rate or 'shipped'}.log"
            ),
        )


def _job_controller(program: Path, kubeconfig: Path, rate: int | None) -> list[str]:
    """Return the command that runs the Job controller alone.

    Its client is limited to 20 requests a second as it is shipped.
    Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
    """
    command = [
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--controllers=job-controller",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    return command if rate is None else [*command, f"--kube-api-qps={rate}", f"--kube-api-burst={rate}"]


def _write_kubeconfig(path: Path, url: str, token: str, certificate: Path) -> None:
    path.touch(mode=0o600)
    path.write_text(
        f"""apiVersion: v1
kind: Config
current-context: bench
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
clusters: [{{name: bench, cluster: {{server: "{url}", certificate-authority: "{certificate}"}}}}]
users: [{{name: bench, user: {{token: "{token}"}}}}]
""",
        encoding="utf-8",
    )


async def _answers() -> bool:
    """Whether the API server is ready, and has set up what every namespace needs."""
    try:
        async with await Api.connect() as api:
            await api.call("GET", "/api/v1/namespaces/default")
            return True
    except (RequestFailedError, OSError):
        return False


def _wait_for(there: Callable[[], bool], what: str, folder: Path) -> None:
    end = time.monotonic() + READY_TIMEOUT_SECONDS
    while not there():
        if time.monotonic() > end:
            raise ServerFailedError(f"{what} was not ready within {READY_TIMEOUT_SECONDS:.0f} s; see {folder}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def _program(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=end_with_us)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _environment(kubeconfig: Path) -> Iterator[None]:
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    try:
        yield
    finally:
        del os.environ["KUBECONFIG"]
        if before is not None:
            os.environ["KUBECONFIG"] = before


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for keys, logs and data; it goes when the run ends well, and stays to be read otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="agentstop-bench-"))
    yield folder
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
