"""Making ready what a container's process needs: its environment, its directories, its log file."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentstop_playground.api_client import ApiError, Object
from agentstop_playground.node import environment
from agentstop_playground.node.containers import Container, Terminated, Waiting, never_again
from agentstop_playground.node.context import NodeContext
from agentstop_playground.node.volumes import INJECTED_VOLUMES, needs_of, problem_of

MOUNT_RETRY = 0.5
"""Seconds between two looks for what a volume is made of."""
MOUNT_PATIENCE = 12.0
"""Seconds that volumes are waited for before the pod is looked at anew: a tenth of the kubelet's, as all that waits."""


@dataclass(frozen=True)
class Launch:
    """A command that is ready to be started."""

    command: Sequence[str]
    log_file: Path


def count_attempt(item: Container) -> None:
    """A container starts anew: what it was goes to its last state."""
    if isinstance(item.state, Terminated):
        item.last = item.state
        item.restart_count += 1


class Starter:
    """Prepares the containers of one pod, all of which share its folder."""

    def __init__(self, context: NodeContext, folder: Path) -> None:
        self._context = context
        self._folder = folder

    def log_file(self, container: str, attempt: int) -> Path:
        """Where the output of one attempt (its restart count) of a container is."""
        return self._folder / "logs" / container / f"{attempt}.log"

    async def mount(self, pod: Object) -> bool:
        """Wait until the pod's volumes can be mounted; False where that takes too long for once.

        A kubelet that waits hears of the pod's deletion, but not of a deadline that has passed.
        """
        needs = needs_of(pod)
        end = asyncio.get_running_loop().time() + MOUNT_PATIENCE
        told = ""
        while needs:
            try:
                problem = await problem_of(needs[0], self._reader(pod))
            except ApiError as error:
                problem = str(error)
            if problem is None:
                needs.pop(0)
                continue
            if problem != told:
                told = problem
                self._context.events.record(pod, "Warning", "FailedMount", problem)
            if asyncio.get_running_loop().time() >= end:
                return False
            await asyncio.sleep(MOUNT_RETRY)
        return True

    async def prepare(self, pod: Object, item: Container) -> Launch | None:
        """Resolve the container's environment and make its folders; None if it can't ever start, which its state says.

        Raises ConfigError, ApiError and OSError.
        """
        address = self._context.address
        described = {**pod, "status": {**(pod.get("status") or {}), "hostIP": address, "podIP": address}}
        variables = await environment.resolve(described, item.spec, self._reader(pod))
        command = environment.command_line(item.spec, variables)
        if not command:
            never_again(item)
            message = (
                f'the playground has no images and pulls none ("{item.spec.get("image")}"): '
                f"give container {item.name} a command that is on this machine"
            )
            item.state = Waiting("ErrImageNeverPull", message)
            self._context.events.record(pod, "Warning", "ErrImageNeverPull", message, item.name)
            return None
        self._tell_of_mounts(pod, item)
        return Launch(command, self._make_folders(pod, item, variables))

    def _reader(self, pod: Object) -> environment.Reader:
        async def read(resource: str, name: str) -> Object | None:
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/{resource}/{name}"
            try:
                return await self._context.client.request("GET", path)
            except ApiError as error:
                if error.code == 404:
                    return None
                raise

        return read

    def _tell_of_mounts(self, pod: Object, item: Container) -> None:
        mounts = [
            mount["mountPath"]
            for mount in item.spec.get("volumeMounts") or []
            if not mount["name"].startswith(INJECTED_VOLUMES)
        ]
        if mounts:
            message = (
                f"the playground mounts no volumes: container {item.name} runs without {', '.join(mounts)}; "
                "its files can be kept under $HOME or $TMPDIR"
            )
            self._context.events.record(pod, "Warning", "VolumesNotMounted", message, item.name)

    def _make_folders(self, pod: Object, item: Container, variables: dict[str, str]) -> Path:
        home, temporary = self._folder / "home", self._folder / "tmp"
        attempt = item.restart_count + (1 if isinstance(item.state, Terminated) else 0)
        log_file = self.log_file(item.name, attempt)
        for folder in (home, temporary, log_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        # Until this attempt has begun, the last but one is the previous one.
        outdated = self.log_file(item.name, attempt - 3)
        for file in (outdated, outdated.with_name(outdated.name + ".1")):
            file.unlink(missing_ok=True)
        log_file.touch()
        own = {"HOSTNAME": pod["metadata"]["name"], "HOME": str(home), "TMPDIR": str(temporary)}
        item.env = {"PATH": os.environ.get("PATH", os.defpath), **own, **variables}
        item.cwd = Path(item.spec["workingDir"]) if item.spec.get("workingDir") else home
        return log_file
