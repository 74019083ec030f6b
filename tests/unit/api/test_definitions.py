"""In which way a definition is not the one of this version."""

import copy

import pytest

from agentstop.api.definitions import definitions, difference
from tests.unit.objects import Raw

TASKS = "agenttasks.agentstop.dev"


@pytest.fixture(scope="module")
def wanted() -> Raw:
    return definitions()[TASKS]


def schema(definition: Raw) -> Raw:
    (version,) = definition["spec"]["versions"]
    found: Raw = version["schema"]["openAPIV3Schema"]["properties"]
    return found


def test_what_the_api_server_adds_is_no_difference(wanted: Raw) -> None:
    found = copy.deepcopy(wanted)
    found["spec"]["conversion"] = {"strategy": "None"}
    found["metadata"] |= {"annotations": {"helm.sh/resource-policy": "keep"}, "uid": "u"}
    assert difference(found, wanted) is None


def test_what_it_lacks_is_named_and_nothing_below_that(wanted: Raw) -> None:
    older = copy.deepcopy(wanted)
    del schema(older)["status"]["properties"]["workload"]
    del schema(older)["status"]["properties"]["gracePeriodSeconds"]
    assert difference(older, wanted) == "is another version's, which lacks status.gracePeriodSeconds, status.workload"
    assert difference(wanted, older) == (
        "is another version's, which has status.gracePeriodSeconds, status.workload besides"
    )


def test_fields_of_lists_and_long_lists_of_fields(wanted: Raw) -> None:
    older = copy.deepcopy(wanted)
    pods = schema(older)["status"]["properties"]["workload"]["properties"]["pods"]["items"]["properties"]
    for name in ("name", "uid", "node", "phase"):
        del pods[name]
    assert difference(older, wanted) == (
        "is another version's, which lacks status.workload.pods.name, status.workload.pods.node,"
        " status.workload.pods.phase and 1 more"
    )


def test_a_difference_that_is_no_field(wanted: Raw) -> None:
    older = copy.deepcopy(wanted)
    schema(older)["spec"]["properties"]["agent"]["maxLength"] = 7
    assert difference(older, wanted) == "is another version's"
