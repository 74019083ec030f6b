"""Which tests run when, over several processes: the longest first, and what computes beside what waits."""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

GROUP_SECONDS: Final = {
    "rights attacks": 190,
    "rights": 290,
    "chart": 250,
    "gateway apiserver": 220,
    "apiserver others": 210,
    "playground others": 200,
    "gateway page": 150,
    "gateway": 110,
    "apiserver test_busy_kubelets": 95,
    "playground test_busy_kubelets": 95,
    "apiserver test_crowd": 50,
    "node": 80,
}
"""About how long groups take, by how their names begin; only the order matters."""

TEST_SECONDS: Final = {
    "tests/gateway/test_api_schemathesis.py": 38,
    "tests/faults/test_faults.py": 25,
    "tests/integration/test_terminating.py": 23,
    "tests/integration/test_nodes.py": 14,
    "tests/demo/": 7,
    "tests/integration/test_failover.py": 5,
    "tests/integration/test_grace.py": 5,
    "tests/integration/test_rights.py": 5,
    "tests/integration/test_orphans.py": 4,
    "tests/integration/test_crashes.py": 4,
    "tests/integration/test_jobs.py": 4,
    "tests/integration/test_stop.py": 3,
    "tests/integration/test_scaled.py": 3,
    "tests/integration/": 2,
    "tests/playground/": 1,
}
"""The same of tests that are in no group, by their files."""

UNKNOWN_GROUP_SECONDS: Final = 30
UNKNOWN_TEST_SECONDS: Final = 0.1

COMPUTING: Final = (
    "tests/chart/",
    "tests/docs/",
    "tests/gitops/test_customizations.py",
    "tests/gitops/test_health.py",
    "tests/observability/",
    "tests/release/",
    "tests/unit/",
)
"""Where tests that are in no group compute; all others wait, and so do groups."""

ROLES: Final = ("single", "groups", "single", "groups", "single", "computing")
"""What processes begin with, in turn: groups keep servers of their own busy, most single tests wait."""

REST: Final = {
    "single": ("single", "groups", "computing"),
    "groups": ("groups", "single", "computing"),
    "computing": ("computing", "groups", "single"),
}
"""What a process takes up after what it began with."""


def _seconds(scope: str) -> float:
    table, unknown = (TEST_SECONDS, UNKNOWN_TEST_SECONDS) if "::" in scope else (GROUP_SECONDS, UNKNOWN_GROUP_SECONDS)
    return next((seconds for begin, seconds in table.items() if scope.startswith(begin)), unknown)


def _role(scope: str) -> str:
    if "::" not in scope:
        return "groups"
    return "computing" if scope.startswith(COMPUTING) else "single"


class Schedule(LoadGroupScheduling):  # type: ignore[misc]
    """Hands out the longest first. What computes, what keeps servers busy and what waits run side by side."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._queues: dict[str, list[str]] = {}
        """What each role begins with, the longest last."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._queues:
            self._queues = {role: [] for role in REST}
            for scope in sorted(self.workqueue, key=_seconds):
                self._queues[_role(scope)].append(scope)
        number = int(node.gateway.id.removeprefix("gw"))
        for role in REST[ROLES[number % len(ROLES)]]:
            if self._queues[role]:
                self.workqueue.move_to_end(self._queues[role].pop(), last=False)
                break
        super()._assign_work_unit(node)  # the first; where a process crashed, what it left behind is there, too
