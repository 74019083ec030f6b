"""What is cut from the API server's messages, and what is left of them."""

import json

import pytest
from pydantic import ValidationError

from agentstop.cluster.errors import error_from
from agentstop.cluster.redact import private_texts, without
from agentstop.cluster.tasks import read_task
from tests.unit.objects import raw_task

CANARY = "sk-canary-7f3a"
NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='"


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (
            f'Pod "x" is invalid: spec.containers[0].env[0].name: Invalid value: "{CANARY}=1": {NAME}',
            f'Pod "x" is invalid: spec.containers[0].env[0].name: Invalid value: (withheld): {NAME}',
        ),
        (
            f'Pod "x" is invalid: [spec.a: Invalid value: "{CANARY}\\"": must be b, spec.c: Required value]',
            'Pod "x" is invalid: [spec.a: Invalid value: (withheld): must be b, spec.c: Required value]',
        ),
        (
            f'spec.restartPolicy: Unsupported value: "{CANARY}": supported values: "Always", "Never"',
            'spec.restartPolicy: Unsupported value: (withheld): supported values: "Always", "Never"',
        ),
        (
            f'x is invalid: [a: Invalid value: {{"a": "{CANARY}: "}}: it stays, b: Invalid value: ["{CANARY}"]: too]',
            "x is invalid: [a: Invalid value: (withheld): it stays, b: Invalid value: (withheld): too]",
        ),
        (
            f"x is invalid: a: Invalid value: {{no JSON {CANARY}}}: nobody knows where that ended",
            "x is invalid: a: Invalid value: (withheld)",
        ),
        (
            "spec.activeDeadlineSeconds: Invalid value: -1: must be between 1 and 2147483647, inclusive",
            "spec.activeDeadlineSeconds: Invalid value: -1: must be between 1 and 2147483647, inclusive",
        ),
        (
            "spec.hostname: Too long: may not be more than 63 bytes",
            "spec.hostname: Too long: may not be more than 63 bytes",
        ),
        (
            f'spec.env: Invalid value: core.EnvVar{{Name:"A", Value:"{CANARY}"}}: is wrong',
            "spec.env: Invalid value: (withheld)",
        ),
        (
            f'spec: Forbidden: pod updates may not change other fields\n  core.PodSpec{{ Value: "{CANARY}" }}',
            "spec: Forbidden: pod updates may not change other fields (withheld)",
        ),
        ('pods "x" is forbidden: exceeded quota: q', 'pods "x" is forbidden: exceeded quota: q'),
        ('agenttasks.agentstop.dev "x" not found', 'agenttasks.agentstop.dev "x" not found'),
    ],
)
def test_values_are_cut_and_the_rest_is_left(message: str, left: str) -> None:
    body = json.dumps({"kind": "Status", "message": message, "reason": "Invalid"}).encode()

    assert error_from(422, body).message == left


def test_what_only_the_agent_is_to_see() -> None:
    container = {
        "name": "container",
        "image": "registry/image",
        "command": ["sh", "-c", "one two"],
        "args": ["--prompt=three"],
        "env": [
            {"name": "NAMEOF", "value": "the four"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "five.five"}}},
        ],
    }
    pod = {
        "metadata": {"annotations": {"a": "annotation"}, "labels": {"a": "labelled"}},
        "spec": {"containers": [container], "initContainers": [{"args": ["initial"]}], "nodeName": "node-name"},
    }

    assert set(private_texts(pod)) == {
        "annotation",
        "one two",
        "--prompt=three",
        "NAMEOF",
        "the four",
        "five.five",
        "initial",
    }


@pytest.mark.parametrize("pod", [{}, {"spec": None}, {"spec": {"containers": ["odd", {"env": 7}]}}])
def test_odd_pods_have_nothing_to_hide(pod: dict[str, object]) -> None:
    assert not list(private_texts(pod))


def test_a_message_of_admission_is_cut_wherever_it_quotes() -> None:
    text = 'a "quoted" line\nand more'
    message = f"denied: {text} and again {json.dumps(text)}, but agents may run"

    assert without(message, [text, "quoted"]) == 'denied: (withheld) and again "(withheld)", but agents may run'


def test_a_task_that_does_not_fit_is_not_quoted() -> None:
    """What an object holds is in no error about it either: those are logged."""
    with pytest.raises(ValidationError) as caught:
        read_task(raw_task({"podTemplate": CANARY, "agent": [CANARY]}))

    assert "podTemplate" in str(caught.value)
    assert CANARY not in str(caught.value)
