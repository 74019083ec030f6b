"""Options and marks of all tests."""

import os
import sys
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentstop")
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
