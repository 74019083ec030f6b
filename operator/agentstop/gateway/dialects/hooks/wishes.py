"""What the body of a webhook asks for, and the order that is made of it. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from agentstop.api.meta import AGENT_NAME, API_VERSION, parse_time
from agentstop.api.order import ORDER_KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.errors import InvalidError
from agentstop.gateway.hooks import NAMESPACE, Hook, HookKind
from agentstop.words.labels import parse_selector

MAX_ALERTS: Final = 1000
MAX_MESSAGE: Final = 1024

_TASK: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Wish:
    """What one event wants to have stopped."""

    namespace: str
    task: str | None
    agent: str | None
    selector: JsonObject | None
    name: str | None
    """What its order is called: the same for all repeats; None where they cannot be told."""
    message: str | None


class Alert(BaseModel):
    """One alert of Alertmanager's.

    Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str  # noqa: N815  (that is what it is called)
    fingerprint: Annotated[str, StringConstraints(pattern="^[0-9a-f]{1,64}$")]


class Alerts(BaseModel):
    """What Alertmanager sends."""

    model_config = ConfigDict(strict=True, extra="ignore")

    version: Literal["4"]
    alerts: list[Alert]


def wishes_of(hook: Hook, body: JsonObject) -> list[Wish]:
    """Return what a body asks for. Raises InvalidError, where any of it is not as it must be."""
    if any(_at(body, pointer) != wanted for pointer, wanted in hook.when.items()):
        return []
    if hook.kind is not HookKind.ALERTMANAGER:
        return [_wish_of(hook, body)]
    try:
        found = Alerts.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidError(f"body.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if len(found.alerts) > MAX_ALERTS:
        raise InvalidError(f"there are more than {MAX_ALERTS} alerts in it")
    wishes = [_wish_of_alert(hook, each) for each in found.alerts if each.status == "firing"]
    return list({(each.namespace, each.name): each for each in wishes}.values())


def order_of(hook: Hook, wish: Wish) -> JsonObject:
    """Return the order for a wish."""
    spec: JsonObject = {"selector": wish.selector or {}, **hook.order.wire()}
    if wish.task is not None:
        spec["taskNames"] = [wish.task]
    if wish.agent is not None:
        spec["agents"] = [wish.agent]
    if wish.message:
        spec["message"] = wish.message[:MAX_MESSAGE]
    return {
        "apiVersion": API_VERSION,
        "kind": ORDER_KIND,
        "metadata": {"name": wish.name} if wish.name is not None else {"generateName": f"{hook.name}-"},
        "spec": spec,
    }


def _wish_of_alert(hook: Hook, alert: Alert) -> Wish:
    """Return what an alert wants. All repeats of one alert have its fingerprint and its start.

    With the fingerprint alone, an alert that comes back would find the order of the last time, and stop nothing.
    """
    begun = parse_time(alert.startsAt)
    seconds = int(begun.timestamp()) if begun is not None else 0
    places = hook.places
    message = alert.annotations.get("summary") or alert.annotations.get("description") or alert.labels.get("alertname")
    return _checked(
        hook,
        {each: alert.labels.get(getattr(places, each) or "") for each in ("namespace", "task", "agent", "selector")},
        name=f"{hook.name}-{alert.fingerprint}-{seconds}",
        message=message,
    )


def _wish_of(hook: Hook, body: JsonObject) -> Wish:
    places = hook.places
    given = {
        each: _text(body, getattr(places, each)) for each in ("namespace", "task", "agent", "selector", "id", "message")
    }
    event, message = given.pop("id"), given.pop("message")
    if places.id is not None and event is None:
        raise InvalidError(f"body: {places.id} must have what tells this event from others")
    digest = hashlib.sha256(event.encode(errors="surrogatepass")).hexdigest()[:16] if event is not None else None
    return _checked(hook, given, name=f"{hook.name}-{digest}" if digest is not None else None, message=message)


def _checked(hook: Hook, given: Mapping[str, str | None], *, name: str | None, message: str | None) -> Wish:
    namespace = given["namespace"] or hook.namespace
    task, agent, labels = given["task"] or None, given["agent"] or None, given["selector"] or None
    if namespace is None:
        raise InvalidError("nothing says in which namespace to stop, neither the body nor the file of hooks")
    if not re.fullmatch(NAMESPACE, namespace):
        raise InvalidError(f"{json.dumps(namespace[:100])} can be no namespace")
    if task is not None and (len(task) > 253 or not _TASK.fullmatch(task)):
        raise InvalidError(f"{json.dumps(task[:100])} can be no task")
    if agent is not None and (len(agent) > 253 or not re.fullmatch(AGENT_NAME, agent)):
        raise InvalidError(f"{json.dumps(agent[:100])} can be no agent")
    if task is None and agent is None and labels is None and not hook.whole_namespace:
        raise InvalidError("nothing says which task, agent or selector to stop, and this hook stops no whole namespace")
    try:
        selector = parse_selector(labels) if labels is not None else None
    except ValueError as error:
        raise InvalidError(str(error)) from None
    return Wish(namespace, task, agent, selector, name, message)


def _text(body: JsonObject, pointer: str | None) -> str | None:
    """Return the text at a place of a body; None where there is nothing. Raises InvalidError for what is no text."""
    found = _at(body, pointer) if pointer is not None else None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if found is not None and not isinstance(found, str):
        raise InvalidError(f"body: {pointer} is no text")
    return found or None


def _at(body: Any, pointer: str) -> Any:
    """Return what a JSON pointer leads to; None for nothing."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(body, dict):
            body = body.get(key)
        elif isinstance(body, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(body):
            body = body[int(key[:9])]
        else:
            return None
    return body
