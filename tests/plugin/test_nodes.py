"""What `check` says of the components on nodes."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from agentstop.cli.plugin.checks import Grade, node_finding
from agentstop.client.client import Api
from agentstop.client.errors import ApiError


def control(seconds: float, observed: int) -> dict[str, Any]:
    """Return a PodControl of so many seconds ago, and which generation its component has answered."""
    made = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    return {
        "metadata": {"name": "x", "namespace": "ns", "generation": 1, "creationTimestamp": made},
        "spec": {"nodeName": "worker-1"},
        "status": {"observedGeneration": observed},
    }


class Server:
    def __init__(self, found: list[dict[str, Any]] | ApiError) -> None:
        self._found = found

    def page(self, path: str, _query: Any) -> dict[str, Any]:
        assert path == "/apis/agentstop.dev/v1alpha1/namespaces/ns/podcontrols"
        if isinstance(self._found, ApiError):
            raise self._found
        return {"items": self._found}


@pytest.mark.parametrize(
    ("found", "grade", "words"),
    [
        ([], Grade.NO, "node.enabled"),
        ([(60, 1), (0, 0)], Grade.GOOD, "all of 2"),
        ([(60, 1), (60, 0)], Grade.BAD, "1 of 2 are not answered, such as by node worker-1"),
        (ApiError(404, {"message": "404 page not found"}), Grade.NO, "definition"),
        (ApiError(403, {"reason": "Forbidden", "message": "no"}), Grade.UNKNOWN, "not to be seen"),
    ],
)
def test_whether_they_answer(found: list[tuple[float, int]] | ApiError, grade: Grade, words: str) -> None:
    there = found if isinstance(found, ApiError) else [control(*each) for each in found]
    said = node_finding(cast("Api", Server(there)), "ns")
    assert said.grade is grade
    assert words in said.detail
