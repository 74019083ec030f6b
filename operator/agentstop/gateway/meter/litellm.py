"""What LiteLLM's generic callback tells of calls: its StandardLoggingPayload.

Source: https://docs.litellm.ai/docs/proxy/logging_spec and https://docs.litellm.ai/docs/observability/generic_api
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from agentstop.api.usage import MAX_COUNT
from agentstop.gateway.meter.amounts import NOTHING_SPENT, Amounts
from agentstop.gateway.meter.evidence import Direct, Evidence, Subject
from agentstop.gateway.meter.otlp import PriceOf
from agentstop.gateway.meter.prices import FREE
from agentstop.gateway.meter.seen import digest
from agentstop.gateway.meter.usage import MAX_COST

TASK: Final = "agentstop.task"
"""What names a call's task in metadata: namespace/name."""

_OF_KEY: Final = "user_api_key_auth_metadata"
"""What the proxy's key has, which is out of its user's reach."""

_OF_REQUEST: Final = ("requester_metadata", "spend_logs_metadata")
"""What a request says itself."""

NO_TASK: Final = f"a call's key has no {TASK} of the form NAMESPACE/NAME in its metadata"
"""Why a call is let be; with trust, its request names no task either."""

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A call, and whose it is."""

    subject: Subject
    evidence: Evidence


def read_calls(body: bytes) -> list[Any]:
    """Return the calls of a body: an array, a single one, or one a line. Raises ValueError where it is no JSON."""
    text = body.decode()
    try:
        found = _read(text)
    except json.JSONDecodeError:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
        return [_read(line) for line in lines]
    return found if isinstance(found, list) else [found]


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except InvalidOperation:
        raise ValueError("a number with too many digits") from None


def of_calls(calls: list[Any], price_of: PriceOf, *, trust: bool) -> Iterator[Told | str]:
    """Yield what each call tells, or why it cannot be taken; with `trust` a request may say whose it is."""
    for call in calls:
        if not isinstance(call, dict):
            yield "a call is no object"
            continue
        try:
            subject = subject_of(call, trust=trust)
            yield Told(subject, _evidence(call, price_of)) if subject is not None else NO_TASK
        except ValueError as error:
            yield str(error)


def subject_of(call: Payload, *, trust: bool) -> Subject | None:
    """Return whose a call is: by the proxy's key, and with `trust` by what its request says; None where nothing does.

    Without trust an agent could have its spend counted for another task, and that one stopped.
    """
    metadata = _object(call.get("metadata"))
    places = (_OF_KEY, *(_OF_REQUEST if trust else ()))
    named = (_object(metadata.get(place)).get(TASK) for place in places)
    for name in (*named, call.get("end_user") if trust else None):
        if isinstance(name, str) and "/" in name:
            namespace, _, task = name.partition("/")
            return Subject(namespace=namespace, task=task)
    return None


def _evidence(call: Payload, price_of: PriceOf) -> Evidence:
    prompt, completion = _tokens(call, "prompt_tokens"), _tokens(call, "completion_tokens")
    cost = call.get("response_cost")
    if cost is None:
        model, provider = call.get("model"), call.get("custom_llm_provider")
        price = price_of(_text(provider), _text(model), _text(call.get("model_group")))
        cost = (price or FREE).of(prompt, completion)
    cost = _cost(cost)
    if call.get("cache_hit") is True:
        prompt = completion = 0  # LiteLLM has answered out of its own cache
    turns = 0 if call.get("status") == "failure" else 1
    identity = call.get("id")
    return Evidence(
        Direct(Amounts(prompt, completion, turns, cost)),
        at=_moment(call.get("endTime")),
        identity=digest("litellm", identity) if isinstance(identity, str) and identity else None,
    )


def _tokens(call: Payload, name: str) -> int:
    value = call.get(name)
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    raise ValueError(f"{name} is no number from 0 to {MAX_COUNT}")


def _cost(value: Any) -> Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= MAX_COST:
        return Decimal(value) if value else NOTHING_SPENT
    raise ValueError(f"response_cost is no number from 0 to {MAX_COST}")


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _object(value: Any) -> Payload:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
