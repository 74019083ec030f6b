"""A2A's words for each phase, its forms and its errors: one for stopped only with the proof in hand."""

import json
from typing import Any, cast

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.utils import errors as theirs
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from agentstop.gateway import errors as core
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import impersonated
from agentstop.gateway.dialect import Call, Core
from agentstop.gateway.dialects.a2a import DIALECT, card, errors, records, versions
from agentstop.gateway.entry import Entry
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.tasks import Tasks

from .test_index import KIND, task


def entry(phase: str | None, *, verdict: str | None = None, status: dict[str, Any] | None = None, **spec: Any) -> Entry:
    raw = task("a", phase=phase, **spec)
    raw["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    raw["status"].update(status or {})
    if verdict is not None:
        raw["status"]["stop"] = {"verdict": verdict, "confirmedAt": "2026-01-01T00:00:09.123987Z"}
    return Entry(raw)


def known(*raws: dict[str, Any]) -> Tasks:
    index = TaskIndex()
    for each in raws:
        index.changed(KIND, None, each)
    return Tasks(index, cast("CallerAccess", None), impersonated("ci", "jane", ()), wait=0)


NOBODY = known()


@pytest.mark.parametrize(
    ("given", "state", "old"),
    [
        (entry(None), "SUBMITTED", "submitted"),
        (entry("Pending"), "SUBMITTED", "submitted"),
        (entry("Pending", stopRequested=True), "WORKING", "working"),
        (entry("Running"), "WORKING", "working"),
        (entry("Running", stopRequested=True), "WORKING", "working"),
        (entry("Pausing"), "WORKING", "working"),
        (entry("Paused"), "WORKING", "working"),
        (entry("Stopping"), "WORKING", "working"),
        (entry("Stopped", verdict="Graceful"), "CANCELED", "canceled"),
        (entry("Stopped", verdict="Unverified"), "FAILED", "failed"),
        (entry("Completed", stopRequested=True), "COMPLETED", "completed"),
        (entry("Failed"), "FAILED", "failed"),
    ],
)
def test_words(given: Entry, state: str, old: str) -> None:
    shown = records.task(given, NOBODY)
    assert versions.CURRENT.task(shown)["status"]["state"] == f"TASK_STATE_{state}"
    assert versions.OLD_RPC.task(shown)["status"]["state"] == old
    spelled = state.replace("CANCELED", "CANCELLED")
    assert versions.OLD_REST.task(shown)["status"]["state"] == f"TASK_STATE_{spelled}"
    assert versions.OLD_RPC.changed(shown)["final"] is given.ended


def said(given: Entry) -> str | None:
    message = records.task(given, NOBODY).status.message
    return message.parts[0].text if message is not None else None


def test_what_is_said_of_a_stop() -> None:
    assert said(entry("Running")) is None
    text = said(entry("Running", stopRequested=True))
    assert text == "A stop is on its way. It is not proven yet that nothing of the task runs."
    stalled = {"type": "Stalled", "status": "True", "message": "node n1 does not answer"}
    by_jane = {"stop": {"requestedBy": "jane"}, "conditions": [{"type": "Ready", "status": "True"}, stalled]}
    text = said(entry("Stopping", status=by_jane)) or ""
    assert "asked for by jane" in text
    assert text.endswith("It is held up: node n1 does not answer")
    assert said(entry("Stopped", verdict="Unverified")) == records.UNVERIFIED
    assert said(entry("Stopped", status={"message": "it ran for too long"})) == "it ran for too long"


def test_the_same_words_are_the_same_message() -> None:
    first, second = (records.task(entry("Stopping"), NOBODY).status for _ in range(2))
    assert first == second
    assert first.message != records.task(entry("Paused"), NOBODY).status.message


def test_a_status_is_as_old_as_what_led_to_it() -> None:
    given = entry("Stopped", verdict="Killed", status={"startedAt": "2026-01-01T00:00:05Z"})
    assert records.task(given, NOBODY).status.timestamp == "2026-01-01T00:00:09.123Z"
    assert records.task(entry("Pending"), NOBODY).status.timestamp == "2026-01-01T00:00:00.000Z"


def test_a_family_is_one_context_even_one_that_bites_its_tail() -> None:
    top, child = task("a"), task("b", parentRef={"name": "a"})
    assert records.context_of(Entry(child), known(top, child)) == "uid-a"
    top["spec"]["parentRef"] = {"name": "b"}
    assert records.context_of(Entry(child), known(top, child)) in {"uid-a", "uid-b"}


def test_errors_are_those_of_the_protocol() -> None:
    by_reason = {kind.reason: kind for kind in errors._KINDS.values()}
    for each, mapping in theirs.A2A_ERROR_MAPPING.items():
        kind = by_reason.get(mapping.reason)
        if kind is not None and mapping.reason not in {"INVALID_PARAMS", "INVALID_REQUEST", "METHOD_NOT_FOUND"}:
            assert (kind.rpc, kind.code, kind.status) == (
                theirs.JSON_RPC_ERROR_CODE_MAP[each],
                mapping.http_code,
                mapping.grpc_status,
            )
    assert {"TASK_NOT_FOUND", "TASK_NOT_CANCELABLE", "VERSION_NOT_SUPPORTED"} <= set(by_reason)


class Refusing(core.GatewayError):
    """One that nobody has thought of."""


@pytest.mark.parametrize(
    ("error", "code", "rpc", "reason"),
    [
        (core.UnauthorizedError("x"), 401, -32600, "UNAUTHENTICATED"),
        (core.ForbiddenError("x"), 403, -32600, "PERMISSION_DENIED"),
        (core.NotFoundError("x"), 404, -32001, "TASK_NOT_FOUND"),
        (core.NoSuchPageError("x"), 404, -32601, "METHOD_NOT_FOUND"),
        (core.MethodNotAllowedError("x", ["GET"]), 405, -32601, "METHOD_NOT_FOUND"),
        (core.SlowClientError("x"), 408, -32600, "INVALID_REQUEST"),
        (core.ConflictError("x"), 409, -32602, "INVALID_PARAMS"),
        (core.TooLargeError("x"), 413, -32600, "INVALID_REQUEST"),
        (core.InvalidError("x"), 400, -32602, "INVALID_PARAMS"),
        (core.InvalidError("x", where=("body",)), 400, -32600, "INVALID_REQUEST"),
        (core.NoJsonError("x", where=("body",)), 400, -32700, "INVALID_REQUEST"),
        (core.TooManyRequestsError("x"), 429, -32603, "RESOURCE_EXHAUSTED"),
        (core.UnavailableError("x"), 503, -32603, "UNAVAILABLE"),
        (core.InternalError("x"), 500, -32603, "INTERNAL_ERROR"),
        (Refusing("x"), 500, -32603, "INTERNAL_ERROR"),
        (errors.NotCancelableError("x"), 400, -32002, "TASK_NOT_CANCELABLE"),
    ],
)
def test_each_error_has_its_form_in_both_bindings(error: core.GatewayError, code: int, rpc: int, reason: str) -> None:
    found = errors.render(error, called("GET", "/a2a/tasks/a"))
    body = shown(found)["error"]
    assert (found.status, body["code"], body["details"][0]["reason"]) == (code, code, reason)
    found = errors.render(error, called("POST", "/a2a"))
    body = shown(found)
    assert (body["jsonrpc"], body["id"], body["error"]["code"]) == ("2.0", None, rpc)
    assert found.status == (code if code in {401, 403, 405, 408, 429, 500, 503} else 200)
    old = shown(errors.render(error, called("GET", "/a2a/v1/tasks/a")))
    assert (old["error"]["code"], old["message"], old["type"].endswith("Error")) == (
        code,
        body["error"]["message"],
        True,
    )


def called(method: str, path: str) -> Call:
    return Call(request=make_mocked_request(method, path), dialect=DIALECT, core=cast("Core", None))


def shown(response: web.Response) -> Any:
    return json.loads(response.text or "")


def test_the_card_is_one_for_both_versions() -> None:
    given = card.card("https://agents.example/a2a")
    found = parse_agent_card(card.card("https://agents.example/a2a"))
    interfaces = {(each.protocol_binding, each.protocol_version) for each in found.supported_interfaces}
    assert interfaces == {(binding, version) for binding in ("JSONRPC", "HTTP+JSON") for version in ("1.0", "0.3")}
    assert found.security_schemes["apiKey"].api_key_security_scheme.name == "x-api-key"
    del given["supportedInterfaces"], given["securityRequirements"]
    old = parse_agent_card(given)
    assert {each.protocol_version for each in old.supported_interfaces} == {"0.3.0"}
    assert len(old.security_requirements) == 2
