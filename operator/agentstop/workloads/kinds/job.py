"""Jobs: they are suspended."""

from typing import Final

from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec, made_by_another

JOB: Final = Controlled(
    KindSpec(
        halt={"spec": {"suspend": True}},
        resume=lambda _: {"spec": {"suspend": False}},
        deed="suspended",
        goes_on=made_by_another,
    )
)
