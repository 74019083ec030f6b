"""Options and marks of all tests."""

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.run import Run, begin

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("agentstop", deadline=None)
hypothesis.settings.load_profile("agentstop")

RUN = pytest.StashKey[Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentstop")
    group.addoption(
        "--all",
        action="store_true",
        help="run on the playground as well what has a real API server to run on",
    )
    group.addoption("--kubeconfig", type=Path, metavar="FILE", help="run the integration tests on this cluster as well")
    group.addoption(
        "--kubelet-command",
        metavar="COMMAND",
        help="with --kubeconfig: a command that ends the only node's kubelet when it is called with `stop`,"
        " and starts it with `start`; without it, what a dead kubelet does is not tried there",
    )
    group.addoption(
        "--kills", type=int, default=6, metavar="N", help="kill the operator at so many random moments (%(default)s)"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Where this machine has no kubectl, the one of the development set is found.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    config.addinivalue_line("markers", "needs(*features): runs on clusters with these features only")
    config.addinivalue_line("markers", "on(*clusters): runs on these of its package's clusters only")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among tests: they all stay, and there are so many that each look takes half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process (xdist's) what it shares with the others."""
    config: pytest.Config = node.config
    run = config.stash.get(RUN, None)
    if run is None:
        run = config.stash[RUN] = begin(config)
    node.workerinput["run"] = {"pid": run.pid, "folder": str(run.folder)}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups and tests in our own order (xdist's --dist loadgroup)."""
    from tests.support.schedule import Schedule

    return Schedule(config, log) if config.option.dist == "loadgroup" else None
