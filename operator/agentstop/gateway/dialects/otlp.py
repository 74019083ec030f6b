"""OTLP over HTTP: metrics and traces of agents, as any OpenTelemetry SDK or collector sends them. Off without a meter.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from collections.abc import Iterable
from typing import Final

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agentstop.gateway.bodies import read_body
from agentstop.gateway.dialect import Call, Dialect, Route
from agentstop.gateway.errors import GatewayError, InvalidError, UnreadTypeError
from agentstop.gateway.meter import otlp, wire
from agentstop.gateway.meter.meter import MAX_BODY_BYTES, Outcome
from agentstop.gateway.meter.pricing import Pricing

REPORTER: Final = "otlp"

Request = ExportMetricsServiceRequest | ExportTraceServiceRequest


async def take_metrics(call: Call) -> web.StreamResponse:
    """POST /metrics."""
    outcome = await _take(call, ExportMetricsServiceRequest, "metrics")
    answer = ExportMetricsServiceResponse()
    if outcome.problems:
        answer.partial_success.rejected_data_points = len(outcome.problems)
        answer.partial_success.error_message = outcome.told
    return web.Response(body=wire.write(answer, call.request.content_type), content_type=call.request.content_type)


async def take_traces(call: Call) -> web.StreamResponse:
    """POST /traces."""
    outcome = await _take(call, ExportTraceServiceRequest, "spans")
    answer = ExportTraceServiceResponse()
    if outcome.problems:
        answer.partial_success.rejected_spans = len(outcome.problems)
        answer.partial_success.error_message = outcome.told
    return web.Response(body=wire.write(answer, call.request.content_type), content_type=call.request.content_type)


async def _take(call: Call, kind: type[Request], signal: str) -> Outcome:
    meter, content_type = call.meter, call.request.content_type
    meter.check(call.caller)
    if content_type not in {wire.PROTOBUF, wire.JSON}:
        raise UnreadTypeError(f"send {wire.PROTOBUF} or {wire.JSON}")
    pricing = meter.pricing()

    def read(body: bytes) -> tuple[int, list[otlp.Told]]:
        request = wire.read(body, kind, content_type)
        return otlp.number_of_points(request), list(_told(request, pricing))

    async with meter.body(call.caller):
        body = await read_body(call.request, MAX_BODY_BYTES)
        try:
            number, told = await meter.read(len(body), lambda: read(body))
        except wire.MalformedError as error:
            raise InvalidError(str(error)) from None
    meter.admit(signal, number)
    meter.unpriced(pricing)
    problems = [problem for each in told for problem in each.problems]
    return await meter.take(call.caller, REPORTER, signal, [(each.subject, each.evidence) for each in told], problems)


def _told(request: Request, pricing: Pricing) -> Iterable[otlp.Told]:
    if isinstance(request, ExportTraceServiceRequest):
        return otlp.of_spans(request, pricing)
    return otlp.of_metrics(request, pricing)


def _render(error: GatewayError, call: Call) -> web.Response:
    """Return an error as OTLP has it: a request that is not as it must be is answered with 400, and not sent again."""
    code = error.code
    if isinstance(error, InvalidError):
        code = 415 if isinstance(error, UnreadTypeError) else 400
    content_type = wire.JSON if call.request.content_type == wire.JSON else wire.PROTOBUF
    return web.Response(status=code, body=wire.status(code, error.message, content_type), content_type=content_type)


DIALECT: Final = Dialect(
    name="otlp",
    prefix="/v1",
    routes=(Route("POST", "/metrics", take_metrics), Route("POST", "/traces", take_traces)),
    render=_render,
    host_prefix="/v1",
)
