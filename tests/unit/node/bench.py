"""A worker with a clock of its own, and the part of an API server that it asks."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from agentstop.client.client import Api
from agentstop.node.debounce import Debounce
from agentstop.node.metrics import Metrics
from agentstop.node.records import read_control
from agentstop.node.worker import Means, Worker

Raw = dict[str, Any]

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
OTHER = "1b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
SHORT = "C1HCxU-ASiudTTsdih9qAQ"
NODE = "n"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def control(spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> Raw:
    named = {"namespace": "ns", "name": UID, "uid": "control", "generation": 1}
    asked = {"nodeName": NODE, "podUID": UID, "taskName": "x", "state": "Killed"}
    return {"metadata": named | metadata, "spec": asked | (spec or {}), "status": status or {}}


def task(**workload: Any) -> Raw:
    return {"status": {"workload": {"pods": [{"name": "x", "uid": UID}]} | workload}}


class Server:
    """The part of an API server that a worker asks."""

    def __init__(self, found: Raw | Exception) -> None:
        self.found = found
        self.cached: Raw | None = None
        """What its cache has, where that is behind."""
        self.reads = 0
        self.failures: list[Exception] = []
        self.written: list[Raw] = []

    def get(self, path: str, *, cached: bool = False) -> Raw:
        assert path == "/apis/agentstop.dev/v1alpha1/namespaces/ns/agenttasks/x"
        self.reads += 1
        if cached and self.cached is not None:
            return self.cached
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def merge(self, path: str, body: Raw, *, manager: str) -> Raw:
        assert path.startswith("/apis/agentstop.dev/v1alpha1/namespaces/ns/podcontrols/")
        assert path.endswith("/status")
        assert (body["metadata"], manager) == ({"uid": "control"}, "agentstop-node")
        if self.failures:
            raise self.failures.pop(0)
        self.written.append(body["status"])
        return {}


class EndError(BaseException):
    """Ends a worker that has paused often enough."""


class Bench:
    """A worker with a clock of its own, which goes on by its pauses."""

    def __init__(self, root: Path, server: Server, *, alone: bool = True) -> None:
        self.server = server
        self._alone = alone
        self.metrics = Metrics()
        self.worker: Worker
        self._news: asyncio.Event | None = None
        self.passed = 0.0
        self.pauses: list[float] = []
        self.rests = False
        """Whether the worker waits for news alone."""
        self._root = root
        self.debounce = Debounce()

    async def run(self, raw: Raw, pauses: int, meanwhile: Any = None) -> None:
        """Have a worker see to an object for so many pauses; in each, `meanwhile` is called with its number."""

        async def pause(seconds: float | None, news: asyncio.Event | None) -> None:
            await asyncio.sleep(0)
            self._news = news
            self.rests = seconds is None
            self.pauses.append(seconds or 0.0)
            self.passed += seconds or 0.0
            if meanwhile is not None:
                meanwhile(len(self.pauses))
            if len(self.pauses) >= pauses:
                raise EndError

        with ThreadPoolExecutor(1) as threads:
            means = Means(
                api=cast("Api", self.server),
                threads=threads,
                writers=threads,
                node=NODE,
                root=self._root,
                alone=self._alone,
                boot_id="boot",
                metrics=self.metrics,
                debounce=self.debounce,
                clock=lambda: NOW + timedelta(seconds=self.passed),
                pause=pause,
            )
            self.worker = Worker(means, read_control(raw))
            with pytest.raises(EndError):
                await self.worker.run()

    def ask(self, state: str, generation: int) -> None:
        """Have the object ask for something else."""
        self.worker.take(read_control(control({"state": state}, generation=generation)))

    def heard(self) -> bool:
        """Whether the pause is over that the worker makes."""
        return self._news is not None and self._news.is_set()

    def counted(self, name: str, labels: dict[str, str] | None = None) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"agentstop_node_{name}", labels)

    @property
    def last(self) -> Raw:
        return self.server.written[-1]

    @property
    def ready(self) -> tuple[str, str]:
        (condition,) = self.last["conditions"]
        return condition["status"], condition["reason"]
