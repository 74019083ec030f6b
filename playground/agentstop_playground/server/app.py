"""The API server itself: what it is made of, and how it is started and stopped."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from .admission import WriteOptions
from .builtin_kinds import BUILTIN
from .collector import Collector
from .deletion import Deleter
from .engine import Engine
from .http_api import HttpApi
from .registry import Registry
from .requests import TOKEN_PREFIX
from .resources import Resource
from .store import Store
from .wire import dumps, loads

_MAX_BODY: Final = 3 * 1024 * 1024
_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_MANAGER: Final = "kube-apiserver"


class ApiServer:
    """A Kubernetes API server for demos and tests: in memory, on loopback, for who has the token.

    ``crds`` are CustomResourceDefinition objects that are there from the start; a bad one raises ``ApiError``.
    ``port`` 0 takes a free one; ``url`` tells which.
    """

    def __init__(
        self, *, token: str, crds: Sequence[Mapping[str, Any]], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        if not token or quote(token, safe="") != token:
            raise ValueError("the token has to be of letters, digits, '-', '.', '_' and '~'")
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the playground listens on loopback only, not on {host}")
        self._token = token
        self._crds = [loads(dumps(crd)) for crd in crds]
        self._host = host
        self._port = port
        self._registry = Registry(BUILTIN)
        # Versions begin at the present second, so that those of an earlier playground are recognised as too old.
        self._engine = Engine(Store(first_version=int(time.time())), self._registry)
        self._deleter = Deleter(self._engine)
        self._collector: Collector | None = None
        self._api: HttpApi | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            OSError: the port is in use, or can't be had.
            ApiError: one of the definitions is not valid.
        """
        self._collector = Collector(self._engine, self._deleter)
        self._fill()
        self._api = HttpApi(self._engine, self._deleter, self._token)
        server = web.Server(self._api.handle, request_factory=_request, handler_cancellation=True)
        runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            message = f"can't listen on {self._host}:{self._port}: {os.strerror(error.errno or 0)}; choose another port"
            raise OSError(error.errno, message) from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """End all watches and connections."""
        if self._collector is not None:
            self._collector.close()
        for collection in self._engine.store.collections.values():
            for watcher in collection.watchers:
                watcher.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._api is not None:
            await self._api.close()

    @property
    def url(self) -> str:
        """Where the server listens, ``http://127.0.0.1:PORT``."""
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig for this server; cluster and context are named ``playground``."""
        name = "playground"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            # client-go sends no token over plain HTTP; what the server address says, it does send.
            "clusters": [{"name": name, "cluster": {"server": f"{self.url}{TOKEN_PREFIX}{self._token}"}}],
            "users": [{"name": name, "user": {"token": self._token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
            "current-context": name,
        }

    def _fill(self) -> None:
        if self._engine.store.collection("namespaces").records:
            return
        options = WriteOptions(manager=_MANAGER, field_validation="Ignore")
        namespaces = self._builtin("", "namespaces")
        accounts = self._builtin("", "serviceaccounts")
        for name in _NAMESPACES:
            self._engine.create(namespaces, "", {"metadata": {"name": name}}, options)
            self._engine.create(accounts, name, {"metadata": {"name": "default"}}, options)
        definitions = self._builtin("apiextensions.k8s.io", "customresourcedefinitions")
        for crd in self._crds:
            self._engine.create(definitions, "", crd, options)

    def _builtin(self, group: str, plural: str) -> Resource:
        return next(item for item in BUILTIN if (item.group, item.plural) == (group, plural))


class _Request(web.BaseRequest):
    """A request with the real server's limit on the size of its body."""


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return _Request(message, payload, protocol, writer, task, protocol._loop, client_max_size=_MAX_BODY)
