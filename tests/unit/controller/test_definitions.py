"""Definitions that are another version's are named in the log, in one line."""

import copy
import logging
from typing import cast

import pytest

from agentstop.api.definitions import definitions
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.definitions import warn_of_others
from tests.unit.objects import Raw

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"


class Server:
    """Has these definitions."""

    def __init__(self, found: dict[str, Raw]) -> None:
        self._found = found

    async def call(self, method: str, path: str) -> Raw:
        name = path.removeprefix(PATH)
        if method != "GET" or name not in self._found:
            raise ApiError(403, "Forbidden", f"{name} may not be read")
        return self._found[name]


async def lines(found: dict[str, Raw], caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.INFO):
        await warn_of_others(cast("Gateway", Server(found)))
    return [each.getMessage() for each in caplog.records if each.name.startswith("agentstop")]


async def test_nothing_is_said_of_the_right_ones(caplog: pytest.LogCaptureFixture) -> None:
    assert await lines(definitions(), caplog) == []


async def test_nothing_is_said_where_they_may_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    assert await lines({}, caplog) == []


async def test_all_others_are_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    found = copy.deepcopy(definitions())
    for name in ("agenttasks.agentstop.dev", "stoporders.agentstop.dev"):
        (version,) = found[name]["spec"]["versions"]
        del version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    (line,) = await lines(found, caplog)
    for words in (
        "agenttasks.agentstop.dev is another version's, which lacks spec;",
        "stoporders.agentstop.dev is another version's, which lacks spec;",
        "install them: agentstop crds | kubectl apply -f -",
    ):
        assert words in line
    assert "clusterstoporders" not in line
