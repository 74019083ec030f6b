"""The meter: what OpenTelemetry, LiteLLM and reports tell stands in the usage of the task, once."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Answer, Gateway, Keys
from tests.support.kube import USAGES
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until
from tests.unit.gateway.test_meter_otlp import CALL, attributes

from .api import check, made
from .conftest import People, gateway_kubeconfig

PRICES = {"gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}}

JSON = {"Content-Type": "application/json"}


class Metering:
    """Gateways with a meter, and what they have counted."""

    def __init__(self, ns: Namespace, gateways: list[Gateway], key: str) -> None:
        self.ns = ns
        self.gateways = gateways
        self.key = key

    async def post(
        self, path: str, body: Any, which: Gateway | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await (which or self.gateways[0]).ask(
            "POST", path, key=self.key, body=raw, headers={**JSON, **(headers or {})}
        )

    async def made(self, name: str, *others: Gateway, **spec: Any) -> None:
        """Make a task, and wait until all gateways know it."""
        uid = await made(self.ns, name, **spec)
        for each in (*self.gateways, *others):

            async def known(gateway: Gateway = each) -> bool:
                return (await gateway.ask("GET", f"/api/v1/tasks/{uid}", key=self.key)).code == 200

            await until(known, PATIENCE, "the task known")

    async def usage(self, name: str) -> dict[str, Any]:
        found = [each for each in await self.ns.kube.list(USAGES, self.ns.name) if each["metadata"]["name"] == name]
        return dict(found[0]["spec"]) if found else {}

    async def reaches(self, name: str, **wanted: Any) -> dict[str, Any]:
        async def is_so() -> bool:
            spec = await self.usage(name)
            return all(spec.get(field) == value for field, value in wanted.items())

        try:
            await until(is_so, PATIENCE, f"usage {wanted}")
        except BaseException as error:
            raise AssertionError(f"{await self.usage(name)} instead of {wanted}") from error
        return await self.usage(name)


def write(file: Path, text: str) -> None:
    """Write a file as a whole, as what is mounted is."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


async def started(cluster: Cluster, file: Path, keys: Keys | None = None, **config: Any) -> Gateway:
    """Start a gateway with a meter, which writes soon."""
    write(file.parent / "prices.json", json.dumps(PRICES))
    write(file, yaml.safe_dump({"prices": "prices.json", "keys": ["jane"], "writeSeconds": 0.2, **config}))
    options = ["--meter", str(file)]
    return await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), options=options, keys=keys)


@pytest.fixture(scope="module")
async def gateways(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Gateway]]:
    file = tmp_path_factory.mktemp("meter") / "meter.yaml"
    first = await started(cluster, file)
    second = await started(cluster, file, first.keys)
    yield [first, second]
    for each in (first, second):
        await each.program.end()
        assert not each.mistakes()


@pytest.fixture
async def metering(gateways: list[Gateway], ns: Namespace, people: People) -> Metering:
    for role in ("agentstop-report", "agentstop-view"):
        await people.bind("jane", role)
    return Metering(ns, gateways, gateways[0].keys.add("jane"))


