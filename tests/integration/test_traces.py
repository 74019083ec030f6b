"""One trace for each stop, whoever carries it out."""

from collections.abc import AsyncIterator

import pytest

from agentstop.controller.spans import span_id, trace_id
from tests.support import agents
from tests.support.collector import Collector, collecting
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.programs import free_port
from tests.support.waiting import PATIENCE, until


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    async with collecting(port) as collector:
        yield collector


async def test_an_operator_that_takes_over_goes_on_with_the_trace(
    ns: Namespace, launch: Operators, collector: Collector
) -> None:
    first = await launch.start(ns.name)
    task = await ns.create_task("a", agents.template(agents.DEAF, grace=4))
    await ns.running("a")
    await ns.stop("a")
    await until(lambda: "signal" in collector.names, PATIENCE, "the signal's span")
    await first.program.kill()
    await launch.start(ns.name)
    ended = await ns.ended("a")
    await until(lambda: "stop" in collector.names, PATIENCE, "the whole")

    assert collector.names == ["request", "signal", "terminate", "confirm", "stop"]
    uid = task["metadata"]["uid"]
    assert {span.trace_id for span in collector.spans} == {trace_id(uid).to_bytes(16)}
    assert {span.parent_span_id for span in collector.spans[:-1]} == {span_id(uid, "stop").to_bytes(8)}
    (signal,) = [span for span in collector.spans if span.name == "signal"]
    (confirm,) = [span for span in collector.spans if span.name == "confirm"]
    assert signal.start_time_unix_nano < signal.end_time_unix_nano <= confirm.end_time_unix_nano
    given = {item.key: item.value.string_value for item in collector.spans[-1].attributes}
    assert given["agentstop.stop.verdict"] == stop_of(ended)["verdict"] == "Killed"


async def test_an_operator_ends_in_time_though_its_collector_hangs(
    ns: Namespace, launch: Operators, collector: Collector
) -> None:
    collector.answers.clear()
    operator = await launch.start(ns.name)
    await ns.create_task("a", agents.template())
    await ns.running("a")
    await ns.stop("a")
    await ns.ended("a")
    assert await operator.program.end() == 0
