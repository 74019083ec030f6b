"""What the tests of our own API share: answers are held against its OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator

from agentstop.gateway.dialects.api import OPERATIONS, document
from tests.support import agents
from tests.support.gateways import Answer, Client
from tests.support.namespaces import Namespace

PREFIX: Final = "/api/v1"
DOCUMENT: Final[Mapping[str, Any]] = document.document(OPERATIONS)


class ApiClient(Client):
    """A client of our own API, for whom each answer must be as the document says."""

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        answer = await super().ask(method, path, body, **headers)
        check(method, path, answer)
        return answer


def described(method: str, path: str) -> Mapping[str, Any] | None:
    """Return what the document says of an operation, by the path of a request."""
    parts = path.partition("?")[0].split("/")
    for template, operations in sorted(DOCUMENT["paths"].items(), key=lambda each: each[0].count("{")):
        wanted = template.split("/")
        same = len(wanted) == len(parts) and all(
            one == other or one.startswith("{") for one, other in zip(wanted, parts, strict=True)
        )
        if same and method.lower() in operations:
            found: Mapping[str, Any] = operations[method.lower()]
            return found
    return None


def check(method: str, path: str, answer: Answer) -> None:
    """Hold an answer against the document."""
    operation = described(method, path)
    if operation is None:
        return
    response = operation["responses"][str(answer.code)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    assert set(response.get("headers", ())) <= set(answer.headers)
    ((content_type, content),) = response["content"].items()
    assert answer.headers["Content-Type"].partition(";")[0] == content_type
    if answer.body is not None:
        validate(content["schema"], answer.body)


def validate(schema: Mapping[str, Any], body: Any) -> None:
    """Hold a body against a schema; what the schema does not name must not be there."""
    components = {"schemas": {name: strict(each) for name, each in DOCUMENT["components"]["schemas"].items()}}
    Draft202012Validator({**schema, "components": components}).validate(body)


def strict(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema of an object that takes no more than it names."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


async def made(ns: Namespace, name: str, script: str = agents.IDLE, **spec: Any) -> str:
    """Make a task, and return its id."""
    grace = spec.pop("grace", 5)
    return str((await ns.create_task(name, agents.template(script, grace=grace), **spec))["metadata"]["uid"])
