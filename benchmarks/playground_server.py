"""The playground's API server as a process: serves until it is told to end."""

import asyncio
import secrets
import signal
import sys
from pathlib import Path

import yaml

from agentstop.api.crd import crds
from agentstop.playground.server import ApiServer


async def serve(kubeconfig: Path) -> None:
    """Serve, and write a kubeconfig once it can be used."""
    server = ApiServer(token=secrets.token_hex(16), crds=list(crds().values()))
    await server.start()
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    part = kubeconfig.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(yaml.safe_dump(server.kubeconfig()), encoding="utf-8")
    part.rename(kubeconfig)
    await ending.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
