"""All controllers at once."""

import ssl as ssl_module
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from agentstop_playground.controllers.claim import SandboxClaimController
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.deployment import DeploymentController
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.job import JobController
from agentstop_playground.controllers.ray_cluster import RayClusterController
from agentstop_playground.controllers.replicaset import ReplicaSetController
from agentstop_playground.controllers.sandbox import SandboxController
from agentstop_playground.controllers.statefulset import StatefulSetController
from agentstop_playground.controllers.warm_pool import SandboxWarmPoolController

_MAKERS: Final[Mapping[str, Callable[[Hub], Controller]]] = {
    "job": JobController,
    "deployment": DeploymentController,
    "replicaset": ReplicaSetController,
    "statefulset": StatefulSetController,
    "sandbox": SandboxController,
    "sandboxclaim": SandboxClaimController,
    "sandboxwarmpool": SandboxWarmPoolController,
    "raycluster": RayClusterController,
}

CUSTOM: Final = frozenset({"sandbox", "sandboxclaim", "sandboxwarmpool", "raycluster"})
"""The controllers of kinds that are not Kubernetes' own."""

ALL: Final = frozenset(_MAKERS)
"""The names of the controllers that there are."""


class Controllers:
    """The wanted controllers on one connection to any API server.

    Args:
        url: where the API server is.
        token: bearer token, if it wants one.
        ssl: for ``https``, with client certificates where these are wanted; None for the system's.
        wanted: names out of ``ALL``.
        namespaces: look after the objects in these only; None for all.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        wanted: Collection[str] = ALL,
        namespaces: Sequence[str] | None = None,
    ) -> None:
        unknown = sorted(set(wanted) - ALL)
        if unknown:
            raise ValueError(f"no such controller: {', '.join(unknown)}; there are {', '.join(sorted(ALL))}")
        self._hub = Hub(url, token=token, ssl=ssl, namespaces=namespaces)
        self._controllers = [_MAKERS[name](self._hub) for name in sorted(wanted)]
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Begin to work, in the background until ``stop``; returns once what is there was seen."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._hub.stop)
            await self._hub.start()
            for controller in self._controllers:
                stack.push_async_callback(controller.stop)
                await controller.start()
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Stop working; what was made stays."""
        await self._stack.aclose()