@pytest.fixture
async def third(cluster: Cluster, gateways: list[Gateway], tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of a test's own, which writes late and takes little."""
    config = {"writeSeconds": 60, "limits": {"pointsPerSecond": 100}}
    gateway = await started(cluster, tmp_path / "meter.yaml", gateways[0].keys, **config)
    yield gateway
    await gateway.program.end()


def of_task(ns: Namespace, name: str) -> dict[str, Any]:
    """A call with a key of LiteLLM's that names this task."""
    key = {"user_api_key_auth_metadata": {"agentstop.task": f"{ns.name}/{name}"}}
    return {**CALL, "metadata": {**CALL["metadata"], **key}}


def report(**fields: Any) -> dict[str, Any]:
    return {"promptTokens": 10, "completionTokens": 1, "turns": 1, **fields}


class Agent:
    """A process with OpenTelemetry's own SDK and exporters, as people run it."""

    def __init__(self, gateway: Gateway, key: str, task: str) -> None:
        resource = Resource.create({"agentstop.task": task, "service.name": "agent", "service.instance.id": "one"})
        headers = {"x-api-key": key}
        self._spans = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{gateway.url}/v1/traces", headers=headers)
        self._spans.add_span_processor(SimpleSpanProcessor(exporter))
        metrics = OTLPMetricExporter(endpoint=f"{gateway.url}/v1/metrics", headers=headers)
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=600_000)
        self._metrics = MeterProvider(resource=resource, metric_readers=[reader])
        self._tokens = self._metrics.get_meter("agent").create_histogram("gen_ai.client.token.usage", unit="{token}")

    def calls_a_model(self, prompt: int, completion: int) -> None:
        asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
        with self._spans.get_tracer("agent").start_as_current_span("chat gpt-4o", attributes=asked) as span:
            span.set_attribute("gen_ai.usage.input_tokens", prompt)
            span.set_attribute("gen_ai.usage.output_tokens", completion)
        for kind, tokens in (("input", prompt), ("output", completion)):
            self._tokens.record(tokens, {**asked, "gen_ai.token.type": kind})

    def exports(self) -> None:
        assert self._metrics.force_flush()

    def ends(self) -> None:
        self._metrics.shutdown()
        self._spans.shutdown()


async def test_opentelemetry_counts_metrics_and_spans_of_the_same_calls_once(
    ns: Namespace, operator: Operator, metering: Metering
) -> None:
    await metering.made("research")
    agent = Agent(metering.gateways[0], metering.key, f"{ns.name}/research")

    def work() -> None:
        for _ in range(3):
            agent.calls_a_model(1000, 100)
            agent.exports()

    await asyncio.to_thread(work)
    spec = await metering.reaches("research", promptTokens=3000, completionTokens=300, turns=3, cost="0.0105")
    assert (spec["currency"], spec["reportedBy"], bool(spec["lastActivityAt"])) == ("USD", "otlp", True)
    (found,) = await ns.kube.list(USAGES, ns.name)
    assert found["metadata"]["ownerReferences"][0]["kind"] == "AgentTask"
    if Feature.RBAC in ns.cluster.features:
        assert {each["manager"] for each in found["metadata"]["managedFields"]} == {"agentstop-gateway"}
    await asyncio.to_thread(agent.ends)


@pytest.mark.on("playground")
async def test_a_counter_goes_on_at_another_gateway_when_one_is_killed(
    ns: Namespace, operator: Operator, metering: Metering, third: Gateway
) -> None:
    await metering.made("research", third)

    def points(tokens: int) -> dict[str, Any]:
        point = {
            "attributes": attributes(**{"gen_ai.token.type": "input", "gen_ai.request.model": "gpt-4o"}),
            "startTimeUnixNano": "1767225600000000000",
            "timeUnixNano": str(1767225600000000000 + tokens),
            "count": "1",
            "sum": tokens,
        }
        data = {"aggregationTemporality": 2, "dataPoints": [point]}
        resource = {"attributes": attributes(**{"agentstop.task": f"{ns.name}/research"})}
        scope = {"metrics": [{"name": "gen_ai.client.token.usage", "histogram": data}]}
        return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}

    for number, tokens in enumerate((1000, 2000, 3000, 2500)):
        assert (await metering.post("/v1/metrics", points(tokens), metering.gateways[number % 2])).code == 200
    await metering.reaches("research", promptTokens=3000)
    for tokens in (4000, 4500):
        assert (await metering.post("/v1/metrics", points(tokens), third)).code == 200
    await metering.reaches("research", promptTokens=4000)
    await third.program.kill()
    assert (await metering.post("/v1/metrics", points(5000))).code == 200
    await metering.reaches("research", promptTokens=5000, turns=1, cost="0.0125")


