"""A registry on loopback that gives an image when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Registry:
    """Answers for every manifest, once it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.pulls = 0
        self.status = 200
        self.port = 0

    def image(self, name: str = "agent:1") -> str:
        """Return the name of an image that is pulled from here."""
        return f"127.0.0.1:{self.port}/{name}"

    async def manifest(self, _: web.Request) -> web.Response:
        """Answer a pull."""
        self.pulls += 1
        self.asked.set()
        await self.open.wait()
        return web.json_response({"schemaVersion": 2}, status=self.status)


@asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    """Serve one."""
    served = Registry()
    application = web.Application()
    application.router.add_get("/v2/{name:.+}/manifests/{reference}", served.manifest)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.port = int(runner.addresses[0][1])
    yield served
    await runner.cleanup()
