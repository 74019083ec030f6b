"""Usage: what a task has spent, told by anybody who counts and has the right to change its TaskUsage."""

from decimal import Decimal
from typing import Final

from aiohttp import web

from agentstop.api.meta import Model
from agentstop.api.usage import USAGE_PLURAL
from agentstop.cluster.large_objects import NamespacedName
from agentstop.gateway.dialect import Call
from agentstop.gateway.dialects.api import requests
from agentstop.gateway.dialects.api.answers import answer
from agentstop.gateway.dialects.api.operation import Operation
from agentstop.gateway.dialects.api.requests import NoQuery, UsageReport
from agentstop.gateway.errors import ForbiddenError, InvalidError, NotFoundError
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.evidence import Direct, Evidence, Subject
from agentstop.gateway.meter.prices import FREE
from agentstop.gateway.meter.seen import digest
from agentstop.gateway.tasks import ARRIVAL_SECONDS

COUNTED: Final = frozenset({"prompt_tokens", "completion_tokens", "turns", "cost"})
"""What a report is of: one without any of them would change nothing."""


class UsageTaken(Model):
    """The report is taken; it is written within seconds."""

    namespace: str
    """Namespace of the task."""
    name: str
    """Name of the task."""
    currency: str
    """The currency in which the gateway counts."""


async def report(call: Call) -> web.StreamResponse:
    """POST /tasks/{namespace}/{name}/usage: add to what a task has spent."""
    meter = call.meter
    requests.query(call, NoQuery)
    namespace, name = requests.namespace(call), requests.name(call)
    wanted = await requests.body(call, UsageReport)
    if wanted.currency not in {None, meter.currency}:
        where = ("body", "currency")
        raise InvalidError(f"body.currency: this gateway counts in {meter.currency}", where=where)
    if not wanted.model_fields_set & COUNTED:
        raise InvalidError("body: give at least one of promptTokens, completionTokens, turns and cost", where=("body",))
    if not await call.core.access.may(call.caller, "patch", namespace, USAGE_PLURAL):
        raise ForbiddenError(f"the caller may not patch {USAGE_PLURAL} in namespace {namespace}")
    meter.admit("reports", 1)
    evidence = Evidence(
        Direct(_amounts(call, wanted)),
        at=wanted.at,
        identity=digest("report", wanted.id) if wanted.id is not None else None,
    )
    reporter = wanted.reported_by or call.caller.name
    await call.core.index.soon(lambda: call.core.index.named(NamespacedName(namespace, name)), ARRIVAL_SECONDS)
    outcome = await meter.take(call.caller, reporter, "reports", [(Subject(namespace, name), (evidence,))])
    if not outcome.taken:
        raise NotFoundError("there is no such task")
    return answer(UsageTaken(namespace=namespace, name=name, currency=meter.currency))


def _amounts(call: Call, wanted: UsageReport) -> Amounts:
    if wanted.cost is not None:
        cost = Decimal(wanted.cost)
    else:
        pricing = call.meter.pricing()
        price = pricing(None, wanted.model, None) if wanted.model is not None else None
        call.meter.unpriced(pricing)
        cost = (price or FREE).of(wanted.prompt_tokens, wanted.completion_tokens)
    return Amounts(wanted.prompt_tokens, wanted.completion_tokens, wanted.turns, cost)


OPERATIONS: Final = (
    Operation(
        name="reportUsage",
        summary="Add to what a task has spent. Where the gateway has no meter, there is no such page.",
        method="POST",
        path="/tasks/{namespace}/{name}/usage",
        handler=report,
        query=NoQuery,
        body=UsageReport,
        body_required=True,
        answers={200: UsageTaken},
    ),
)
