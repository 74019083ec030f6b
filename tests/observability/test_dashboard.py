"""The dashboard: every panel asks for what there is."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .exposition import families, families_of_gateway
from .promql import mistakes

DASHBOARD = Path(__file__).parents[2] / "charts/agentstop/files/dashboard.json"
CONTENT: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in CONTENT["panels"] if panel["type"] != "row"]
ROWS = 24
"""Columns of a dashboard of Grafana."""


def test_panels_have_ids_of_their_own() -> None:
    assert not [number for number, count in Counter(panel["id"] for panel in CONTENT["panels"]).items() if count > 1]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in CONTENT["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < ROWS
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert not mistakes(target["expr"])
        assert 'job=~"$job"' in target["expr"]
        assert set(re.findall(r"\$(\w+)", target["expr"])) <= {"job", "namespace", "__rate_interval", "__range"}


def test_variables_are_of_metrics_that_there_are() -> None:
    asked = [variable["definition"] for variable in CONTENT["templating"]["list"] if variable["type"] == "query"]
    assert len(asked) == 2
    for definition in asked:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition).groups()  # type: ignore[union-attr]
        assert label in families()[metric].labels | {"job"}


def test_every_metric_but_two_is_shown() -> None:
    """The newest event says little: what it is good for, the newest contact is better for. Nothing is skipped, ever."""
    text = DASHBOARD.read_text()
    hidden = {name for name in (*families(), *families_of_gateway()) if name not in text}
    assert hidden == {"agentstop_watch_last_event_timestamp_seconds", "agentstop_watch_skipped_total"}