async def test_two_gateways_add_into_one_usage_and_lose_nothing(
    ns: Namespace, operator: Operator, metering: Metering, third: Gateway
) -> None:
    await metering.made("research", third)
    path = f"/api/v1/tasks/{ns.name}/research/usage"
    first, second = metering.gateways
    answers = await asyncio.gather(
        *(metering.post(path, report(id=f"r{number // 2 * 2}"), first) for number in range(20)),
        *(metering.post(path, report(cost="0.0000005"), second) for _ in range(20)),
        *(metering.post(path, report(), third) for _ in range(5)),
    )
    for answer in answers:
        assert answer.code == 200, answer
        check("POST", path.removeprefix("/api/v1"), answer)
    # What is not written when a gateway is asked to end is written before it ends.
    await third.program.end()
    await metering.reaches("research", promptTokens=350, turns=35, cost="0.00001")


@pytest.mark.on("playground")
async def test_litellm_tells_what_calls_cost(ns: Namespace, operator: Operator, metering: Metering) -> None:
    await metering.made("research")
    call = of_task(ns, "research")
    # What a request says itself does not count here.
    other = {**CALL, "end_user": f"{ns.name}/research"}
    answer = await metering.post("/litellm/calls", [call, {**call, "id": "2"}, other, call])
    problem = "1x a call's key has no agentstop.task of the form NAMESPACE/NAME in its metadata"
    assert (answer.code, answer.body) == (200, {"taken": 3, "refused": 1, "problems": problem})
    await metering.reaches(
        "research", promptTokens=60, completionTokens=24, turns=2, cost="0.00068", reportedBy="litellm"
    )


@pytest.mark.on("playground")
async def test_what_reaches_a_limit_is_told_at_once(
    ns: Namespace, operator: Operator, metering: Metering, third: Gateway
) -> None:
    await metering.made("research", third, budget={"maxTurns": 10, "action": "Observe"})
    path = f"/api/v1/tasks/{ns.name}/research/usage"
    for turns, written in ((1, 1), (8, 1), (1, 10)):
        assert (await metering.post(path, report(turns=turns), third)).code == 200
        await metering.reaches("research", turns=written)


@pytest.mark.on("playground")
async def test_a_flood_is_answered_with_when_to_come_again(
    ns: Namespace, operator: Operator, metering: Metering, third: Gateway
) -> None:
    await metering.made("research", third)
    call = of_task(ns, "research")
    # As many as in 40 seconds: the next ones come too soon, however slow this machine is.
    first = await metering.post("/litellm/calls", [{**call, "id": f"first-{number}"} for number in range(4000)], third)
    late = await metering.post("/litellm/calls", [{**call, "id": f"late-{number}"} for number in range(99)], third)
    assert (first.code, late.code) == (200, 429)
    assert int(late.headers["Retry-After"]) in range(1, 41)
    numbers = (await third.ask("GET", "/metrics")).text
    assert 'agentstop_meter_points_total{outcome="limited",signal="litellm"} 99.0' in numbers
    await third.program.end()
    await metering.reaches("research", turns=4000)


@pytest.mark.on("playground")
async def test_prices_are_read_anew_and_a_wrong_file_leaves_the_old_ones(
    ns: Namespace, operator: Operator, metering: Metering, third: Gateway, tmp_path: Path
) -> None:
    path = f"/api/v1/tasks/{ns.name}/{{}}/usage"

    async def costs(name: str, text: str, cost: str, model: str = "gpt-4o") -> None:
        write(tmp_path / "prices.json", text)
        await metering.made(name, third)
        sent = report(promptTokens=1000, completionTokens=0, model=model)
        assert (await metering.post(path.format(name), sent, third)).code == 200
        await metering.reaches(name, cost=cost)

    await costs("a", json.dumps(PRICES), "0.0025")
    await costs("b", json.dumps({"gpt-4o": {"input_cost_per_token": 1e-06}}), "0.001")
    assert not third.mistakes()
    await costs("c", '{"gpt-4o": 1}', "0.001")
    (line,) = third.mistakes()
    assert "prices.json cannot be read, and what it said before still counts" in line
    (tmp_path / "prices.json").unlink()
    await metering.made("e", third)
    assert (await metering.post(path.format("e"), report(promptTokens=1000, model="gpt-4o"), third)).code == 200
    await metering.reaches("e", cost="0.001")
    assert "still counts: there is no such file" in third.mistakes()[-1]
    await costs("d", '{"gpt-4o": 1}', "0", model="who")
    assert "model 'who' has no price" in third.program.text()
    assert "agentstop_meter_unpriced_points_total 1.0" in (await third.ask("GET", "/metrics")).text


