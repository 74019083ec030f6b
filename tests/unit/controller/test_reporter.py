"""What the numbers and the log say of a task's changes."""

import logging
from itertools import pairwise
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from agentstop.api.meta import Condition
from agentstop.api.task import AgentTaskStatus, Phase, StopSource, StopStatus, Verdict
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.controller.events import EventRecorder
from agentstop.controller.metrics import SIGNAL_BUCKETS, Metrics
from agentstop.controller.reporter import Reporter
from agentstop.controller.stalls import Stall, Stalls
from agentstop.lifecycle.decision import Decision
from agentstop.lifecycle.events import Action, Note, Severity
from agentstop.lifecycle.observation import Task
from tests.unit.objects import NOW, at, raw_task, task

ACCEPTED = StopStatus(source=StopSource.USER, accepted_at=at(0), requested_by="jane")
SIGNALED = ACCEPTED.but(signaled_at=at(0.25), kill_at=at(30), grace_period_seconds=30)
CONFIRMED = SIGNALED.but(confirmed_at=at(3), duration_seconds=3.0, verdict=Verdict.GRACEFUL)
STOPPING = AgentTaskStatus(phase=Phase.STOPPING, stop=SIGNALED)
STOPPED = AgentTaskStatus(phase=Phase.STOPPED, stop=CONFIRMED, reason="UserRequested")


class Notes:
    def __init__(self) -> None:
        self.posted: list[str] = []

    def post(self, task: Task, note: Note) -> None:
        self.posted.append(note.reason)


class Bench:
    def __init__(self) -> None:
        self.cache = Cache()
        self.metrics = Metrics(self.cache.tasks.phases, lambda: 7, lambda: [Stall("NodeUnreachable", 2, at(60))])
        self.notes = Notes()
        self.reporter = Reporter(cast("EventRecorder", self.notes), self.metrics)

    @property
    def registry(self) -> CollectorRegistry:
        return self.metrics.registry

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def wrote(self, *statuses: AgentTaskStatus) -> None:
        for before, after in pairwise(statuses):
            self.reporter.wrote(task(None, before.wire()), Decision(status=after))


@pytest.fixture
def bench() -> Bench:
    return Bench()


RUNNING = AgentTaskStatus(phase=Phase.RUNNING)


@pytest.mark.parametrize(
    "statuses",
    [
        (RUNNING, STOPPING, STOPPED, STOPPED.but(observed_generation=9)),
        (RUNNING, AgentTaskStatus(phase=Phase.STOPPING, stop=ACCEPTED), STOPPING, STOPPED),
        (RUNNING, STOPPED),
        (RUNNING.but(stop=SIGNALED), STOPPED),
    ],
    ids=["step by step", "signaled later", "all at once", "accepted in memory before"],
)
def test_a_stop_is_counted_once(bench: Bench, statuses: tuple[AgentTaskStatus, ...]) -> None:
    bench.wrote(*statuses)

    assert bench.value("agentstop_stop_requests_total", source="User") == 1
    assert bench.value("agentstop_stop_signal_seconds_count", source="User") == 1
    assert bench.value("agentstop_stop_signal_seconds_sum", source="User") == 0.25
    assert bench.value("agentstop_stop_duration_seconds_count", source="User", verdict="Graceful") == 1
    assert bench.value("agentstop_stop_duration_seconds_sum", source="User", verdict="Graceful") == 3.0


def test_an_end_without_a_stop_is_no_stop(bench: Bench) -> None:
    bench.wrote(RUNNING, AgentTaskStatus(phase=Phase.COMPLETED, reason="Completed"))

    assert bench.value("agentstop_stop_requests_total", source="User") == 0


def test_notes_are_posted(bench: Bench) -> None:
    note = Note(Severity.NORMAL, "Running", Action.START, "it runs")
    bench.reporter.wrote(task(), Decision(status=RUNNING, notes=(note,)))

    assert bench.notes.posted == ["Running"]


def test_a_change_of_phase_is_one_line_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        bench.wrote(RUNNING, STOPPING, STOPPING.but(observed_generation=2), STOPPED)

    assert [record.getMessage() for record in caplog.records] == [
        "ns/x is Stopping: uid=task-uid source=User by=jane",
        "ns/x is Stopped: uid=task-uid reason=UserRequested source=User by=jane verdict=Graceful seconds=3.0",
    ]
    assert caplog.records[-1].__dict__["verdict"] == "Graceful"


def stalled(reason: str, since: float = 60) -> Condition:
    return Condition(
        type="Stalled", status="True", reason=reason, message="secret words", last_transition_time=at(since)
    )


