"""The gateway under test, as the process that a user would run, and clients of it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from yarl import URL

from agentstop.gateway.keys import make_key
from tests.support.clusters import Cluster
from tests.support.programs import Program, free_port
from tests.support.waiting import PATIENCE, until

MODULE = "agentstop.cli.main"


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    code: int
    headers: Mapping[str, str]
    text: str
    body: Any
    """What its JSON says; None where it is none."""


class Keys:
    """A file of API keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Any] = {}
        self._write()

    def add(self, user: str, *groups: str, name: str | None = None) -> str:
        """Add a key that stands for a user, and return it."""
        key, entry = make_key(name or user, user, groups)
        self._entries[entry.name] = entry.model_dump(mode="json")
        self._write()
        return key

    def revoke(self, name: str) -> None:
        """Take a key out."""
        del self._entries[name]
        self._write()

    def _write(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({"keys": list(self._entries.values())}), encoding="utf-8")
        fresh.replace(self.path)


class Gateway:
    """One `agentstop gateway`."""

    def __init__(self, program: Program, url: str, keys: Keys) -> None:
        self.program = program
        self.url = url
        self.keys = keys

    @classmethod
    async def start(
        cls,
        cluster: Cluster,
        *,
        kubeconfig: Path | None = None,
        options: Sequence[str] = (),
        wait: bool = True,
        port: int | None = None,
        keys: Keys | None = None,
    ) -> "Gateway":
        """Start a gateway; returns once it is ready, unless told not to wait for that.

        With the port and the keys of one that has ended, it takes that one's place.
        """
        port = port or free_port()
        mark = secrets.token_hex(4)
        keys = keys or Keys(cluster.folder / f"keys-{mark}.yaml")
        arguments = ["gateway", "--port", str(port), "--keys", str(keys.path), *options]
        environment = {"KUBECONFIG": str(kubeconfig or cluster.kubeconfig)}
        program = await Program.fork(MODULE, arguments, cluster.folder / f"gateway-{mark}.log", environment)
        gateway = cls(program, f"http://127.0.0.1:{port}", keys)
        if wait:
            await gateway.ready()
        return gateway

    async def ready(self, seconds: float = PATIENCE) -> None:
        """Wait until it says that it is ready."""

        async def says_so() -> bool:
            if not self.program.running:
                raise AssertionError(f"the gateway ended: {self.program.text()[-3000:]}")
            try:
                return (await self.ask("GET", "/readyz")).code == 200
            except aiohttp.ClientError:
                return False

        await until(says_so, seconds, "gateway ready")

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        token: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request, whose path is sent as it is."""
        given = dict(headers or {})
        if key is not None:
            given["x-api-key"] = key
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, URL(self.url + path, encoded=True), data=body, headers=given, allow_redirects=False
            ) as response,
        ):
            text = await response.text()
            body = json.loads(text) if text and response.content_type.endswith("json") else None
            return Answer(response.status, response.headers.copy(), text, body)

    def mistakes(self, since: int = 0) -> list[str]:
        """Return lines of its log, from an offset on, that tell of a mistake in the program."""
        text = self.program.text()[since:]
        return [line for line in text.splitlines() if "Traceback" in line or " ERROR " in line]


class Client:
    """Somebody with an API key, at one dialect."""

    def __init__(self, gateway: Gateway, prefix: str, key: str) -> None:
        self.gateway = gateway
        self.prefix = prefix
        self.key = key

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Make one request below the dialect's prefix."""
        return await self.gateway.ask(method, self.prefix + path, key=self.key, body=body, headers=headers)

    async def get(self, path: str) -> Any:
        """Return what a page says."""
        answer = await self.ask("GET", path)
        assert answer.code == 200, answer
        return answer.body
