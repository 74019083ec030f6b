"""What the plugin says by itself, against the models that it does not import."""

import re
from pathlib import Path

from agentstop.api import meta, order, task
from agentstop.api.crd import crds
from agentstop.cli.plugin import names
from agentstop.cli.plugin.waiting.aims import _ORDER_WORDS
from agentstop.words.advice import ADVICE
from agentstop.words.reasons import _SOURCES, _VERDICTS
from agentstop.words.tasks import TERMINAL

ROOT = Path(__file__).parents[2]


def test_names_are_those_of_the_api() -> None:
    assert (names.GROUP, names.API_VERSION) == (meta.GROUP, meta.API_VERSION)
    found = {each["spec"]["names"]["kind"]: each["spec"] for each in crds().values()}
    for kind in (names.TASK, names.ORDER, names.CLUSTER_ORDER):
        assert kind.plural == found[kind.kind]["names"]["plural"]
        assert kind.cluster_wide == (found[kind.kind]["scope"] == "Cluster")


def test_phases_are_those_of_the_api() -> None:
    assert {str(phase) for phase in task.TERMINAL_PHASES} == TERMINAL
    assert set(re.findall(r"!=(\w+)", names.ACTIVE_ONLY)) == TERMINAL
    assert {str(phase) for phase in order.OrderPhase if phase.over} == names.ORDER_OVER


def test_words_cover_all_verdicts_and_sources() -> None:
    assert set(_VERDICTS) == {str(verdict) for verdict in task.Verdict}
    assert set(_SOURCES) <= {str(source) for source in task.StopSource}
    assert set(_ORDER_WORDS) == set(order.StoppedCounts().wire())


def test_the_bound_on_names_is_the_one_of_the_definition() -> None:
    field = order.StopOrderSpec.model_fields["task_names"]
    assert names.MAX_TASK_NAMES in [getattr(each, "max_length", None) for each in field.metadata]


def test_there_is_advice_for_every_documented_reason_that_holds_up() -> None:
    rows = re.findall(r"^\| `Stalled` \| `(\w+)` ", (ROOT / "docs/lifecycle.md").read_text(), re.MULTILINE)
    assert rows
    assert not [reason for reason in rows if reason not in ADVICE]


def test_advice_names_only_what_is_known() -> None:
    words = {"name": "a", "namespace": "b", "node": "c", "workload": "d", "parent": "e"}
    for text in ADVICE.values():
        assert text.format(**words)
