"""Who plays in the demo: the manifests, and how each task must end."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from agentstop.api.meta import API_VERSION
from agentstop.api.task import Phase, StopSource, Verdict
from agentstop.api.usage import USAGE_KIND
from agentstop.cli.demo.expectations import Expectation
from agentstop.workloads.kinds.sandbox import SANDBOX_API

DEAF_GRACE_SECONDS: Final = 5

SANDBOX_KIND: Final = (SANDBOX_API, "Sandbox")
"""API version and kind of what not every cluster serves."""

LEASE: Final = "starter"
LEASE_SECONDS: Final = 5
"""The Lease that the helper is tethered to, and how long it lasts once its holder is killed."""

HELPER: Final = "helper"
TALKER: Final = "talker"
IN_SANDBOX: Final = "coder"
PARENT: Final = "planner"
CHILDREN: Final = ("reader", "writer")
CRAWLERS: Final = ("crawler-1", "crawler-2", "crawler-3")

ORDER: Final = "look-first"
ORDER_FILE: Final = "look-first.yaml"
"""The order that freezes the crawlers, and the file that describes it."""

NEEDED: Final[Mapping[str, tuple[str, str]]] = {IN_SANDBOX: SANDBOX_KIND, TALKER: (API_VERSION, USAGE_KIND)}
"""API version and kind of what a cluster must serve for a task to take part."""

MANIFESTS: Final[Mapping[str, str]] = {
    **{name: f"{name}.yaml" for name in ("researcher", "deaf", "quick", HELPER, TALKER)},
    IN_SANDBOX: "sandbox.yaml",
    PARENT: "family.yaml",
    CRAWLERS[0]: "crawlers.yaml",
}
"""The file that describes a task, and those that come with it."""

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
    HELPER: replace(STOPPED, reason="TetherLost", source=StopSource.TETHER),
    IN_SANDBOX: STOPPED,
    PARENT: replace(STOPPED, children=len(CHILDREN)),
    **{name: replace(STOPPED, source=StopSource.PARENT, origin=PARENT) for name in CHILDREN},
    TALKER: replace(STOPPED, reason="CostExceeded", source=StopSource.BUDGET),
    **{name: replace(STOPPED, reason="OddTraffic", source=StopSource.STOP_ORDER) for name in CRAWLERS},
}
"""How each task must end, by name."""


def tasks(missing: Collection[str]) -> tuple[str, ...]:
    """Return the names of the tasks that take part: all but these."""
    return tuple(name for name in EXPECTED if name not in missing)


def manifests(missing: Collection[str]) -> tuple[str, ...]:
    """Return the names of the files that describe them."""
    return tuple(file for name, file in MANIFESTS.items() if name not in missing)
