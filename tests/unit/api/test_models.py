"""The models: what comes off the wire goes back on it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentstop.api.meta import format_time, parse_time
from agentstop.api.task import AgentTask, AgentTaskSpec, AgentTaskStatus, Phase
from tests.unit.objects import ADOPTS, raw_task

WHOLE: dict[str, Any] = {
    "observedGeneration": 3,
    "phase": "Stopped",
    "manuallyStopped": True,
    "reason": "UserRequested",
    "message": "Task was stopped by user",
    "startedAt": "2026-01-01T12:00:00.000000Z",
    "pausedAt": "2026-01-01T12:00:00.500000Z",
    "pausedSeconds": 12.5,
    "finishedAt": "2026-01-01T12:00:09.123456Z",
    "attempts": 2,
    "usage": {
        "cost": "12.410000",
        "currency": "USD",
        "totalTokens": 842500,
        "turns": 118,
        "lastActivityAt": "2026-01-01T12:00:00.250000Z",
        "asOf": "2026-01-01T12:00:09.123456Z",
        "family": {"cost": "40.02", "currency": "USD", "totalTokens": 842501, "turns": 119},
    },
    "stop": {
        "source": "Parent",
        "origin": "planner",
        "requestedBy": "jane@example.com",
        "reason": "RunawayCost",
        "message": "spent 40 USD in 5 minutes",
        "acceptedAt": "2026-01-01T12:00:01.000001Z",
        "signaledAt": "2026-01-01T12:00:02.000000Z",
        "killAt": "2026-01-01T12:00:32.000000Z",
        "confirmedAt": "2026-01-01T12:00:09.123456Z",
        "gracePeriodSeconds": 30,
        "durationSeconds": 8.123,
        "verdict": "Graceful",
        "usageAtAcceptance": {"cost": "12.41", "currency": "USD", "totalTokens": 842500, "turns": 118},
        "usageAfter": {"cost": "0.31", "currency": "USD", "totalTokens": 100, "turns": 1},
    },
    "workload": {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "x",
        "uid": "u",
        "podCount": 1,
        "replicas": 3,
        "boundTo": {"apiVersion": "v1", "kind": "Other", "name": "y", "uid": "v"},
        "pods": [
            {
                "name": "x",
                "uid": "u",
                "node": "n",
                "containers": [
                    {
                        "name": "agent",
                        "exitCode": 0,
                        "signal": 0,
                        "reason": "Completed",
                        "startedAt": "2026-01-01T12:00:00.000000Z",
                        "finishedAt": "2026-01-01T12:00:08.000000Z",
                    }
                ],
            }
        ],
    },
    "children": {"total": 2, "active": 0},
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "UserRequested",
            "message": "",
            "lastTransitionTime": "2026-01-01T12:00:09.123456Z",
        }
    ],
}


def test_a_whole_status_round_trips() -> None:
    assert AgentTaskStatus.model_validate(WHOLE).wire() == WHOLE


def test_an_empty_status_is_a_pending_one() -> None:
    status = AgentTaskStatus.model_validate({})

    assert status.phase is Phase.PENDING
    assert AgentTaskStatus.model_validate(status.wire()) == status


def test_a_whole_task_round_trips() -> None:
    spec = {"agent": "a", "parentRef": {"name": "p"}, "stopRequested": True, "stop": {"gracePeriodSeconds": 5}}
    raw = raw_task(ADOPTS | spec, WHOLE)
    wire = AgentTask.model_validate(raw).wire()

    assert wire["status"] == WHOLE
    assert wire["spec"] == {
        "agent": "a",
        "workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"},
        "parentRef": {"name": "p"},
        "stopRequested": True,
        "stop": {"gracePeriodSeconds": 5, "podPolicy": "Keep", "fence": "AtRequest", "onUnconfirmed": "Wait"},
        "paused": False,
        "pausePolicy": "Terminate",
        "deletionPolicy": "Orphan",
    }


def test_a_pod_template_is_kept_to_the_letter() -> None:
    template = {"metadata": {"labels": {"a-b/c": "d"}}, "spec": {"containers": [{"name": "m", "snake_case": {"x": 1}}]}}

    assert AgentTaskSpec.model_validate({"podTemplate": template}).pod_template == template


def test_fields_of_newer_versions_are_no_errors() -> None:
    assert AgentTaskSpec.model_validate({"workloadRef": ADOPTS["workloadRef"], "notYet": True}) is not None


@pytest.mark.parametrize(
    "spec",
    [
        {"stopRequested": "maybe"},
        {"stop": {"gracePeriodSeconds": 0}},
        {"stop": {"gracePeriodSeconds": -1}},
        {"stop": {"gracePeriodSeconds": 10**9}},
        {"stop": {"reason": ""}},
        {"stop": {"reason": "x" * 65}},
        {"stop": {"podPolicy": "keep"}},
        {"activeDeadlineSeconds": 0},
        {"ttlSecondsAfterFinished": -1},
        {"deletionPolicy": "Delete"},
        {"paused": "maybe"},
        {"parentRef": {"name": ""}},
        {"parentRef": {}},
        {"externalID": ""},
        {"externalID": "x" * 254},
        {"workloadRef": {"kind": "Pod", "name": "x"}},
    ],
)
def test_what_the_schema_refuses_the_model_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AgentTaskSpec.model_validate(spec)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001
def test_moments_round_trip_in_any_zone(moment: datetime, hours: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(hours=hours)))

    assert parse_time(format_time(there)) == there
    assert format_time(there).endswith("Z")


def test_moments_of_whole_seconds_are_read_too() -> None:
    assert parse_time("2026-01-01T12:00:00Z") == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert parse_time(None) is None
