"""A run of tests in several processes, and what is to end with it."""

import os
import select
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

END_SECONDS: Final = 30.0
"""How long a host may take to end."""

HOST: Final = "host.pid"
"""File with the process id of a host of something shared, in a folder of its own."""


@dataclass(frozen=True)
class Run:
    """What all processes of a run know of it."""

    pid: int
    """Of its first process."""
    folder: Path
    """For its files."""


def run_of(config: pytest.Config) -> Run | None:
    """Return the run that this process is a part of; None where it is all of the run."""
    given = getattr(config, "workerinput", {}).get("run")
    return Run(given["pid"], Path(given["folder"])) if given else None


def begin(config: pytest.Config) -> Run:
    """Be the first process of a run."""
    run = Run(os.getpid(), Path(tempfile.mkdtemp(prefix="agentstop-tests-")))
    config.add_cleanup(lambda: _end(run))
    return run


def _end(run: Run) -> None:
    """End the hosts of a run, and wait for it."""
    hosts = [int(path.read_text(encoding="utf-8")) for path in run.folder.glob(f"shared-*/{HOST}")]
    waited = []
    for pid in hosts:
        try:
            waited.append(os.pidfd_open(pid))
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
    for descriptor in waited:
        select.select([descriptor], [], [], END_SECONDS)
        os.close(descriptor)
    shutil.rmtree(run.folder, ignore_errors=True)
