"""What OpenTelemetry's metrics and spans tell of a model's use.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from agentstop.api.meta import EARLIEST
from agentstop.api.usage import MAX_COUNT
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.evidence import Evidence, Part, Point, Subject, Total
from agentstop.gateway.meter.prices import FREE, Price
from agentstop.gateway.meter.seen import digest

METRIC: Final = "gen_ai.client.token.usage"

_NO_CALLS: Final = frozenset({"create_agent", "invoke_agent", "invoke_workflow", "execute_tool"})
"""Operations whose spans sum up what the calls below them have used, or use no model themselves."""

_COMPLETION: Final = frozenset({"output", "completion"})
"""What the type of tokens that came out of a model is called; the second is what it was called once."""

Attributes = dict[str, Any]
PriceOf = Callable[[str | None, str | None, str | None], Price | None]
"""Returns the price of a model, by its provider, the model that answered and the one that was asked."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one resource tells, and what of it cannot be taken."""

    subject: Subject
    evidence: tuple[Evidence, ...]
    problems: tuple[str, ...]


def number_of_points(request: ExportMetricsServiceRequest | ExportTraceServiceRequest) -> int:
    """Return how many points or spans a request has, those among them that nothing is counted by."""
    if isinstance(request, ExportTraceServiceRequest):
        return sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
    return sum(
        len(_data(metric).data_points) if _data(metric) is not None else 1
        for each in request.resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
    )


def of_metrics(request: ExportMetricsServiceRequest, price_of: PriceOf) -> Iterator[Told]:
    """Yield what metrics tell, by resource."""
    for each in request.resource_metrics:
        resource = _attributes(each.resource.attributes)
        evidence: list[Evidence] = []
        problems: list[str] = []
        for scope in each.scope_metrics:
            for metric in scope.metrics:
                if metric.name == METRIC:
                    for found in _of_metric(metric, resource, scope.scope.name, price_of):
                        (evidence if isinstance(found, Evidence) else problems).append(found)  # type: ignore[arg-type]
        if evidence or problems:
            yield Told(subject_of(resource), tuple(evidence), tuple(problems))


def of_spans(request: ExportTraceServiceRequest, price_of: PriceOf) -> Iterator[Told]:
    """Yield what spans tell, by resource."""
    for each in request.resource_spans:
        resource = _attributes(each.resource.attributes)
        evidence: list[Evidence] = []
        problems: list[str] = []
        for scope in each.scope_spans:
            for span in scope.spans:
                attributes = _attributes(span.attributes)
                tokens = _tokens_of_span(attributes)
                if tokens is None or attributes.get("gen_ai.operation.name") in _NO_CALLS:
                    continue
                if any(not 0 <= count <= MAX_COUNT for count in tokens):
                    problems.append("a span has a number of tokens that can be none")
                    continue
                prompt, completion, read, written = tokens
                cost = _price(attributes, price_of).of(prompt, completion, read, written)
                evidence.append(
                    Evidence(
                        Part(Amounts(prompt, completion, 1, cost), span=True),
                        at=_moment(span.end_time_unix_nano),
                        identity=digest("span", span.trace_id, span.span_id),
                        group=_group(resource),
                        parent=digest("span", span.trace_id, span.parent_span_id) if span.parent_span_id else None,
                    )
                )
        if evidence or problems:
            yield Told(subject_of(resource), tuple(evidence), tuple(problems))


def subject_of(resource: Attributes) -> Subject:
    """Return whose a resource is, as its attributes have it."""
    namespace, pod, uid = (_text(resource, f"k8s.{name}") for name in ("namespace.name", "pod.name", "pod.uid"))
    task = _text(resource, "agentstop.task")
    if task is not None and "/" in task:
        namespace, _, task = task.partition("/")
    return Subject(namespace, task, pod, uid)