def test_what_holds_a_task_up_is_one_line_too(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    held = STOPPING.but(conditions=(stalled("NodeUnreachable"),))
    with caplog.at_level(logging.INFO):
        bench.wrote(STOPPING, held, held.but(observed_generation=3), STOPPING)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "ns/x is Stopping: uid=task-uid source=User by=jane stalled=NodeUnreachable"),
        ("INFO", "ns/x is Stopping: uid=task-uid source=User by=jane"),
    ]


def test_a_stop_whose_task_is_gone_is_counted_and_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        bench.reporter.ended(task(None, RUNNING.but(stop=SIGNALED).wire()), STOPPED)

    assert bench.value("agentstop_stop_requests_total", source="User") == 1
    assert bench.value("agentstop_stop_duration_seconds_count", source="User", verdict="Graceful") == 1
    assert len(caplog.records) == 1
    assert not bench.notes.posted


def test_the_state_is_read_when_somebody_asks(bench: Bench) -> None:
    bench.cache.tasks.put(raw_task(), NOW)
    bench.cache.tasks.put(raw_task(None, {"phase": "Running"}, name="y", uid="y"), NOW)

    assert bench.value("agentstop_tasks", namespace="ns", phase="Pending") == 1
    assert bench.value("agentstop_tasks", namespace="ns", phase="Running") == 1
    assert bench.value("agentstop_queue_depth") == 7
    assert bench.value("agentstop_stops_stalled", reason="NodeUnreachable") == 2
    since = bench.value("agentstop_stops_stalled_since_timestamp_seconds", reason="NodeUnreachable")
    assert since == at(60).timestamp()


def test_a_namespace_that_has_no_tasks_any_more_is_forgotten(bench: Bench) -> None:
    bench.cache.tasks.put(raw_task(), NOW)
    bench.cache.tasks.put(raw_task(None, {"phase": "Running"}, version=2), NOW)
    assert bench.value("agentstop_tasks", namespace="ns", phase="Pending") == 0

    bench.cache.drop_task(TaskKey("ns", "x"))
    assert bench.value("agentstop_tasks", namespace="ns", phase="Running") is None


def test_the_first_of_its_kind_is_an_increase(bench: Bench) -> None:
    """Prometheus sees an increase only between two values: the first is to be 0."""
    assert bench.value("agentstop_reconcile_total", result="error") == 0
    assert bench.value("agentstop_stops_stalled", reason="NodeUnreachable") == 2
    for source in StopSource:
        assert bench.value("agentstop_stop_requests_total", source=source) == 0
        assert bench.value("agentstop_stop_signal_seconds_bucket", source=source, le="1.0") == 0
        for verdict in Verdict:
            assert bench.value("agentstop_stop_duration_seconds_count", source=source, verdict=verdict) == 0


def test_without_an_election_this_process_leads(bench: Bench) -> None:
    assert bench.value("agentstop_leader") == 1
    bench.metrics.leader.set(0)
    assert bench.value("agentstop_leader") == 0


def test_an_alert_at_one_second_is_exact() -> None:
    assert 1.0 in SIGNAL_BUCKETS


def series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_ten_thousand_tasks_cost_no_more_than_ten() -> None:
    numbers = []
    for tasks in (10, 10_000):
        bench, stalls = Bench(), Stalls()
        bench.cache.tasks.listen(stalls.changed)
        metrics = Metrics(bench.cache.tasks.phases, lambda: 0, stalls.__iter__)
        reporter = Reporter(cast("EventRecorder", bench.notes), metrics)
        held = STOPPING.but(conditions=(stalled("NodeUnreachable"),))
        for number in range(tasks):
            raw = raw_task(None, held.wire(), name=f"t{number}", uid=f"u{number}", namespace=f"ns{number % 3}")
            bench.cache.tasks.put(raw, NOW)
            metrics.heard("AgentTask")
            for before, after in pairwise((RUNNING, held, STOPPED)):
                reporter.wrote(task(None, before.wire(), name=f"t{number}"), Decision(status=after))
        assert metrics.registry.get_sample_value("agentstop_stops_stalled", {"reason": "NodeUnreachable"}) == tasks
        numbers.append(series(metrics.registry))

    assert numbers[0] == numbers[1]


def test_no_number_bears_the_name_of_a_task(bench: Bench) -> None:
    bench.cache.tasks.put(raw_task(name="very-special", uid="u"), NOW)
    bench.wrote(RUNNING, STOPPING, STOPPED)

    for family in bench.registry.collect():
        assert family.name.startswith("agentstop_")
        for sample in family.samples:
            assert "very-special" not in sample.labels.values()
            assert set(sample.labels) <= {
                "namespace",
                "phase",
                "reason",
                "source",
                "verdict",
                "kind",
                "result",
                "version",
                "le",
            }
