"""The OpenAPI document: in step with the routes, with the docs, and with what is answered to whatever is sent."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from agentstop.gateway.dialects.api import DIALECT
from agentstop.gateway.errors import GatewayError
from tests.docs.documents import table_below
from tests.support.gateways import Answer, Gateway

from .api import DOCUMENT, PREFIX, check, described

VERBS = {"get", "post", "put", "patch", "delete"}


def test_every_route_and_method_is_in_it_and_nothing_else() -> None:
    routes = {(each.method, each.path) for each in DIALECT.routes}
    found = {(verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs if verb in VERBS}
    assert found == routes
    assert len(DIALECT.routes) == len(routes)


def test_each_operation_has_a_name_and_its_parts() -> None:
    operations = [(path, each) for path, verbs in DOCUMENT["paths"].items() for each in verbs.values()]
    names = [each["operationId"] for _, each in operations]
    assert len(set(names)) == len(names)
    for path, operation in operations:
        parts = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert parts == set(re.findall(r"{(\w+)}", path)), path


def test_what_it_refers_to_is_there() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = repr(DOCUMENT)
    assert "x-kubernetes" not in text
    for name in re.findall(r"'#/components/schemas/([^']+)'", text):
        assert name in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_kind_of_error_is_a_status_of_it() -> None:
    codes = {str(kind.code) for kind in _all(GatewayError)}
    for verbs in DOCUMENT["paths"].values():
        for operation in verbs.values():
            if operation["operationId"] != "getOpenAPI":
                assert codes <= set(operation["responses"])
    assert codes == {row[0] for row in table_below("docs/gateway-api.md", "## Errors")}


def _all(kind: type[GatewayError]) -> set[type[GatewayError]]:
    return {kind}.union(*(_all(each) for each in kind.__subclasses__()))


def test_the_page_names_every_operation() -> None:
    text = Path("docs/gateway-api.md").read_text(encoding="utf-8")
    page = text.replace("{orders}", "/clusterstoporders")
    for path, verbs in DOCUMENT["paths"].items():
        for verb in verbs:
            told = path.replace("/namespaces/{namespace}/stoporders", "/clusterstoporders")
            assert f"{verb.upper()} {told}`" in page or f"{PREFIX}{told}`" in page, path


def test_an_answer_that_is_not_as_it_says_is_found() -> None:
    """That the other tests can fail."""
    headers = {"Content-Type": "application/json"}
    with pytest.raises(ValidationError):
        check("GET", "/tasks", Answer(200, headers, "", {"items": [{"id": "a"}], "remaining": 0}))
    with pytest.raises(ValidationError):
        check("GET", "/tasks", Answer(200, headers, "", {"items": [], "remaining": 0, "more": 1}))
    assert described("GET", "/stoporders") is not None
    assert described("PUT", "/stoporders") is None


async def test_it_is_served_to_anybody(gateway: Gateway) -> None:
    answer = await gateway.ask("GET", f"{PREFIX}/openapi.json")
    assert (answer.code, answer.body) == (200, DOCUMENT)
