"""Spans of calls that are sent to the gateway's meter: as many a second as it takes, and then without a pause.

No operator runs: what is measured ends with the usages that the meter writes.
"""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.contenders import OURS, tasks_path, usages_path
from benchmarks.gateway import gateway_process
from benchmarks.load import paced
from benchmarks.operator_process import OperatorProcess
from benchmarks.orders import check
from benchmarks.results import Latencies, Meter, Taking
from benchmarks.stage import Stage, for_all

TASKS: Final = 1000
SPANS: Final = 500
"""So many are in one request, as a collector sends them."""
TASKS_IN_ONE: Final = 50
"""They are of so many tasks."""

PER_SECOND: Final = 10_000
"""What the meter takes by default."""
WINDOW_SECONDS: Final = 30.0
SENDERS: Final = 8
"""So many send without a pause, and do not care when they are to come again."""
SETTLE_SECONDS: Final = 2.0
WRITTEN_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.5

PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}

TOKENS: Final = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}


async def meter(place: Stage, log: Path, say: Callable[[str], None]) -> Meter:
    """Send as many spans a second as are taken by default, then as many as can be sent.

    Raises WrongError where the usages do not say in the end what the answers said.
    """
    names = OURS.names("m", TASKS)
    say(f"meter: making {TASKS} tasks")

    async def make(name: str) -> None:
        await place.api.call("POST", tasks_path(place.namespace), OURS.manifest(name))

    await for_all(names, make)
    async with _sender(place.namespace, names, log) as sender:
        await asyncio.sleep(SETTLE_SECONDS)
        say(f"meter: {PER_SECOND} spans a second")
        paced_out = await _measured(sender, sender.at_pace)
        say("meter: as many spans as can be sent")
        flood = await _measured(sender, sender.without_pause)
        await _agree(place, SPANS * sender.answers[200])
    return Meter(TASKS, SPANS, PER_SECOND, paced_out, flood)


@dataclass
class _Sender:
    """Who sends, and what the answers were."""

    process: OperatorProcess
    url: str
    session: aiohttp.ClientSession
    requests: Iterator[bytes]
    answers: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    """Seconds until the answers that said yes."""

    async def send(self) -> None:
        """Send one request."""
        began = time.perf_counter()
        async with self.session.post(self.url, data=next(self.requests), headers=PROTOBUF) as answer:
            await answer.read()
        self.answers[answer.status] += 1
        check(answer.status in {200, 429}, f"the meter answers {answer.status} to spans")
        check(answer.status == 200 or "Retry-After" in answer.headers, "a refusal does not say when to come again")
        if answer.status == 200:
            self.took.append(time.perf_counter() - began)

    async def at_pace(self) -> None:
        """Send `PER_SECOND` spans a second."""
        async with paced(["spans"], SPANS / PER_SECOND, lambda _: self.send()):
            await asyncio.sleep(WINDOW_SECONDS)

    async def without_pause(self) -> None:
        """Send one request after the other, `SENDERS` at a time."""
        end = time.perf_counter() + WINDOW_SECONDS

        async def go_on() -> None:
            while time.perf_counter() < end:
                await self.send()

        await asyncio.gather(*(go_on() for _ in range(SENDERS)))


@asynccontextmanager
async def _sender(namespace: str, names: Sequence[str], log: Path) -> AsyncIterator[_Sender]:
    file = log.with_name("meter.yaml")
    file.write_text("{}\n", encoding="utf-8")
    async with gateway_process(namespace, log, ["--meter", str(file)]) as (process, url, session):
        yield _Sender(process, f"{url}/v1/traces", session, _requests(namespace, names))


def _requests(namespace: str, names: Sequence[str]) -> Iterator[bytes]:
    """Yield requests, none of whose spans has been sent before."""
    tasks = itertools.cycle(names)
    template = ExportTraceServiceRequest()
    for _ in range(TASKS_IN_ONE):
        resource = template.resource_spans.add()
        resource.resource.attributes.add(key="agentstop.task")
        spans = resource.scope_spans.add().spans
        for _ in range(SPANS // TASKS_IN_ONE):
            span = spans.add(name="chat")
            span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
            for key, value in TOKENS.items():
                span.attributes.add(key=key).value.int_value = value
    while True:
        for resource in template.resource_spans:
            resource.resource.attributes[0].value.string_value = f"{namespace}/{next(tasks)}"
            for span in resource.scope_spans[0].spans:
                span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        yield template.SerializeToString()


async def _measured(sender: _Sender, sending: Callable[[], Awaitable[None]]) -> Taking:
    answers, memory, own = sender.answers.copy(), sender.process.memory_mib(), sender.process.cpu_seconds()
    sender.took.clear()
    began = time.perf_counter()
    await sending()
    seconds = time.perf_counter() - began
    answers = sender.answers - answers
    return Taking(
        taken_per_second=SPANS * answers[200] / seconds,
        refused_per_second=SPANS * answers[429] / seconds,
        answer=Latencies(list(sender.took)),
        gateway_share=(sender.process.cpu_seconds() - own) / seconds,
        before_mib=memory,
        peak_mib=sender.process.peak_mib(),
    )


async def _agree(place: Stage, spans: int) -> None:
    """Wait until the usages say as many calls as the answers; raise WrongError where they never do."""
    end = time.perf_counter() + WRITTEN_SECONDS
    written = -1
    while written != spans and time.perf_counter() < end:
        await asyncio.sleep(POLL_SECONDS)
        items = (await place.api.call("GET", usages_path(place.namespace)))["items"]
        written = sum(each["spec"].get("turns", 0) for each in items)
    check(written == spans, f"the usages say {written} calls, and {spans} were taken")
