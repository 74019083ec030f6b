"""Controllers as processes of the tests: Kubernetes' own where they are found, and the playground's for the rest."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentstop_playground.controllers import ALL, CUSTOM
from tests.support import manifests
from tests.support.apiserver import GO, ControlPlane, assets
from tests.support.kube import JOBS, SANDBOXES, Kind, Kube, Object
from tests.support.laws import conditions_of
from tests.support.programs import Program, running
from tests.support.waiting import PATIENCE, until

MANAGER = "kube-controller-manager"

THEIRS = (
    "job-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "garbage-collector-controller",
)
"""What the controller manager runs. Nothing that looks after nodes: tests write for themselves what a node says."""

REQUESTS_PER_SECOND = 1000
"""What the controller manager may ask for; the 20 that it is shipped with hold up a test of many pods."""

PROBES: dict[str, tuple[Kind, Object]] = {
    "job": (JOBS, manifests.job("probe", suspend=True)),
    "sandbox": (SANDBOXES, manifests.sandbox("probe", operatingMode="Suspended")),
}
"""By controller, what it answers with the condition Suspended once it works."""


ANSWER_SECONDS = 5.0
"""How long a controller that is there may take to answer."""


def has_manager() -> bool:
    """Whether Kubernetes' own controllers can be run."""
    return (assets() / MANAGER).exists()


def manager(kubeconfig: Path, wanted: Sequence[str], rate: int | None) -> list[str]:
    """Return the command that runs these of Kubernetes' own, with so many requests a second, or as they are shipped.

    As shipped it is 20 requests a second.
    Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
    """
    command = [str(assets() / MANAGER), f"--kubeconfig={kubeconfig}", f"--controllers={','.join(wanted)}"]
    command += ["--leader-elect=false", "--secure-port=0"]
    return command if rate is None else [*command, f"--kube-api-qps={rate}", f"--kube-api-burst={rate}"]


async def is_at_work(kube: Kube, controller: str) -> bool:
    """Whether somebody in the cluster looks after the objects of a controller."""
    kind, manifest = PROBES[controller]
    name = f"probe-{secrets.token_hex(4)}"
    await kube.create(kind, "default", {**manifest, "metadata": {"name": name}})

    async def answered() -> bool:
        return "Suspended" in conditions_of(await kube.get(kind, "default", name))

    try:
        await until(answered, ANSWER_SECONDS, "an answer")
    except AssertionError:
        return False
    finally:
        await kube.delete(kind, "default", name)
    return True


@asynccontextmanager
async def kubernetes(plane: ControlPlane, folder: Path) -> AsyncIterator[Program]:
    """Run Kubernetes' own, after custom kinds are defined: its collector learns of later ones only every 30 seconds."""
    command = manager(plane.kubeconfig, THEIRS, REQUESTS_PER_SECOND)
    starting = Program.start(command, folder / f"{MANAGER}.log", GO)
    async with _connected(starting, plane.kubeconfig) as (program, kube):
        await _until_it_works(program, kube, "job", "default", propagation="Foreground")
        yield program


@asynccontextmanager
async def playground(
    kubeconfig: Path, folder: Path, *, job_controller: bool, namespaces: Sequence[str] = ()
) -> AsyncIterator[Program]:
    """Run the playground's, in all namespaces if none are named; `job_controller`: those for custom kinds alone."""
    wanted = CUSTOM if job_controller else ALL
    arguments = ["--kubeconfig", str(kubeconfig)]
    arguments += [word for name in sorted(wanted) for word in ("--only", name)]
    arguments += [word for name in namespaces for word in ("--namespace", name)]
    log = folder / f"controllers-{secrets.token_hex(4)}.log"
    starting = Program.fork("agentstop_playground.controllers", arguments, log)
    async with _connected(starting, kubeconfig) as (program, kube):
        for name in sorted(PROBES.keys() & wanted):
            await _until_it_works(program, kube, name, [*namespaces, "default"][0])
        yield program


@asynccontextmanager
async def _connected(starting: Awaitable[Program], kubeconfig: Path) -> AsyncIterator[tuple[Program, Kube]]:
    kube = await Kube.open(kubeconfig)
    try:
        async with running(starting) as program:
            yield program, kube
    finally:
        await kube.close()


async def _until_it_works(
    program: Program, kube: Kube, controller: str, namespace: str, propagation: str = "Background"
) -> None:
    """Wait until an object was looked after and is gone again; in the foreground the garbage collector lets it go."""
    kind, manifest = PROBES[controller]
    name = (await kube.create(kind, namespace, manifest))["metadata"]["name"]

    async def answered() -> bool:
        return program.check() and "Suspended" in conditions_of(await kube.get(kind, namespace, name))

    async def gone() -> bool:
        return program.check() and name not in {each["metadata"]["name"] for each in await kube.list(kind, namespace)}

    await until(answered, PATIENCE, f"{controller} controller at work; see {program.log}")
    await kube.delete(kind, namespace, name, propagation=propagation)
    await until(gone, PATIENCE, f"{kind.plural}/{name} collected; see {program.log}")
