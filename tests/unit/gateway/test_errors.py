"""What an answer of the API server means to the gateway's caller."""

import json

import pytest

from agentstop.cluster.errors import error_from
from agentstop.gateway.errors import ForbiddenError, NamespaceEndingError, error_of

NO_RIGHT = 'taskusages.agentstop.dev is forbidden: User "x" cannot create resource "taskusages" in API group'
ENDING = 'taskusages.agentstop.dev "a" is forbidden: unable to create new content in namespace n because it is being terminated'  # noqa: E501


@pytest.mark.parametrize(("message", "wanted"), [(NO_RIGHT, ForbiddenError), (ENDING, NamespaceEndingError)])
def test_a_namespace_that_goes_is_told_from_a_right_that_is_missing(message: str, wanted: type[ForbiddenError]) -> None:
    body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": message, "code": 403}).encode()
    found = error_of(error_from(403, body, whole=True), whose=None)
    assert type(found) is wanted
    assert (found.code, found.message) == (403, message)
