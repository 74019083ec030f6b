"""What is served to the cluster."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agentstop.controller.probes import PortInUseError, Probes


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


class State:
    dead: str | None = None
    unready: str | None = "the caches are not filled yet"


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def probes(state: State) -> AsyncIterator[Probes]:
    registry = CollectorRegistry()
    Counter("agentstop_something", "Something.", registry=registry).inc()
    probes = Probes(lambda: state.dead, lambda: state.unready, registry)
    yield probes
    await probes.stop()


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_alive_and_ready(probes: Probes, state: State, free_port: int) -> None:
    await probes.start("127.0.0.1", free_port, None)
    assert await get(free_port, "/healthz") == (200, "ok\n")
    assert await get(free_port, "/readyz") == (503, "the caches are not filled yet\n")

    state.unready, state.dead = None, "worker 3 ended"
    assert await get(free_port, "/readyz") == (200, "ok\n")
    assert await get(free_port, "/healthz") == (503, "worker 3 ended\n")


async def test_numbers_may_share_the_port(probes: Probes, free_port: int) -> None:
    await probes.start("127.0.0.1", free_port, free_port)
    status, text = await get(free_port, "/metrics")

    assert status == 200
    assert "agentstop_something_total 1.0" in text
    assert (await get(free_port, "/healthz"))[0] == 200


async def test_what_was_not_asked_for_is_not_served(probes: Probes, free_port: int) -> None:
    await probes.start("127.0.0.1", None, free_port)

    assert (await get(free_port, "/healthz"))[0] == 404


@pytest.mark.parametrize("which", ["health", "metrics"])
async def test_a_port_that_is_taken_is_named(probes: Probes, taken_port: int, which: str) -> None:
    health, metrics = (taken_port, None) if which == "health" else (None, taken_port)

    with pytest.raises(PortInUseError, match=f"cannot listen on 127.0.0.1:{taken_port}: address already in use"):
        await probes.start("127.0.0.1", health, metrics)


async def test_numbers_are_not_written_in_the_loop(free_port: int, state: State) -> None:
    """However many there are, no stop waits for them."""
    threads = []

    class Many(Collector):
        def collect(self) -> Iterator[Metric]:
            threads.append(threading.current_thread())
            yield from ()

    registry = CollectorRegistry()
    registry.register(Many())
    threads.clear()
    probes = Probes(lambda: None, lambda: None, registry)
    await probes.start("127.0.0.1", None, free_port)
    await get(free_port, "/metrics")
    await probes.stop()

    assert threads
    assert threading.current_thread() not in threads
