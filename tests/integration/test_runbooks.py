"""The commands of the runbooks, on a real API server with an operator's objects."""

import os
import shlex
import shutil
import subprocess

import pytest

from tests.docs.documents import ROOT, blocks
from tests.support import agents
from tests.support.kube import DEPLOYMENTS, Kind
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
LEASES = Kind("/apis/coordination.k8s.io/v1", "leases")
SYSTEM = "agentstop-system"

NOT_TO_BE_HAD = {"logs", "top", "rollout", "agentstop"}
"""Verbs that take a kubelet, its metrics, a controller, or our plugin; of these only the flags are looked at, and the
plugin's are in tests/docs."""

SECONDS = 60


def commands() -> list[tuple[str, str]]:
    found = [(path.stem, command) for path in RUNBOOKS for block in blocks(path) for command in block.commands]
    return list({command: (name, command) for name, command in found}.values())


def kubectl(words: list[str], kubeconfig: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KUBECONFIG": kubeconfig}
    return subprocess.run(words, env=environment, text=True, capture_output=True, timeout=SECONDS, check=False)


async def prepare(ns: Namespace) -> None:
    """Make what the runbooks speak of: a task that runs, and the operator's own objects."""
    await ns.create_task("a", agents.template())
    await ns.running("a")
    labels = {"app.kubernetes.io/name": "agentstop"}
    pod = {"metadata": {"labels": labels}, "spec": agents.pod_spec()}
    deployment = {"selector": {"matchLabels": labels}, "template": pod, "replicas": 0}
    await ns.create(DEPLOYMENTS, {"metadata": {"name": "agentstop", "labels": labels}, "spec": deployment})
    lease = {"metadata": {"name": "agentstop"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}
    await ns.create(LEASES, lease)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
async def test_the_commands_of_the_runbooks_work(ns: Namespace, operator: Operator) -> None:
    if ns.cluster.name == "playground":
        pytest.skip("the playground has no Leases, rights and webhooks")
    await prepare(ns)
    for _, command in commands():
        given = command.replace(SYSTEM, ns.name).replace("NAMESPACE", ns.name).replace(" NAME ", " a ")
        words = shlex.split(given.split(" | ")[0])
        if words[1] in NOT_TO_BE_HAD:
            continue
        done = kubectl(words, str(ns.cluster.kubeconfig))
        if words[1:3] == ["auth", "can-i"]:
            assert done.stdout.strip() in {"yes", "no"}, f"{given}\n{done.stderr}"
        else:
            assert done.returncode == 0, f"{given}\n{done.stderr}"
    assert (await ns.ended("a"))["status"]["phase"] == "Stopped"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
@pytest.mark.parametrize(
    ("runbook", "command"), [each for each in commands() if shlex.split(each[1])[1] != "agentstop"]
)
def test_the_flags_of_the_runbooks_exist(runbook: str, command: str) -> None:
    words = shlex.split(command.split(" | ")[0])
    verb = words[: 3 if words[1] in {"auth", "rollout"} else 2]
    known = kubectl([*verb, "--help"]).stdout + kubectl(["kubectl", "options"]).stdout
    assert "Usage:" in known, f"there is no {' '.join(verb)}"
    for flag in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-"):
        assert f"{flag}=" in known or f"{flag}," in known, f"{runbook}: {words[1]} has no {flag}"
