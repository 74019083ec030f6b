"""What is kept of a task: no more than is needed, however much somebody has written into it."""

import pickle

import pytest

from agentstop.api.order import OrderStatus, StopOrderSpec
from agentstop.cluster.decoding import decode
from agentstop.cluster.tasks import MAX_LABEL_CHARACTERS, MAX_LABELS, read_task
from agentstop.lifecycle.orders import Order, OrderKey, may_match
from tests.unit.cluster.test_decoding import nested
from tests.unit.objects import Raw, raw_task

TEMPLATE: Raw = {"spec": {"containers": [{"name": "a", "env": [{"name": "b", "value": "x" * 1_000_000}]}]}}


@pytest.mark.parametrize("status", [{}, {"phase": "Paused"}, {"phase": "Running"}])
@pytest.mark.parametrize("paused", [False, True])
def test_a_template_is_known_to_be_there_and_not_kept(status: Raw, *, paused: bool) -> None:
    raw = raw_task({"podTemplate": TEMPLATE, "paused": paused}, status)
    raw["metadata"]["annotations"] = {"a": "x" * 100_000}
    raw["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {"f:x": {}}}] * 1_000
    task = read_task(raw)
    assert task.spec.pod_template is not None
    assert len(pickle.dumps(task)) < 5_000
    assert raw["spec"]["podTemplate"] == TEMPLATE


def test_a_task_without_a_template_has_none() -> None:
    raw = raw_task()
    raw["spec"] = {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}
    assert read_task(raw).spec.pod_template is None


@pytest.mark.parametrize(
    "labels",
    [{f"k{number}": "" for number in range(MAX_LABELS + 1)}, {"k": "x" * MAX_LABEL_CHARACTERS}],
    ids=["many", "long"],
)
def test_who_has_too_many_labels_is_found_by_every_selector(labels: dict[str, str]) -> None:
    """So nobody hides from an order by them, and nobody fills the memory."""
    task = read_task(raw_task(labels=labels))
    key = OrderKey("StopOrder", task.namespace, "o")
    order = Order(
        key=key,
        uid="u",
        resource_version="1",
        generation=1,
        status=OrderStatus(),
        spec=StopOrderSpec.model_validate({"selector": {"matchLabels": {"team": "red"}}}),
    )
    assert not task.labels
    assert may_match(order, task)
    assert not may_match(order, read_task(raw_task(labels={f"k{number}": "" for number in range(MAX_LABELS)})))


def test_a_task_that_is_nested_too_deep_can_be_read_and_stopped() -> None:
    text = '{"apiVersion":"agentstop.dev/v1alpha1","kind":"AgentTask","metadata":{"name":"x","namespace":"ns","uid":"u"'
    text += f',"resourceVersion":"1","managedFields":[{{"fieldsV1":{nested(9_000)}}}]}}'
    text += f',"spec":{{"podTemplate":{{"spec":{nested(9_000, "[")}}},"stopRequested":true}}}}'
    assert read_task(decode(text.encode())).spec.stop_requested
