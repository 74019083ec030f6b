"""The registry is the only table of kinds."""

from typing import Any

import pytest

from agentstop.cluster.resources import by_scale, reader_of
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec
from agentstop.workloads.controlled.record import read_owner
from agentstop.workloads.kinds.scalable import SCALED
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.registry import KINDS, kind_of
from tests.unit.objects import NAMESPACE, task

KIND = ("example.org/v1", "Crew")
REF = ObjectRef("Crew", NAMESPACE, "x", "example.org/v1")
SPEC: dict[str, Any] = {"workloadRef": {"apiVersion": "example.org/v1", "kind": "Crew", "name": "x"}}


def test_what_has_no_line_is_known_by_its_scale() -> None:
    assert kind_of(task(SPEC)) is SCALED
    assert reader_of(REF) is SCALED.read
    assert by_scale(REF)


def test_a_line_is_all_that_a_kind_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Controlled(KindSpec(read=read_owner, halt={"spec": {"rests": True}}, resume=lambda _: {}, deed="laid off"))
    monkeypatch.setitem(KINDS, KIND, crew)
    assert kind_of(task(SPEC)) is crew
    assert reader_of(REF) is crew.read
    assert not by_scale(REF)
