"""Who plays in the demo: the manifests, and how each task must end."""

from collections.abc import Iterable, Mapping
from typing import Final

from agentstop.api.task import Phase, StopSource, Verdict
from agentstop.cli.demo.expectations import Expectation
from agentstop.workloads.kinds.sandbox import SANDBOX_API

DEAF_GRACE_SECONDS: Final = 5

SANDBOX_KIND: Final = (SANDBOX_API, "Sandbox")
"""API version and kind of what not every cluster serves."""

BASE: Final = ("researcher", "deaf", "quick")
IN_SANDBOX: Final = "coder"
PARENT: Final = "planner"
CHILDREN: Final = ("reader", "writer")

STOPPED: Final = Expectation(phase=Phase.STOPPED, verdict=Verdict.GRACEFUL, exit_code=0, reason="RunawayCost")

EXPECTED: Final[Mapping[str, Expectation]] = {
    "researcher": STOPPED,
    "deaf": Expectation(
        phase=Phase.STOPPED,
        verdict=Verdict.KILLED,
        exit_code=137,
        reason="PolicyViolation",
        not_before_seconds=DEAF_GRACE_SECONDS,
    ),
    "quick": Expectation(phase=Phase.COMPLETED, exit_code=0),
    IN_SANDBOX: STOPPED,
    PARENT: Expectation(
        phase=Phase.STOPPED, verdict=Verdict.GRACEFUL, exit_code=0, reason="RunawayCost", children=len(CHILDREN)
    ),
    **{
        name: Expectation(
            phase=Phase.STOPPED,
            verdict=Verdict.GRACEFUL,
            exit_code=0,
            reason="RunawayCost",
            source=StopSource.PARENT,
            origin=PARENT,
        )
        for name in CHILDREN
    },
}
"""How each task must end, by name."""


def tasks(*, sandboxes: bool) -> tuple[str, ...]:
    """Return the names of the tasks that take part, with the one in a Sandbox or without it."""
    return tuple(name for name in EXPECTED if sandboxes or name != IN_SANDBOX)


def manifests(*, sandboxes: bool) -> Iterable[str]:
    """Return the names of the manifests that describe them."""
    return (*(f"{name}.yaml" for name in BASE), *(("sandbox.yaml",) if sandboxes else ()), "family.yaml")