async def test_what_cannot_be_taken_says_why(
    ns: Namespace, operator: Operator, metering: Metering, people: People
) -> None:
    await metering.made("research")
    path = f"/api/v1/tasks/{ns.name}/research/usage"
    gateway = metering.gateways[0]
    joe = gateway.keys.add("joe")
    answers = [
        await metering.post(path.replace("research", "nothing"), report()),
        await metering.post(path, report(cost="-1")),
        await metering.post(path, report(cost="NaN")),
        await metering.post(path, report(currency="EUR")),
        await metering.post(path, report(turns=1.5)),
        await metering.post(path, {"model": "gpt-4o"}),
        await metering.post("/v1/traces", b"{"),
        await metering.post("/v1/traces", b"\xff", headers={"Content-Type": "application/x-protobuf"}),
        await metering.post("/v1/traces", b"", headers={"Content-Type": "text/plain"}),
        await metering.post("/v1/metrics", b"no gzip", headers={"Content-Encoding": "gzip"}),
        await gateway.ask("POST", "/v1/metrics", key=joe, body=b"{}", headers=JSON),
        await gateway.ask("POST", "/v1/metrics", body=b"{}", headers=JSON),
        await metering.post("/litellm/calls", b"{"),
    ]
    assert [each.code for each in answers] == [404, 422, 422, 422, 422, 422, 400, 400, 415, 400, 403, 401, 422]
    assert answers[6].body == {"code": 3, "message": "the body is no JSON"}
    assert answers[7].headers["Content-Type"] == "application/x-protobuf"
    if Feature.RBAC in ns.cluster.features:
        answer = await gateway.ask("POST", path, key=joe, body=json.dumps(report()).encode(), headers=JSON)
        assert (answer.code, "taskusages" in answer.body["detail"]) == (403, True)
        # Whoever has no right is not told which tasks there are.
        told = [json.dumps(of_task(ns, name)).encode() for name in ("research", "nothing")]
        same = [await gateway.ask("POST", "/litellm/calls", key=joe, body=body, headers=JSON) for body in told]
        assert [each.code for each in same] == [403, 403]
        assert same[0].body == same[1].body
    assert not await metering.usage("research")


async def test_points_of_no_task_are_refused_and_the_others_taken(
    ns: Namespace, operator: Operator, metering: Metering
) -> None:
    await metering.made("research")
    task = await ns.running("research")
    pod = task["status"]["workload"]["pods"][0]
    request = ExportMetricsServiceRequest()
    for given in ({"k8s.pod.uid": pod["uid"]}, {"k8s.namespace.name": ns.name, "k8s.pod.name": "nobody's"}):
        resource = request.resource_metrics.add()
        for key, value in given.items():
            resource.resource.attributes.add(key=key).value.string_value = value
        metric = resource.scope_metrics.add().metrics.add(name="gen_ai.client.token.usage")
        metric.histogram.aggregation_temporality = 1
        metric.histogram.data_points.add(start_time_unix_nano=1, time_unix_nano=2, count=1, sum=7)
    body = gzip.compress(request.SerializeToString())
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    async with asyncio.timeout(PATIENCE):
        answer = await metering.post("/v1/metrics", body, headers=headers)
    assert answer.code == 200
    told = ExportMetricsServiceResponse.FromString(answer.text.encode()).partial_success
    assert (told.rejected_data_points, "no task that is known" in told.error_message) == (1, True)
    await metering.reaches("research", promptTokens=7, turns=1)


@pytest.mark.on("playground")
async def test_without_a_file_there_is_no_meter(gateway: Gateway, ns: Namespace, jane: str) -> None:
    for path in ("/v1/traces", "/v1/metrics", "/litellm/calls", f"/api/v1/tasks/{ns.name}/x/usage"):
        assert (await gateway.ask("POST", path, key=jane, body=b"{}", headers=JSON)).code == 404
