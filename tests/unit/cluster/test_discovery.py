"""Where kinds live that not every cluster has."""

from typing import Any

import pytest

from agentstop.cluster.discovery import Discovery, check_scalable
from agentstop.cluster.errors import ApiError
from agentstop.cluster.resources import APIResource
from agentstop.workloads.kinds.sandbox import SANDBOX_API
from agentstop.workloads.objects import ObjectRef
from tests.unit.objects import POD_REF, Raw

FLEET = ObjectRef("Fleet", "ns", "x", "example.com/v1")
SANDBOX = ObjectRef("Sandbox", "ns", "x", SANDBOX_API)
JOB = ObjectRef("Job", "ns", "x", "batch/v1")


def resource(name: str, kind: str = "Fleet", *, namespaced: bool = True) -> Raw:
    return {"name": name, "kind": kind, "namespaced": namespaced}


class Cluster:
    """Serves what it is told to, and counts how often it is asked."""

    def __init__(self, **served: list[Raw]) -> None:
        self.served: dict[str, list[Raw]] = served
        self.asked: list[str] = []
        self.error: ApiError | None = None

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if self.error is not None:
            raise self.error
        if path not in self.served:
            raise ApiError(404, "Unknown", "404 page not found")
        return {"resources": self.served[path]}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(**{"/apis/example.com/v1": [resource("fleets"), resource("fleets/scale", "Scale")]})


@pytest.mark.parametrize("ref", [POD_REF, JOB])
async def test_kinds_that_every_cluster_has_are_not_asked_for(cluster: Cluster, ref: ObjectRef) -> None:
    await Discovery(cluster.get).place(ref)

    assert cluster.asked == []


async def test_a_kind_is_asked_for_once(cluster: Cluster) -> None:
    discovery = Discovery(cluster.get)
    place = await discovery.place(FLEET)
    await discovery.place(FLEET._replace(name="y"))

    assert place == APIResource("/apis/example.com/v1", "fleets", scales=True)
    assert place.collection("ns") == "/apis/example.com/v1/namespaces/ns/fleets"
    assert cluster.asked == ["/apis/example.com/v1"]


async def test_kinds_of_the_core_group_live_elsewhere() -> None:
    cluster = Cluster(**{"/api/v1": [resource("replicationcontrollers", "ReplicationController")]})
    place = await Discovery(cluster.get).place(ObjectRef("ReplicationController", "ns", "x"))

    assert place.prefix == "/api/v1"
    assert not place.scales


@pytest.mark.parametrize(
    "served",
    [[], [resource("others", "Other")], [resource("fleets/status")]],
    ids=["nothing", "another kind", "only a subresource"],
)
async def test_a_kind_that_is_not_served_is_said_by_name(served: list[Raw]) -> None:
    with pytest.raises(ApiError) as caught:
        await Discovery(Cluster(**{"/apis/example.com/v1": served}).get).place(FLEET)

    assert caught.value.reason == "KindNotServed"
    assert not caught.value.absent, "it says nothing about the object itself"
    assert "kind Fleet of example.com/v1" in caught.value.message


async def test_a_kind_that_is_installed_later_is_found(cluster: Cluster) -> None:
    discovery = Discovery(cluster.get)
    with pytest.raises(ApiError):
        await discovery.place(SANDBOX)
    cluster.served[f"/apis/{SANDBOX_API}"] = [resource("sandboxes", "Sandbox")]

    assert (await discovery.place(SANDBOX)).plural == "sandboxes"


async def test_a_kind_that_was_removed_is_asked_for_again(cluster: Cluster) -> None:
    discovery = Discovery(cluster.get)
    await discovery.place(FLEET)
    discovery.forget(FLEET)
    discovery.forget(JOB)
    del cluster.served["/apis/example.com/v1"]
    await discovery.place(JOB)

    with pytest.raises(ApiError):
        await discovery.place(FLEET)


@pytest.mark.parametrize("code", [0, 403, 503])
async def test_an_api_server_that_does_not_say_is_no_answer(cluster: Cluster, code: int) -> None:
    discovery = Discovery(cluster.get)
    cluster.error = ApiError(code, "Why", "no")
    with pytest.raises(ApiError) as caught:
        await discovery.place(FLEET)
    assert caught.value.code == code

    cluster.error = None
    assert (await discovery.place(FLEET)).plural == "fleets"


@pytest.mark.parametrize(
    ("served", "scales"),
    [
        ([resource("fleets"), resource("fleets/scale", "Scale")], True),
        ([resource("fleets"), resource("fleets/status")], False),
        ([resource("fleets", namespaced=False), resource("fleets/scale", "Scale")], False),
        ([resource("fleets"), resource("others/scale", "Scale")], False),
    ],
    ids=["it can", "it cannot", "it is in no namespace", "another one can"],
)
async def test_what_can_be_scaled(served: list[Raw], scales: bool) -> None:
    place = await Discovery(Cluster(**{"/apis/example.com/v1": served}).get).place(FLEET)
    assert place.scales is scales
    if scales:
        check_scalable(FLEET, place)
        return

    with pytest.raises(ApiError) as caught:
        check_scalable(FLEET, place)
    assert caught.value.reason == "NoScale"
    for needed in ("kind Fleet of example.com/v1", "Job of batch/v1", "Deployment"):
        assert needed in caught.value.message


@pytest.mark.parametrize("ref", [POD_REF, JOB, SANDBOX])
def test_a_kind_with_a_module_needs_no_scale(ref: ObjectRef) -> None:
    check_scalable(ref, APIResource("/any", "anything"))
