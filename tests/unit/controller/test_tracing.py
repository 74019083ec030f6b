"""One trace for each stop: its parts, its ids, and where it is sent."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from agentstop.api.task import AgentTaskStatus, Phase, StopSource, StopStatus, Verdict
from agentstop.api.workload_status import ContainerEnd, PodEvidence, WorkloadStatus
from agentstop.controller.otlp import Exporting
from agentstop.controller.reporter import told_stop
from agentstop.controller.spans import NO_TRACING, Tracing, span_id, trace_id
from agentstop.controller.tracing import tracing_from
from tests.support.collector import Collector, collecting
from tests.support.programs import free_port
from tests.support.waiting import PATIENCE, until
from tests.unit.objects import Raw, at, task, when

ACCEPTED = StopStatus(source=StopSource.USER, accepted_at=at(0.4), message="my secret plan")
SIGNALED = ACCEPTED.but(signaled_at=at(0.65), kill_at=at(30.65), grace_period_seconds=30)
CONFIRMED = SIGNALED.but(confirmed_at=at(3.5), duration_seconds=3.1, verdict=Verdict.GRACEFUL)
RUNNING = AgentTaskStatus(phase=Phase.RUNNING)
STOPPING = AgentTaskStatus(phase=Phase.STOPPING, stop=SIGNALED)
WORKLOAD = WorkloadStatus(
    api_version="v1",
    kind="Pod",
    name="x",
    uid="pod-uid",
    pods=(PodEvidence(name="x", uid="pod-uid", containers=(ContainerEnd(name="main", finished_at=at(3)),)),),
)
STOPPED = AgentTaskStatus(phase=Phase.STOPPED, stop=CONFIRMED, workload=WORKLOAD)
REQUESTED: Raw = {"managedFields": [{"time": when(0), "fieldsV1": {"f:spec": {"f:stopRequested": {}}}}]}


def trace(tracing: Tracing, *statuses: AgentTaskStatus, **metadata: object) -> None:
    for before, after in pairwise(statuses):
        asked = task({"podTemplate": {"spec": {}}, "stopRequested": True}, before.wire(), **(REQUESTED | metadata))
        tracing.changed(asked, told_stop(before), after)


class Collected:
    """Spans in memory, by one process after the other."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def process(self) -> Exporting:
        return Exporting(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        found = {span.name: span for span in self.exporter.get_finished_spans()}
        assert len(found) == len(self.exporter.get_finished_spans()), "a span came twice"
        return found

    def ids(self) -> set[int]:
        return {
            each
            for span in self.spans.values()
            if span.context
            for each in (span.context.trace_id, span.context.span_id)
        }

    def seconds(self, name: str) -> tuple[float, float]:
        span = self.spans[name]
        assert span.start_time is not None
        assert span.end_time is not None
        begin = at(0).timestamp()
        return round(span.start_time / 1e9 - begin, 3), round(span.end_time / 1e9 - begin, 3)


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.mark.parametrize(
    "statuses",
    [
        (RUNNING, AgentTaskStatus(phase=Phase.STOPPING, stop=ACCEPTED), STOPPING, STOPPED, STOPPED),
        (RUNNING, STOPPED),
        (RUNNING.but(stop=SIGNALED), STOPPED),
    ],
    ids=["step by step", "all at once", "accepted in memory before"],
)
def test_a_stop_is_one_trace_from_request_to_proof(collected: Collected, statuses: tuple[AgentTaskStatus, ...]) -> None:
    trace(collected.process(), *statuses)

    assert {name: collected.seconds(name) for name in collected.spans} == {
        "request": (0.0, 0.4),
        "signal": (0.4, 0.65),
        "terminate": (0.65, 3.0),
        "confirm": (3.0, 3.5),
        "stop": (0.0, 3.5),
    }
    for name, span in collected.spans.items():
        assert span.context is not None
        assert span.context.trace_id == trace_id("task-uid")
        assert span.context.span_id == span_id("task-uid", name)
        if name == "stop":
            assert span.parent is None
        else:
            assert span.parent is not None
            assert span.parent.span_id == span_id("task-uid", "stop")


def test_who_takes_over_goes_on_with_the_same_trace(collected: Collected) -> None:
    trace(collected.process(), RUNNING, STOPPING)
    trace(collected.process(), STOPPING, STOPPED)

    assert set(collected.spans) == {"request", "signal", "terminate", "confirm", "stop"}
    assert len({span.context.trace_id for span in collected.spans.values() if span.context}) == 1


def test_another_task_is_another_trace(collected: Collected) -> None:
    trace(collected.process(), RUNNING, STOPPING)
    first = collected.ids()
    collected.exporter.clear()
    trace(collected.process(), RUNNING, STOPPING, uid="other")

    assert not first & collected.ids()


def test_what_a_span_says(collected: Collected) -> None:
    trace(collected.process(), RUNNING, STOPPED)

    span = collected.spans["stop"]
    assert dict(span.attributes or {}) == {
        "k8s.namespace.name": "ns",
        "agentstop.task.name": "x",
        "agentstop.task.uid": "task-uid",
        "agentstop.stop.source": "User",
        "agentstop.stop.grace_period_seconds": 30,
        "agentstop.stop.verdict": "Graceful",
    }
    assert span.resource.attributes["service.name"] == "agentstop"
    assert all("secret" not in each.to_json() for each in collected.spans.values())


def test_what_never_ran_was_not_terminated(collected: Collected) -> None:
    record = ACCEPTED.but(confirmed_at=at(1), duration_seconds=0.6, verdict=Verdict.NOT_STARTED)
    trace(collected.process(), AgentTaskStatus(), AgentTaskStatus(phase=Phase.STOPPED, stop=record))

    assert set(collected.spans) == {"request", "confirm", "stop"}
    assert collected.seconds("confirm") == (0.4, 1.0)


def test_a_stop_without_proof_is_an_error(collected: Collected) -> None:
    trace(collected.process(), STOPPING, STOPPED.but(stop=CONFIRMED.but(verdict=Verdict.UNVERIFIED), workload=None))

    assert collected.spans["stop"].status.status_code is StatusCode.ERROR
    assert collected.spans["terminate"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("finished", [-60, 60])
def test_a_nodes_clock_does_not_turn_time_around(collected: Collected, finished: float) -> None:
    (pod,) = WORKLOAD.pods
    ends = (ContainerEnd(name="main", finished_at=at(finished)),)
    trace(collected.process(), RUNNING, STOPPED.but(workload=WORKLOAD.but(pods=(pod.but(containers=ends),))))

    moments = [*collected.seconds("terminate"), *collected.seconds("confirm")]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (0.65, 3.5)


@pytest.mark.parametrize("fields", [[], [{"time": when(2), "fieldsV1": {"f:spec": {"f:stopRequested": {}}}}]])
def test_a_request_of_unknown_time_is_left_out(collected: Collected, fields: list[Raw]) -> None:
    trace(collected.process(), RUNNING, STOPPED, managedFields=fields)

    assert "request" not in collected.spans
    assert collected.seconds("stop") == (0.4, 3.5)


def test_a_deletion_says_when_it_was_asked_for(collected: Collected) -> None:
    record = CONFIRMED.but(source=StopSource.DELETION)
    deleted = task(None, RUNNING.wire(), deletionTimestamp=when(0))
    collected.process().changed(deleted, None, STOPPED.but(stop=record))

    assert collected.seconds("request") == (0.0, 0.4)


def test_a_mistake_in_tracing_is_logged_and_hurts_nobody(
    collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    broken = STOPPED.model_copy(update={"stop": "no record"})
    trace(collected.process(), RUNNING, broken)

    assert "could not be traced" in caplog.text


# Whether, and where to


def test_it_is_off_unless_asked_for() -> None:
    assert tracing_from({}) is NO_TRACING
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert tracing_from(endpoint | {"OTEL_SDK_DISABLED": "true"}) is NO_TRACING
    assert tracing_from(endpoint | {"OTEL_TRACES_EXPORTER": "none"}) is NO_TRACING


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delitem(sys.modules, "agentstop.controller.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        assert tracing_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) is NO_TRACING

    (line,) = [record.getMessage() for record in caplog.records]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in line
    assert "agentstop[tracing]" in line


def test_a_protocol_that_is_not_spoken_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert tracing_from(given) is NO_TRACING
    assert "http/protobuf" in caplog.text


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    yield port
    for each in threading.enumerate():
        if each.name.startswith("OtelBatch"):
            each.join(30)  # what it still has to say is not said in the middle of another test
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


@pytest.fixture
async def collector(port: int) -> AsyncIterator[Collector]:
    async with collecting(port) as collector:
        yield collector


ENVIRONMENT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "given by the fixture"}


async def test_a_collector_gets_it(collector: Collector) -> None:
    tracing = tracing_from(ENVIRONMENT)
    trace(tracing, RUNNING, STOPPING)
    await until(lambda: len(collector.spans) == 2, PATIENCE, "the first spans arrive")
    trace(tracing, STOPPING, STOPPED)
    await tracing.close()

    assert collector.names == ["request", "signal", "terminate", "confirm", "stop"]
    assert {span.trace_id for span in collector.spans} == {trace_id("task-uid").to_bytes(16)}
    assert {span.parent_span_id for span in collector.spans[:-1]} == {collector.spans[-1].span_id}
    assert collector.services == {"agentstop"}


@pytest.mark.usefixtures("port")
async def test_a_dead_collector_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracing = tracing_from(ENVIRONMENT)
    with caplog.at_level(logging.INFO):
        for uid in ("a", "b"):
            trace(tracing, RUNNING, STOPPED, uid=uid)
            await until(lambda: "lost until they do" in caplog.text, 20, "the loss is told")
        await tracing.close()

    assert len([record for record in caplog.records if record.name.startswith(("agentstop", "opentelemetry"))]) == 1


async def test_a_collector_that_hangs_holds_up_nothing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """More spans than the queue takes are handed over to a collector that never answers, and then it is left."""
    collector.answers.clear()
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    tracing = tracing_from(ENVIRONMENT)
    for number in range(200):
        trace(tracing, RUNNING, STOPPED, uid=str(number))
    async with asyncio.timeout(8):
        await tracing.close()

    assert not collector.spans
