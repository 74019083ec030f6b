"""The node's HTTP endpoint on loopback: container logs, at the kubelet's paths."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from agentstop_playground import times
from agentstop_playground.node.containers import Container, Role, Waiting
from agentstop_playground.node.logs import LogOptions, LogReader, render
from agentstop_playground.node.pod_worker import PodWorker

FOLLOW_PAUSE = 0.1
"""Seconds between two looks for new output."""
CHUNK_RECORDS = 500
"""Records that are sent together."""

LOCAL_NAMES = ("127.0.0.1", "localhost")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FindPod = Callable[[str, str], PodWorker | None]


class LogServer:
    """Serves ``GET /containerLogs/NAMESPACE/POD/CONTAINER``."""

    def __init__(self, find_pod: FindPod) -> None:
        self._find_pod = find_pod
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind a free port on loopback."""
        application = web.Application(middlewares=[_local_only])
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        # Followers must not hold up the end of the node.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close it, followers included."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info
        worker = self._find_pod(path["namespace"], path["pod"])
        if worker is None:
            return _problem(404, f'pod "{path["pod"]}" not found on this node')
        container = next((item for item in worker.containers if item.name == path["container"]), None)
        if container is None:
            return _problem(400, f"container {path['container']} is not valid for pod {path['pod']}")
        try:
            options = _options(request)
        except ValueError as error:
            return _problem(400, f"invalid log option: {error}")
        previous = _flag(request, "previous")
        attempt = container.restart_count - (1 if previous else 0)
        file = worker.log_file(container.name, attempt)
        if previous and (attempt < 0 or not file.exists()):
            return _problem(400, f'previous terminated container "{container.name}" in pod "{path["pod"]}" not found')
        if not container.ever_started and isinstance(container.state, Waiting):
            return _problem(
                400,
                f'container "{container.name}" in pod "{path["pod"]}" is waiting to start: {container.state.reason}',
            )
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        await _stream(response, LogReader(file), options, lambda: _may_grow(worker, container, attempt))
        return response


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    # A page in a browser that was led to this port by a name of its own (DNS rebinding) must not read logs.
    if request.url.host not in LOCAL_NAMES:
        return _problem(403, "the playground's node answers to 127.0.0.1 and localhost only")
    return await handler(request)


def _problem(code: int, message: str) -> web.Response:
    return web.Response(status=code, text=message)


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in {"true", "1"}


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if not text:
        return None
    number = int(text)
    if number < 0:
        raise ValueError(f"{name} must not be negative")
    return number


def _options(request: web.Request) -> LogOptions:
    text = request.query.get("sinceTime")
    since = times.parse(text)
    if text and since is None:
        raise ValueError("sinceTime must be a time")
    seconds = _number(request, "sinceSeconds")
    if seconds is not None:
        since = times.now() - timedelta(seconds=seconds)
    return LogOptions(
        tail_lines=_number(request, "tailLines"),
        since=since,
        limit_bytes=_number(request, "limitBytes"),
        timestamps=_flag(request, "timestamps"),
        follow=_flag(request, "follow"),
    )


def _may_grow(worker: PodWorker, container: Container, attempt: int) -> bool:
    """Whether a follower has more to expect: this attempt's process is there."""
    if worker.over or container.restart_count != attempt:
        return False
    return container.process is not None or (container.role is not Role.MAIN and container.starting)


async def _stream(
    response: web.StreamResponse, reader: LogReader, options: LogOptions, may_grow: Callable[[], bool]
) -> None:
    left = options.limit_bytes
    records = reader.start(options.tail_lines)
    while True:
        # Asked before reading: what is written before the end is still read after it.
        goes_on = options.follow and may_grow()
        while batch := list(itertools.islice(records, CHUNK_RECORDS)):
            data = b"".join(render(record, options) for record in batch)
            if left is not None:
                data = data[:left]
                left -= len(data)
            await response.write(data)
            if left == 0:
                return
        if not goes_on:
            return
        await asyncio.sleep(FOLLOW_PAUSE)
        records = reader.more()
