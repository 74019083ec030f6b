"""The OpenAPI document, made from the operations and their models: it cannot say what they do not.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from agentstop import __version__
from agentstop.gateway.callers import API_KEY_HEADER
from agentstop.gateway.dialect import EXTERNAL_ID_MAX, Call, Route
from agentstop.gateway.dialects.api.operation import Operation
from agentstop.gateway.dialects.api.problems import CONTENT_TYPE, Problem
from agentstop.gateway.dialects.api.requests import NAME, NAMESPACE
from agentstop.gateway.tasks import MAX_WAIT_SECONDS

PATH: Final = "/openapi.json"

_REFERENCE: Final = "#/components/schemas/{model}"

_PROBLEMS: Final = (401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 503)
"""Statuses of answers that are problems; each may come of any operation."""

_PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "id": {
        "description": "The task's UID, or what another platform calls it (spec.externalID).",
        "schema": {"type": "string", "minLength": 1, "maxLength": EXTERNAL_ID_MAX},
    },
    "namespace": {
        "description": "The namespace.",
        "schema": {"type": "string", "maxLength": 63, "pattern": NAMESPACE},
    },
    "name": {"description": "The name.", "schema": {"type": "string", "maxLength": 253, "pattern": NAME}},
}

Json = dict[str, Any]


def document(operations: Sequence[Operation]) -> Json:
    """Return the document."""
    wanted: list[tuple[Any, JsonSchemaMode]] = [(Problem, "serialization")]
    for each in operations:
        wanted += [(model, "serialization") for model in each.answers.values() if model is not None]
        wanted += [(model, "validation") for model in (each.query, each.body) if model is not None]
    references, definitions = models_json_schema(list(dict.fromkeys(wanted)), by_alias=True, ref_template=_REFERENCE)
    schemas = _plain(definitions.get("$defs") or {})
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, references, schemas)
    paths[PATH] = {
        "get": {
            "operationId": "getOpenAPI",
            "summary": "This document.",
            "security": [],
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}
            },
        }
    }
    queries = {_name(references[each.query, "validation"]) for each in operations}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "agentstop",
            "version": __version__,
            "description": "Stops AI agents, and proves it. An answer says stopped only once no process is left.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"key": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: each for name, each in sorted(schemas.items()) if name not in queries},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
                "token": {"type": "http", "scheme": "bearer"},
            },
            "responses": {
                "NoRequest": {
                    "description": "This was no HTTP, or a line of it was too long; nothing was changed.",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                "Problem": _content("What went wrong; nothing was changed.", CONTENT_TYPE, "Problem"),
            },
        },
    }


def route(operations: Sequence[Operation]) -> Route:
    """Return the route of the document, which anybody may read: it says nothing of the cluster."""
    text = json.dumps(document(operations))

    async def show(_: Call) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return Route("GET", PATH, show, public=True)


def _operation(operation: Operation, references: Mapping[Any, Json], schemas: Mapping[str, Json]) -> Json:
    query = schemas[_name(references[operation.query, "validation"])]
    parameters = [
        {"name": name, "in": "path", "required": True, **_PARTS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [_parameter(name, schema) for name, schema in query.get("properties", {}).items()]
    responses: Json = {}
    for status, model in operation.answers.items():
        phrase = HTTPStatus(status).phrase
        if model is None:
            content = {"text/event-stream": {"schema": {"type": "string"}}}
            responses[str(status)] = {"description": "A stream of events.", "content": content}
            parameters.append(
                {
                    "name": "Last-Event-ID",
                    "in": "header",
                    "description": "The id of the last event that was received: what came after it is sent.",
                    "schema": {"type": "string"},
                }
            )
            continue
        name = _name(references[model, "serialization"])
        responses[str(status)] = _content(phrase, "application/json", name)
        if status in {201, 202}:
            where = {"description": "Where to look how it goes on.", "schema": {"type": "string"}}
            responses[str(status)]["headers"] = {"Location": where}
    if operation.waits:
        parameters.append(
            {
                "name": "Prefer",
                "in": "header",
                "description": f"wait=N: wait for the proof for N seconds, at most {MAX_WAIT_SECONDS:.0f}.",
                "schema": {"type": "string"},
                "example": "wait=1",
            }
        )
    responses["400"] = {"$ref": "#/components/responses/NoRequest"}
    responses |= {str(status): {"$ref": "#/components/responses/Problem"} for status in _PROBLEMS}
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    }
    if operation.body is not None:
        schema = references[operation.body, "validation"]
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _parameter(name: str, schema: Json) -> Json:
    """Return a parameter of the query. One that is not given is left out: there is no null in a query."""
    found = {key: each for key, each in schema.items() if key not in {"anyOf", "description"}}
    if found.get("default", ...) is None:
        del found["default"]
    for each in schema.get("anyOf", ()):
        if each != {"type": "null"}:
            found |= each
    return {"name": name, "in": "query", "description": schema.get("description", ""), "schema": found}


def _content(description: str, content_type: str, model: str) -> Json:
    return {
        "description": description,
        "content": {content_type: {"schema": {"$ref": _REFERENCE.format(model=model)}}},
    }


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _plain(node: Any) -> Any:
    """Return a schema without what only Kubernetes knows, and without the titles that pydantic makes up."""
    if isinstance(node, dict):
        return {
            key: _plain(each)
            for key, each in node.items()
            if not key.startswith("x-kubernetes-") and not (key == "title" and isinstance(each, str))
        }
    return _items(node) if isinstance(node, list) else node


def _items(nodes: Iterable[Any]) -> list[Any]:
    return [_plain(each) for each in nodes]
