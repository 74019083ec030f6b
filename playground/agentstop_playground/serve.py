"""The whole playground: an API server, controllers, a node that runs pods, and a kubeconfig that leads to them."""

import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from agentstop_playground.controllers import Controllers, ray_crds, sandbox_crds
from agentstop_playground.kubeconfig_file import KubeconfigFile
from agentstop_playground.node import Node
from agentstop_playground.server import ApiServer


class Playground:
    """An async context manager: inside it, everything is served; on leaving, processes and files are gone.

    Args:
        crds: CustomResourceDefinitions that are there from the start; of the kinds that controllers here look after
            there are our own unless they are among these.
        kubeconfig: file to write; it must not exist, or be one that an earlier playground left behind.
        port: port of the API server on 127.0.0.1; 0 for a free one.
        data_dir: where pods' files and logs are while it runs; None for a temporary folder.
        component: have the node answer PodControls, which are to be among ``crds``.
    """

    def __init__(
        self,
        *,
        crds: Sequence[Mapping[str, Any]],
        kubeconfig: Path,
        port: int = 0,
        data_dir: Path | None = None,
        component: bool = False,
    ) -> None:
        given = {crd["metadata"]["name"] for crd in crds}
        ours = [crd for crd in [*sandbox_crds(), *ray_crds()] if crd["metadata"]["name"] not in given]
        self._server = ApiServer(token=secrets.token_urlsafe(32), crds=[*crds, *ours], port=port)
        self._kubeconfig = KubeconfigFile(kubeconfig)
        self._data_dir = data_dir
        self._component = component
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self._server.url

    @property
    def kubeconfig(self) -> Path:
        """The file that was written."""
        return self._kubeconfig.path

    async def __aenter__(self) -> Self:
        """Serve.

        Raises KubeconfigTakenError, OSError for a port in use, RuntimeError where pods cannot be run as processes.
        """
        async with AsyncExitStack() as stack:
            self._kubeconfig.check()
            await self._server.start()
            stack.push_async_callback(self._server.stop)
            connection = self._server.kubeconfig()
            token = connection["users"][0]["user"]["token"]
            node = Node(
                url=self._server.url,
                token=token,
                data_dir=self._data_dir or self._temporary(stack),
                component=self._component,
            )
            await node.start()
            stack.push_async_callback(node.stop)
            controllers = Controllers(url=self._server.url, token=token)
            await controllers.start()
            stack.push_async_callback(controllers.stop)
            self._kubeconfig.write(connection)
            stack.callback(self._kubeconfig.remove)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every process, stop serving, remove the files."""
        await self._stack.aclose()

    def _temporary(self, stack: AsyncExitStack) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="agentstop-playground-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder
