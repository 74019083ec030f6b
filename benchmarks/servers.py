"""API servers to measure on: a cluster's, a real one of our own, or the playground's."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.support import apiserver
from tests.support.controllers import MANAGER, has_manager, manager
from tests.support.programs import Program, running


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
    job_controller: Callable[[int | None], AbstractAsyncContextManager[Program | None]] = lambda _: nullcontext()
    """Runs the Job controller where it is ours, with so many requests a second for its client, or as it is shipped."""


@asynccontextmanager
async def given(kubeconfig: Path) -> AsyncIterator[Server]:
    """Use the cluster of a kubeconfig."""
    with _environment(kubeconfig):
        yield Server(f"cluster of {kubeconfig.name}", throwaway=False, jobs=Jobs.THEIRS, note="its own Job controller")


@asynccontextmanager
async def playground(folder: Path) -> AsyncIterator[Server]:
    """Start the playground's API server in a process of its own."""
    async with AsyncExitStack() as stack:
        with _started(folder):
            server = apiserver.playground_server(folder, forked=False)
            _, kubeconfig = await stack.enter_async_context(server)
        stack.enter_context(_environment(kubeconfig))
        note = "the playground has no Job controller to compare with"
        yield Server("playground", throwaway=True, jobs=Jobs.NONE, note=note)


@asynccontextmanager
async def assets(folder: Path) -> AsyncIterator[Server]:
    """Start etcd, kube-apiserver and, where it is beside them, kube-controller-manager with its Job controller."""
    if reason := apiserver.missing():
        raise ServerFailedError(reason)
    async with AsyncExitStack() as stack:
        with _started(folder):
            plane = await stack.enter_async_context(apiserver.control_plane(folder, environment=None))
        stack.enter_context(_environment(plane.kubeconfig))
        if not has_manager():
            yield Server("kube-apiserver", True, Jobs.NONE, f"there is no {MANAGER} in {apiserver.assets()}")
            return
        yield Server(
            "kube-apiserver",
            throwaway=True,
            jobs=Jobs.OURS,
            note="the Job controller runs without its limit of 20 requests a second, except where it says 'as shipped'",
            job_controller=lambda rate: running(
                Program.start(
                    manager(plane.kubeconfig, ["job-controller"], rate),
                    folder / f"job-controller-{rate or 'shipped'}.log",
                )
            ),
        )


@contextmanager
def _started(folder: Path) -> Iterator[None]:
    """Start what is measured on. Raises ServerFailedError where that fails."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        raise ServerFailedError(f"{error}; see {folder}") from error


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
