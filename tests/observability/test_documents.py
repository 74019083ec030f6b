"""docs/observability.md against the product: metrics, alerts, log lines, spans."""

import json
import logging
import re
from datetime import datetime, timedelta
from typing import cast

import pytest

from agentstop.api.task import AgentTaskStatus, Phase, StopSource, StopStatus, Verdict
from agentstop.cli.logs import set_up_logs
from agentstop.controller.events import EventRecorder
from agentstop.controller.metrics import Metrics
from agentstop.controller.reporter import IN_TEXT, Reporter
from agentstop.controller.spans import attributes, spans
from agentstop.lifecycle.decision import Decision
from tests.docs.documents import ROOT, blocks, table_below
from tests.unit.objects import at, task, when

from .exposition import families, families_of_gateway
from .test_alerts import rules

DOCUMENT = "docs/observability.md"
PAGE = (ROOT / DOCUMENT).read_text()

UID = "2c1f0c1e-6b0b-4d55-9d3e-0f3c1c9f2a77"
RECORD = StopStatus(source=StopSource.USER, accepted_at=at(0), requested_by="jane@example.com")
RUNNING = AgentTaskStatus(phase=Phase.RUNNING, reason="Running")
STOPPING = AgentTaskStatus(phase=Phase.STOPPING, reason="UserRequested", stop=RECORD)
STOPPED = STOPPING.but(
    phase=Phase.STOPPED,
    stop=RECORD.but(
        signaled_at=at(0.1),
        confirmed_at=at(2.613),
        duration_seconds=2.613,
        verdict=Verdict.GRACEFUL,
        grace_period_seconds=9,
    ),
)


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_metrics_is_what_is_exposed() -> None:
    documented = {
        named(name)[0]: (kind, frozenset(filter(None, labels.split(", "))))
        for name, kind, labels, _ in table_below(DOCUMENT, "## Metrics")
    }
    assert documented == {name: (family.type, family.labels) for name, family in families().items()}


def test_the_gateways_table_of_metrics_is_what_it_exposes() -> None:
    documented = {}
    for cell, _ in table_below("docs/gateway.md", "## Probes and metrics"):
        name, _, labels = named(cell)[0].rstrip("}").partition("{")
        documented[name] = frozenset(filter(None, labels.split(",")))
    assert documented == {name: family.labels for name, family in families_of_gateway().items()}


def test_the_table_of_alerts_is_what_there_is() -> None:
    documented = {named(name)[0]: severity for name, severity, _ in table_below(DOCUMENT, "## Alerts")}
    assert documented == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def logged(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> list[str]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logs(json=as_json, verbose=False)
    try:
        reporter = Reporter(cast("EventRecorder", None), Metrics({}, lambda: 0, tuple))
        before = AgentTaskStatus()
        for after in (RUNNING, STOPPING, STOPPED):
            given = task(None, before.wire(), namespace="research", name="digest", uid=UID)
            reporter.wrote(given, Decision(status=after))
            before = after
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return capsys.readouterr().err.splitlines()


def example(language: str, word: str) -> list[str]:
    return next(
        block.text for block in blocks(ROOT / DOCUMENT) if block.language == language and word in block.text
    ).splitlines()


def test_the_plain_lines_are_those_that_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    written = [line.split(" ", 1)[1] for line in logged(capsys, as_json=False)]
    assert [line.split(" ", 1)[1] for line in example("text", "is Running")] == written


def test_the_json_line_is_the_one_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    written = json.loads(logged(capsys, as_json=True)[-1])
    (documented,) = map(json.loads, example("json", '"uid"'))
    assert datetime.fromisoformat(documented.pop("time")).tzinfo is not None
    assert datetime.fromisoformat(written.pop("time")).utcoffset() == timedelta(0)
    assert documented == written


def test_the_fields_of_a_line_are_documented() -> None:
    documented = [name for row in table_below(DOCUMENT, "## Logs") for name in named(row[0])]
    assert set(documented) == {"task", "phase", *IN_TEXT}


def test_spans_and_attributes_are_documented() -> None:
    fields = [{"time": when(-1), "fieldsV1": {"f:spec": {"f:stopRequested": {}}}}]
    stopped = task({"podTemplate": {}, "stopRequested": True}, RUNNING.wire(), managedFields=fields)
    assert {named(row[0])[0] for row in table_below(DOCUMENT, "## Traces")} == {
        span.name for span in spans(stopped, None, STOPPED)
    }
    assert STOPPED.stop is not None
    for name in attributes(stopped, STOPPED.stop):
        assert f"`{name.removeprefix('agentstop.')}`" in PAGE


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs/images/dashboard.png").stat().st_size < 200_000
