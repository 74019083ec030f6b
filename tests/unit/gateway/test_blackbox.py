"""Blackbox' words for each phase: one for stopped only with the proof in hand."""

from typing import Any

import pytest

from agentstop.gateway.dialects.blackbox import agent, cloud, facts
from agentstop.gateway.entry import Entry

from .test_index import task


def entry(phase: str | None, *, verdict: str | None = None, **spec: Any) -> Entry:
    raw = task("a", phase=phase, **spec)
    raw["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    if verdict is not None:
        raw["status"]["stop"] = {"verdict": verdict, "confirmedAt": "2026-01-01T00:00:09.123987Z"}
    return Entry(raw)


@pytest.mark.parametrize(
    ("given", "in_cloud", "of_agents"),
    [
        (entry(None), "pending", "queued"),
        (entry("Pending"), "pending", "queued"),
        (entry("Pending", stopRequested=True), "saving", "running"),
        (entry("Running"), "processing", "running"),
        (entry("Running", stopRequested=True), "saving", "running"),
        (entry("Pausing"), "processing", "running"),
        (entry("Paused"), "processing", "running"),
        (entry("Stopping"), "saving", "running"),
        (entry("Stopped", verdict="Graceful"), "stopped", "cancelled"),
        (entry("Stopped", verdict="Unverified"), "error", "failed"),
        (entry("Completed", stopRequested=True), "completed", "completed"),
        (entry("Failed"), "error", "failed"),
    ],
)
def test_words(given: Entry, in_cloud: str, of_agents: str) -> None:
    assert (cloud.status_of(given), agent.status_of(given)) == (in_cloud, of_agents)


def test_what_went_wrong() -> None:
    assert facts.error_of(entry("Running")) is None
    assert facts.error_of(entry("Completed")) is None
    assert facts.error_of(entry("Stopped", verdict="Unverified")) == facts.UNVERIFIED
    assert facts.error_of(entry("Stopped")) == "Task was stopped"
    assert facts.error_of(entry("Failed")) == "Task failed"
    by_hand, late = entry("Stopped"), entry("Stopped")
    by_hand.raw["status"]["manuallyStopped"] = True
    late.raw["status"]["message"] = "it ran for too long"
    assert (facts.error_of(by_hand), facts.error_of(late)) == ("Task was stopped by user", "it ran for too long")


def test_times_have_milliseconds_and_an_end_only_where_there_is_one() -> None:
    assert cloud.task(entry("Stopped", verdict="Killed")).completed_at == "2026-01-01T00:00:09.123Z"
    assert cloud.task(entry("Running", verdict="Killed")).completed_at is None
    assert cloud.task(entry("Running")).created_at == "2026-01-01T00:00:00.000Z"
