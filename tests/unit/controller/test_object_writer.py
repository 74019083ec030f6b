"""What is written about our own objects: only about what was decided on, whoever is faster."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from agentstop.api.meta import API_VERSION, STOP_FINALIZER
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.object_writer import ObjectWriter, OwnObject
from agentstop.lifecycle.effects import AddFinalizer, DeleteObject, ObjectEffect, RemoveFinalizer
from agentstop.workloads.objects import ObjectRef
from tests.unit.objects import Raw

REF = ObjectRef("StopOrder", "ns", "o", API_VERSION)
OWN = OwnObject(REF, "uid", "7")
CONFLICT = ApiError(409, "Conflict", "changed meanwhile")
GONE = ApiError(404, "NotFound", "no such order")


class Bench:
    """An API server of one object; stands for the gateway, and for the cache that the answers go to."""

    def __init__(self, *finalizers: str) -> None:
        self.metadata: Raw = {"name": "o", "uid": "uid", "resourceVersion": "9", "finalizers": list(finalizers)}
        self.sent: list[Any] = []
        self.errors: dict[str, ApiError] = {}
        self.taken: list[Raw] = []
        self.gone: list[ObjectRef] = []
        self.known: OwnObject | None = OWN
        self.writer = ObjectWriter(cast("Gateway", self), self.taken.append, self.gone.append)

    def _fail(self, verb: str) -> None:
        if verb in self.errors:
            raise self.errors[verb]

    async def get_own(self, ref: ObjectRef) -> Raw:
        self._fail("get")
        return {"metadata": self.metadata}

    async def write_status(self, body: Raw) -> Raw:
        self._fail("status")
        self.sent.append(body)
        return body

    async def patch_own(self, ref: ObjectRef, body: Mapping[str, Any]) -> Raw:
        self._fail("patch")
        self.sent.append(body["metadata"])
        return {"metadata": self.metadata | body["metadata"]}

    async def delete_own(self, ref: ObjectRef, uid: str, resource_version: str) -> None:
        self._fail("delete")
        self.sent.append((ref, uid, resource_version))

    async def tidy(self, *effects: ObjectEffect) -> bool:
        return await self.writer.tidy(lambda: self.known, effects)


@pytest.mark.parametrize(
    ("before", "effect", "after"),
    [
        (["other/one"], AddFinalizer(), ["other/one", STOP_FINALIZER]),
        ([STOP_FINALIZER, "other/one"], AddFinalizer(), ["other/one", STOP_FINALIZER]),
        ([STOP_FINALIZER, "other/one"], RemoveFinalizer(), ["other/one"]),
        (["other/one"], RemoveFinalizer(), ["other/one"]),
    ],
)
async def test_finalizers_of_others_stay(before: list[str], effect: ObjectEffect, after: list[str]) -> None:
    bench = Bench(*before)

    assert await bench.tidy(effect)
    assert bench.sent == [{"uid": "uid", "resourceVersion": "9", "finalizers": after}]
    assert bench.taken[0]["metadata"]["finalizers"] == after


async def test_it_is_deleted_as_it_was_seen() -> None:
    bench = Bench()

    assert await bench.tidy(DeleteObject())
    assert bench.sent == [(REF, "uid", "7")]


@pytest.mark.parametrize(("verb", "effect"), [("patch", RemoveFinalizer()), ("delete", DeleteObject())])
async def test_what_has_changed_meanwhile_is_read_and_decided_on_anew(verb: str, effect: ObjectEffect) -> None:
    bench = Bench(STOP_FINALIZER)
    bench.errors = {verb: CONFLICT}

    assert not await bench.tidy(effect, DeleteObject())
    assert (bench.sent, bench.taken) == ([], [{"metadata": bench.metadata}])


async def test_what_is_gone_meanwhile_is_said_to_be_gone() -> None:
    bench = Bench()
    bench.errors = {"get": GONE}

    assert not await bench.tidy(RemoveFinalizer())
    assert (bench.sent, bench.gone) == ([], [REF])


async def test_nothing_is_done_to_another_object_of_that_name() -> None:
    bench = Bench(STOP_FINALIZER)
    bench.known = None

    assert await bench.tidy(RemoveFinalizer(), DeleteObject())
    assert bench.sent == []


async def test_what_does_not_come_about_is_an_error() -> None:
    bench = Bench(STOP_FINALIZER)
    bench.errors = {"patch": ApiError(403, "Forbidden", "no")}

    with pytest.raises(ApiError, match="no"):
        await bench.tidy(RemoveFinalizer())


@pytest.mark.parametrize("namespace", ["ns", ""])
async def test_a_status_names_the_version_that_it_was_decided_on(namespace: str) -> None:
    bench = Bench()
    await bench.writer.write_status(OWN._replace(ref=REF._replace(namespace=namespace)), {"phase": "Complete"})

    (body,) = bench.sent
    where = {"namespace": namespace} if namespace else {}
    assert body["metadata"] == {"name": "o", "uid": "uid", "resourceVersion": "7"} | where
    assert bench.taken == [], "whoever asked takes it in"
