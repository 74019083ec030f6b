"""LiteLLM: its generic callback tells of each call that went through it. Off without a meter.

Source: https://docs.litellm.ai/docs/observability/generic_api
"""

import json
from typing import Final

from aiohttp import web

from agentstop.gateway.bodies import read_body
from agentstop.gateway.dialect import Call, Dialect, Route
from agentstop.gateway.errors import GatewayError, NoJsonError
from agentstop.gateway.meter import litellm
from agentstop.gateway.meter.meter import MAX_BODY_BYTES

REPORTER: Final = "litellm"


async def take(call: Call) -> web.StreamResponse:
    """POST /calls: count what calls have cost. Those that are of no task are let be."""
    meter = call.meter
    meter.check(call.caller)
    pricing = meter.pricing()

    def read(body: bytes) -> list[litellm.Told | str]:
        return list(litellm.of_calls(litellm.read_calls(body), pricing, trust=meter.trusts_requests))

    async with meter.body(call.caller):
        body = await read_body(call.request, MAX_BODY_BYTES)
        try:
            found = await meter.read(len(body), lambda: read(body))
        except ValueError:
            raise NoJsonError("the body is neither a JSON array of calls, nor one call, nor one a line") from None
    meter.admit(REPORTER, len(found))
    meter.unpriced(pricing)
    problems = [each for each in found if isinstance(each, str)]
    told = [(each.subject, (each.evidence,)) for each in found if not isinstance(each, str)]
    outcome = await meter.take(call.caller, REPORTER, REPORTER, told, problems)
    return _answer({"taken": outcome.taken, "refused": len(outcome.problems), "problems": outcome.told}, 200)


def _render(error: GatewayError, _: Call) -> web.Response:
    return _answer({"error": error.message}, error.code)


def _answer(body: dict[str, object], status: int) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")


DIALECT: Final = Dialect(
    name="litellm", prefix="/litellm", routes=(Route("POST", "/calls", take),), render=_render, host_prefix="/litellm"
)
