"""The image as built from the Dockerfile: what is in it, how big it is, and that it runs as it will on a cluster."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agentstop import __version__
from tests.support import clusters
from tests.support.kube import TASKS
from tests.support.operators import Operator as Running
from tests.support.programs import Program, free_port
from tests.support.waiting import PATIENCE, until

from .build import Build
from .chroots import PYTHON
from .dockerfile import ROOT, read

pytestmark = pytest.mark.xdist_group("image")
"""One process runs all of these, so that the image is built once."""

LIMIT_BYTES = 150_000_000

BASE_BYTES = 60_000_000
"""What is counted for the image that ours is based on: the sum of what Debian says that its packages take installed."""

USER = 65532

UNWANTED = ("pip", "pip3", "gcc", "cc", "ld", "as", "make", "sh", "bash", "dash", "apt", "dpkg", "wheel", "uv")
UNWANTED_PACKAGES = ("pip", "setuptools", "wheel", "hatchling", "ensurepip", "pytest")

OF_THE_PLAYGROUND = ("agentstop_playground", "cel_expr_python", "jsonschema", "rich")

PACKAGE = ROOT / "operator/agentstop"

TASK = """
apiVersion: agentstop.dev/v1alpha1
kind: AgentTask
metadata:
  name: brief
spec:
  podTemplate:
    spec:
      containers:
      - {name: agent, image: busybox, command: [sleep, "60"]}
"""


def sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.stat().st_size


def run(image: Build, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run something in the image as its user, with a root that nothing can be written to."""
    return subprocess.run(
        image.root.command(arguments, image.folder, image.user, read_only=True),
        env=image.environment | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def entrypoint() -> list[str]:
    _, (_, final) = read()
    return final.all("ENTRYPOINT")[-1].words


def test_nothing_is_in_it_to_build_or_install_with(image: Build) -> None:
    names = {path.name for path in (image.root.path / "opt").rglob("*")} | {
        path.name for path in (image.root.path / "usr/bin").iterdir()
    }
    assert "agentstop" in names
    assert not names & {*UNWANTED, *UNWANTED_PACKAGES, *OF_THE_PLAYGROUND}
    assert sorted(path.name for path in (image.root.path / "opt/agentstop/bin").iterdir()) == [
        "agentstop",
        "python",
        "python3",
        PYTHON,
    ]


def test_it_is_small(image: Build) -> None:
    ours = sum(sizes(image.root.path / "opt"))
    compiled = sum(path.stat().st_size for path in (image.root.path / "usr/lib" / PYTHON).rglob("*.pyc"))
    print(f"ours {ours / 1e6:.1f} MB, Python's own library compiled {compiled / 1e6:.1f} MB")
    assert ours + compiled + BASE_BYTES < LIMIT_BYTES


def test_everything_that_is_loaded_at_its_start_is_compiled(image: Build) -> None:
    code = (
        "import sys, agentstop.controller.operator\n"
        "print(*(m.__cached__ for m in sys.modules.values() if getattr(m, '__cached__', None)), sep='\\n')"
    )
    done = run(image, "/opt/agentstop/bin/python3", "-c", code)
    compiled = [image.root.path / line.lstrip("/") for line in done.stdout.split()]
    assert len(compiled) > 500, done.stderr
    assert not [path for path in compiled if not path.exists()]


def test_nothing_can_be_written(image: Build) -> None:
    done = run(image, "/usr/bin/python3", "-c", "open('/tmp/x', 'w')")
    assert "Read-only file system" in done.stderr
    done = run(image, "/usr/bin/python3", "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())")
    assert done.stdout == f"{USER} {USER} []\n"


def test_it_says_its_version(image: Build) -> None:
    done = run(image, *entrypoint(), "--version")
    assert (done.stdout, done.stderr) == (f"agentstop {__version__}\n", "")
    done = run(image, "agentstop", "--help")
    assert "Stops AI-agent work on Kubernetes" in done.stdout


def test_a_missing_kubeconfig_is_told_in_one_line(image: Build) -> None:
    done = run(image, *entrypoint(), "run")
    assert done.returncode == 1
    assert done.stderr.startswith("agentstop: no kubeconfig at")
    assert done.stderr.count("\n") == 1


def names_of_the_client() -> set[tuple[str, str]]:
    """Return the modules of the Kubernetes client that the operator loads names from, and the names: no other way."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Import) and any(each.name.startswith("kubernetes") for each in node.names))
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kubernetes":
                found |= {(str(node.module), name.name) for name in node.names}
    return found


def test_of_the_kubernetes_client_all_is_there_that_the_operator_names(image: Build) -> None:
    names = names_of_the_client()
    assert len(names) >= 4
    code = "\n".join(f"from {module} import {name}" for module, name in sorted(names))
    done = run(image, "/opt/agentstop/bin/python3", "-c", code)
    assert done.returncode == 0, done.stderr
    done = run(image, "/opt/agentstop/bin/python3", "-c", "from kubernetes.aio.client import CoreV1Api")
    assert "ModuleNotFoundError" in done.stderr


async def test_it_stops_a_task(image: Build, tmp_path: Path) -> None:
    async with clusters.playground(tmp_path) as cluster:
        kubeconfig = image.root.path / "kubeconfig"
        kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
        kubeconfig.chmod(0o444)
        port = free_port()
        options = ["--health-port", str(port), "--metrics-port", str(port), "--log-format", "json"]
        command = image.root.command([*entrypoint(), "run", *options], image.folder, USER, read_only=True)
        environment = [f"{name}={value}" for name, value in (image.environment | {"KUBECONFIG": "/kubeconfig"}).items()]
        command = ["env", "--ignore-environment", *environment, *command]
        program = await Program.start(command, tmp_path / "operator.log")
        try:
            operator = Running(program, port)
            await operator.ready()
            await cluster.kube.create(TASKS, "default", yaml.safe_load(TASK))
            await phase(cluster, "Running")
            stop = {"stopRequested": True, "stop": {"gracePeriodSeconds": 1}}
            await cluster.kube.merge(TASKS, "default", "brief", {"spec": stop})
            await phase(cluster, "Stopped")
            status, metrics = await operator.get("/metrics")
            assert status == 200
            assert f'agentstop_build_info{{version="{__version__}"}} 1.0' in metrics
            assert not operator.mistakes()
        finally:
            assert await program.end() == 0


async def phase(cluster: clusters.Cluster, wanted: str) -> None:
    async def reached() -> bool:
        task = await cluster.kube.get(TASKS, "default", "brief")
        return bool(task.get("status", {}).get("phase") == wanted)

    await until(reached, PATIENCE, wanted)
