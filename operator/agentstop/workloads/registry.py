"""Which module speaks for which kind of workload."""

from collections.abc import Mapping
from typing import Final

from agentstop.lifecycle.seen import Presence, Seen, Task, Word
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.pod import POD

KINDS: Final[Mapping[tuple[str, str], WorkloadKind]] = {
    ("v1", "Pod"): POD,
}
"""Workload modules by API version and kind. A new kind is one module and one line here."""


def kind_of(task: Task) -> WorkloadKind | None:
    """Return the module for the task's workload, or None where its kind is not supported."""
    ref = task.spec.workload_ref
    return POD if ref is None else KINDS.get((ref.api_version, ref.kind))


def unsupported(task: Task) -> Seen:
    """Return what is seen of a workload whose kind is not supported."""
    ref = task.spec.workload_ref
    named = f"{ref.kind} of {ref.api_version}" if ref else "this workload"
    known = ", ".join(f"{kind} of {version}" for version, kind in KINDS)
    message = f"workloadRef points at {named}, which cannot be stopped by agentstop; supported: {known}"
    return Seen(presence=Presence.ABSENT, refused=Word("UnsupportedWorkload", message))
