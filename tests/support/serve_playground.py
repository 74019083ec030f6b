"""The playground's API server in a process of its own, so that a test can halt it: serve_playground.py KUBECONFIG."""

import asyncio
import secrets
import signal
import sys
from pathlib import Path

import yaml

from agentstop.api.crd import crds
from agentstop_playground.server import ApiServer


async def serve(kubeconfig: Path, *, bare: bool) -> None:
    """Serve until SIGTERM; the kubeconfig is written once the server listens."""
    server = ApiServer(token=secrets.token_urlsafe(16), crds=[] if bare else list(crds().values()))
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await server.start()
    unfinished = kubeconfig.with_suffix(".unfinished")
    unfinished.write_text(yaml.safe_dump(server.kubeconfig()), encoding="utf-8")
    unfinished.rename(kubeconfig)
    await ending.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), bare="--without-crds" in sys.argv))
