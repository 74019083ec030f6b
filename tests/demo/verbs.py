"""Verbs of the console script as processes, and what they leave behind."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables with `folder` for all temporary files: by it all processes of a verb are known."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"KUBECONFIG", "NO_COLOR"}}
    paths = os.pathsep.join(str(ROOT / each) for each in ("operator", "playground"))
    return {**inherited, "PYTHONPATH": paths, "TMPDIR": str(folder), "HOME": str(folder), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agentstop.cli.main", *arguments]


def run(folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end, in the root of the checkout."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@contextmanager
def running(folder: Path, *arguments: str, cwd: Path = ROOT) -> Iterator["subprocess.Popen[str]"]:
    """Run a verb for the time of a test."""
    with (
        (folder / "output").open("w") as output,
        subprocess.Popen(
            command(*arguments), cwd=cwd, env=environment(folder), stdout=output, stderr=output, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def said(folder: Path) -> str:
    return (folder / "output").read_text()


def of(folder: Path) -> dict[int, list[str]]:
    """The command lines of all processes that have this folder in their environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder).encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().split("\0")[:-1]
            except OSError:
                continue
    return {pid: words for pid, words in found.items() if words and pid != os.getpid()}


def until(check: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return what the check found."""
    end = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.05)
    return found


def ask(kubeconfig: Path, path: str, body: Any = None, method: str | None = None) -> Any:
    """Make one request to a playground and return its answer; None where it says that there is no such object."""
    found = read(kubeconfig, path, body, method)
    return None if found is None else json.loads(found)


def read(
    kubeconfig: Path,
    path: str,
    body: Any = None,
    method: str | None = None,
    *,
    content_type: str = "application/json",
) -> str | None:
    """Make one request to a playground and return the text of its answer; None where there is no such object."""
    content: Mapping[str, Any] = yaml.safe_load(kubeconfig.read_text())
    url = f"{content['clusters'][0]['cluster']['server']}{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310  (a URL on loopback)
        url, data, {"Content-Type": content_type}, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
