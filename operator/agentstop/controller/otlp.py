"""Sends traces by OTLP/HTTP; needs the extra `tracing`.

Sending is a thread's work, from a queue of a fixed length: when the collector is slow or dead, spans are lost, and
nothing else happens.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from agentstop import __version__
from agentstop.api.task import AgentTaskStatus, StopStatus
from agentstop.controller.spans import ROOT, Span, Tracing, attributes, span_id, spans, trace_id
from agentstop.lifecycle.observation import Task

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 1.0
"""How long the operator waits at its end for what is still to be sent."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Ids(IdGenerator):
    """Gives the ids that were set just before."""

    def __init__(self) -> None:
        self.trace = self.span = 0

    def generate_trace_id(self) -> int:
        """Return the id of the trace."""
        return self.trace

    def generate_span_id(self) -> int:
        """Return the id of the span."""
        return self.span


class _Telling(SpanExporter):
    """Tells when spans begin to be lost and when they arrive again, and not of every try."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._losing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001  (whatever it is, the next spans are tried all the same)
            result = SpanExportResult.FAILURE
        losing = result is not SpanExportResult.SUCCESS
        if losing and not self._losing:
            log.warning("traces do not reach the collector of OTEL_EXPORTER_OTLP_ENDPOINT, and are lost until they do")
        elif self._losing and not losing:
            log.info("traces reach the collector again")
        self._losing = losing
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()


class Exporting(Tracing):
    """Makes spans of how stops come on, and hands them to a processor."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._ids = _Ids()
        ours = Resource(
            {"service.name": "agentstop", "service.version": __version__, "service.instance.id": socket.gethostname()}
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=ours.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("agentstop", __version__)

    def changed(self, task: Task, told: StopStatus | None, after: AgentTaskStatus) -> None:
        """Hand over the spans that came to their end."""
        if after.stop is None:
            return
        try:
            common = attributes(task, after.stop)
            for span in spans(task, told, after):
                self._hand_over(task.uid, span, {**common, **span.attributes})
        except Exception:
            log.exception("the stop of %s/%s could not be traced", task.namespace, task.name)

    def _hand_over(self, uid: str, span: Span, common: dict[str, str | int | float]) -> None:
        self._ids.trace, self._ids.span = trace_id(uid), span_id(uid, span.name)
        whole = SpanContext(self._ids.trace, span_id(uid, ROOT), is_remote=True, trace_flags=TraceFlags(0x01))
        above = Context() if span.name == ROOT else set_span_in_context(NonRecordingSpan(whole), Context())
        begun = self._tracer.start_span(span.name, above, attributes=common, start_time=_nanoseconds(span.began_at))
        if span.failed is not None:
            begun.set_status(Status(StatusCode.ERROR, span.failed))
        begun.end(_nanoseconds(span.ended_at))

    async def close(self) -> None:
        """Send what waits to be sent, for a moment; a thread that hangs is left behind."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may have been closed meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=end, name="end of traces", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), CLOSE_SECONDS)


def exporting() -> Exporting:
    """Return tracing that sends as OpenTelemetry's environment variables say."""
    # The exporter would log every try, and the whole of an error. What there is to know, _Telling says.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return Exporting(BatchSpanProcessor(_Telling(OTLPSpanExporter())))


def _nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000
