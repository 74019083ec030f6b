"""What OpenTelemetry's signals and LiteLLM's callback tell, and the forms that they come in."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentstop.gateway.meter import litellm, otlp, wire
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.evidence import Direct, Part, Subject, Total
from agentstop.gateway.meter.prices import Price, Prices
from agentstop.gateway.meter.pricing import Pricing
from agentstop.gateway.meter.tally import Tally

PRICES = Prices({"gpt-4o": Price(Decimal("0.001"), Decimal("0.01"))})

RESOURCE = {"agentstop.task": "team/research", "service.name": "agent"}


def attributes(**given: Any) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in given.items()]


def spans(*found: dict[str, Any], resource: dict[str, Any] = RESOURCE) -> ExportTraceServiceRequest:
    listed = [
        {
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": f"{number:016x}",
            "endTimeUnixNano": "1767225600000000000",
            "attributes": attributes(**{f"gen_ai.{key}": value for key, value in each.items()}),
        }
        for number, each in enumerate(found, start=1)
    ]
    body = {"resourceSpans": [{"resource": {"attributes": attributes(**resource)}, "scopeSpans": [{"spans": listed}]}]}
    return wire.read(json.dumps(body).encode(), ExportTraceServiceRequest, wire.JSON)


def metrics(*points: dict[str, Any], delta: bool = False, name: str = otlp.METRIC) -> ExportMetricsServiceRequest:
    listed = [
        {
            "attributes": attributes(**{"gen_ai.token.type": "input", "gen_ai.request.model": "gpt-4o"}),
            "startTimeUnixNano": "1767225600000000000",
            "timeUnixNano": "1767225660000000000",
            "count": "1",
            **each,
        }
        for each in points
    ]
    data = {"aggregationTemporality": 1 if delta else 2, "dataPoints": listed}
    scope = {"metrics": [{"name": name, "histogram": data}]}
    body = {"resourceMetrics": [{"resource": {"attributes": attributes(**RESOURCE)}, "scopeMetrics": [scope]}]}
    return wire.read(json.dumps(body).encode(), ExportMetricsServiceRequest, wire.JSON)


def test_a_span_is_a_turn_with_its_tokens_and_its_price() -> None:
    pricing = Pricing(PRICES)
    asked = {"operation.name": "chat", "request.model": "gpt-4o", "response.model": "gpt-4o-2024"}
    (told,) = otlp.of_spans(
        spans(
            {**asked, "usage.input_tokens": 100, "usage.output_tokens": 10},
            {"operation.name": "invoke_agent", "usage.input_tokens": 100, "usage.output_tokens": 10},
            {"operation.name": "execute_tool"},
            {"usage.prompt_tokens": 1, "usage.completion_tokens": 2, "response.model": "who"},
            {"usage.input_tokens": -5},
        ),
        pricing,
    )
    assert told.subject == Subject("team", "research")
    assert [each.what for each in told.evidence] == [
        Part(Amounts(100, 10, 1, Decimal("0.2")), span=True),
        Part(Amounts(1, 2, 1), span=True),
    ]
    assert told.problems == ("a span has a number of tokens that can be none",)
    assert pricing.unknown == {"who": 1}
    assert len({each.identity for each in told.evidence}) == 2


def test_metrics_are_told_by_their_temporality() -> None:
    (told,) = otlp.of_metrics(metrics({"sum": 50}), Pricing(PRICES))
    (total,) = told.evidence
    assert isinstance(total.what, Total)
    assert (total.what.point.tokens, total.what.point.calls, total.what.point.price) == (50, 1, Decimal("0.001"))
    (told,) = otlp.of_metrics(metrics({"sum": 50}, {"sum": 50}, delta=True), Pricing(PRICES))
    first, second = told.evidence
    assert first.what == Part(Amounts(50, 0, 1, Decimal("0.050")), span=False)
    assert first.identity == second.identity
    assert not list(otlp.of_metrics(metrics({"sum": 1}, name="http.server.duration"), Pricing(PRICES)))


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ({}, "no sum"),
        ({"sum": -1}, "no sum"),
        ({"sum": "NaN"}, "no sum"),
        ({"sum": 1e300}, "no sum"),
        ({"sum": 1, "startTimeUnixNano": "0"}, "set startTimeUnixNano"),
    ],
)
def test_points_that_cannot_be_counted_say_why(point: dict[str, Any], problem: str) -> None:
    (told,) = otlp.of_metrics(metrics(point), Pricing(PRICES))
    assert not told.evidence
    assert problem in told.problems[0]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_a_counter_with_resets_has_the_right_sum_in_any_order(lives: list[list[int]], data: st.DataObject) -> None:
    points = [
        {"sum": sum(life[: end + 1]), "count": str(end + 1), "startTimeUnixNano": str(10**18 + start)}
        for start, life in enumerate(lives)
        for end in range(len(life))
    ]
    tally = Tally()
    for each in data.draw(st.permutations(points * 2)):
        for told in otlp.of_metrics(metrics(each), Pricing(PRICES)):
            fresh = Tally()
            fresh.note(told.evidence[0])
            tally.take(fresh)
    (group,) = tally.groups.values()
    tokens = sum(map(sum, lives))
    assert group.counted == Amounts(tokens, 0, sum(map(len, lives)), tokens * Decimal("0.001"))


def test_a_resource_says_whose_it_is() -> None:
    for given_, subject in (
        ({"agentstop.task": "a/b"}, Subject("a", "b")),
        ({"agentstop.task": "b", "k8s.namespace.name": "a"}, Subject("a", "b")),
        ({"k8s.namespace.name": "a", "k8s.pod.name": "p"}, Subject("a", pod="p")),
        ({"k8s.pod.uid": "u"}, Subject(pod_uid="u")),
        ({}, Subject()),
    ):
        assert otlp.subject_of(given_) == subject


def test_ids_in_json_are_hexadecimal() -> None:
    request = spans({"usage.input_tokens": 1})
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert (span.trace_id.hex(), span.span_id.hex()) == ("5b8efff798038103d269b633813fc60c", "0000000000000001")
    again = wire.read(request.SerializeToString(), ExportTraceServiceRequest, wire.PROTOBUF)
    pricing = Pricing(PRICES)
    assert list(otlp.of_spans(again, pricing)) == list(otlp.of_spans(request, pricing))
    assert otlp.number_of_points(again) == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xff", wire.PROTOBUF),
        (b"", wire.JSON),
        (b"[]", wire.JSON),
        (b'{"resourceSpans": 1}', wire.JSON),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}', wire.JSON),
        (b"[" * 100_000, wire.JSON),
        (b'{"a":' * 100 + b"1" + b"}" * 100, wire.JSON),
    ],
)
def test_what_is_no_otlp_is_refused_in_one_line(body: bytes, content_type: str) -> None:
    with pytest.raises(wire.MalformedError) as raised:
        wire.read(body, ExportTraceServiceRequest, content_type)
    assert "\n" not in str(raised.value)


def test_an_error_has_the_form_of_a_status() -> None:
    assert json.loads(wire.status(429, "slow", wire.JSON)) == {"code": 8, "message": "slow"}
    message = "x" * 200
    assert wire.status(400, message, wire.PROTOBUF) == b"\x08\x03\x12\xc8\x01" + message.encode()


CALL: dict[str, Any] = {
    "id": "chatcmpl-1",
    "call_type": "acompletion",
    "status": "success",
    "response_cost": 0.00034,
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "endTime": 1767225600.5,
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
    "cache_hit": None,
    "end_user": "team/research",
    "metadata": {"user_api_key_alias": "k", "requester_metadata": {}, "spend_logs_metadata": None},
}


def calls(*found: Any) -> list[litellm.Told | str]:
    return list(litellm.of_calls(litellm.read_calls(json.dumps(found).encode()), Pricing(PRICES), trust=True))


def test_a_call_of_litellm_has_its_own_cost() -> None:
    (told,) = calls(CALL)
    assert isinstance(told, litellm.Told)
    assert told.subject == Subject("team", "research")
    assert told.evidence.what == Direct(Amounts(30, 12, 1, Decimal("0.00034")))
    assert told.evidence.at is not None
    assert told.evidence.at.isoformat() == "2026-01-01T00:00:00.500000+00:00"


def test_calls_without_a_cost_are_priced_and_cached_ones_used_no_tokens() -> None:
    found = calls(
        {**CALL, "response_cost": None}, {**CALL, "cache_hit": True, "response_cost": 0}, {**CALL, "status": "failure"}
    )
    told = [each.evidence.what for each in found if isinstance(each, litellm.Told)]
    amounts = [each.amounts for each in told if isinstance(each, Direct)]
    assert amounts == [Amounts(30, 12, 1, Decimal("0.150")), Amounts(0, 0, 1), Amounts(30, 12, 0, Decimal("0.00034"))]


def test_the_key_of_the_proxy_says_whose_a_call_is_before_its_user_does() -> None:
    key = {"user_api_key_auth_metadata": {"agentstop.task": "team/other"}}
    user = {"requester_metadata": {"agentstop.task": "team/third"}}
    assert litellm.subject_of({**CALL, "metadata": {**user, **key}}, trust=True) == Subject("team", "other")
    assert litellm.subject_of({**CALL, "metadata": user}, trust=True) == Subject("team", "third")
    assert litellm.subject_of({"end_user": "jane"}, trust=True) is None
    assert litellm.subject_of({**CALL, "metadata": key}, trust=False) == Subject("team", "other")


@pytest.mark.parametrize("place", ["requester_metadata", "spend_logs_metadata"])
def test_without_trust_a_request_cannot_say_that_it_is_another_tasks(place: str) -> None:
    call = {**CALL, "metadata": {place: {"agentstop.task": "team/other"}}}
    assert litellm.subject_of(call, trust=True) == Subject("team", "other")
    assert litellm.subject_of(call, trust=False) is None


@pytest.mark.parametrize(
    "change",
    [
        {"response_cost": -1},
        {"response_cost": "1"},
        {"prompt_tokens": -1},
        {"completion_tokens": 1.5},
        {"end_user": ""},
    ],
)
def test_a_call_that_cannot_be_counted_says_why(change: dict[str, Any]) -> None:
    (problem,) = calls({**CALL, **change})
    assert isinstance(problem, str)


def test_bodies_of_litellm_come_in_three_forms() -> None:
    one = json.dumps(CALL).encode()
    assert [len(litellm.read_calls(body)) for body in (one, b"[" + one + b"]", one + b"\n" + one)] == [1, 1, 2]
    for body in (b"", b"{", b"x\ny", b"\xff", b"[" * 100_000, b"{}\n" + b"[" * 100_000, b"1e" + b"9" * 20):
        with pytest.raises(ValueError):  # noqa: PT011  (it is worded by whoever answers)
            litellm.read_calls(body)