def _of_metric(metric: Metric, resource: Attributes, scope: str, price_of: PriceOf) -> Iterator[Evidence | str]:
    data = _data(metric)
    if data is None or (metric.HasField("sum") and not data.is_monotonic):
        yield f"{METRIC} must be a histogram"
        return
    group = _group(resource)
    for point in data.data_points:
        attributes = _attributes(point.attributes)
        tokens, calls = _numbers(metric, point)
        if tokens is None:
            yield f"a point of {METRIC} has no sum that can be one of tokens"
            continue
        completion = attributes.get("gen_ai.token.type") in _COMPLETION
        price = _price(attributes, price_of)
        # Attributes may stand in any order.
        series = (group, scope, sorted((key, repr(value)) for key, value in attributes.items()))
        at = _moment(point.time_unix_nano)
        if data.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA:
            cost = price.of(0, tokens) if completion else price.of(tokens, 0)
            amounts = Amounts(0, tokens, 0, cost) if completion else Amounts(tokens, 0, calls, cost)
            identity = digest("delta", series, point.start_time_unix_nano, point.time_unix_nano)
            yield Evidence(Part(amounts, span=False), at, identity, group)
        elif not point.start_time_unix_nano:
            yield f"a cumulative point of {METRIC} does not say since when it counts: set startTimeUnixNano"
        else:
            start = point.start_time_unix_nano
            per_token = price.completion if completion else price.prompt
            counter = Point(start // 10**9, completion, tokens, 0 if completion else calls, per_token)
            yield Evidence(Total(digest(series, start), counter), at, None, group)


def _data(metric: Metric) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind) if kind in {"histogram", "exponential_histogram", "sum"} else None


def _numbers(metric: Metric, point: Any) -> tuple[int | None, int]:
    """Return tokens and calls of a point; of a plain sum, no calls are known."""
    if metric.HasField("sum"):
        tokens, calls = (point.as_int if point.HasField("as_int") else point.as_double), 0
    else:
        tokens, calls = (point.sum if point.HasField("sum") else math.nan), point.count
    if not math.isfinite(tokens) or not 0 <= tokens <= MAX_COUNT or calls > MAX_COUNT:
        return None, 0
    return round(tokens), calls


def _tokens_of_span(attributes: Attributes) -> tuple[int, int, int, int] | None:
    """Return tokens of prompt and completion, and those read from and written to a cache; None without any."""
    prompt, completion = (
        _first(attributes, f"gen_ai.usage.{now}_tokens", f"gen_ai.usage.{once}_tokens")
        for now, once in (("input", "prompt"), ("output", "completion"))
    )
    if prompt is None and completion is None:
        return None
    read, written = (_first(attributes, f"gen_ai.usage.cache_{what}.input_tokens") for what in ("read", "creation"))
    return prompt or 0, completion or 0, read or 0, written or 0


def _first(attributes: Attributes, *names: str) -> int | None:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return int(value)
    return None


def _price(attributes: Attributes, price_of: PriceOf) -> Price:
    provider = _text(attributes, "gen_ai.provider.name") or _text(attributes, "gen_ai.system")
    response, request = (_text(attributes, f"gen_ai.{side}.model") for side in ("response", "request"))
    return price_of(provider, response, request) or FREE


def _group(resource: Attributes) -> str:
    """Return what tells a process: all of its metrics and spans have these of its resource."""
    names = ("service.namespace", "service.name", "service.instance.id", "k8s.pod.uid", "k8s.pod.name", "process.pid")
    return digest(*(resource.get(name) for name in names))


def _attributes(pairs: Iterable[Any]) -> Attributes:
    """Return attributes whose values are plain; others tell nothing here."""
    found: Attributes = {}
    for each in pairs:
        kind = each.value.WhichOneof("value")
        if kind in {"string_value", "int_value", "double_value", "bool_value"}:
            found[each.key] = getattr(each.value, kind)
    return found


def _text(attributes: Attributes, name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) and value else None


def _moment(nanoseconds: int) -> datetime | None:
    """Return a moment; None where it is not said, or later than any that Python has a word for."""
    try:
        return EARLIEST + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
