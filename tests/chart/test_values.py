"""The values: linted, documented, and refused where they are wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from tools import chart_values

from tests.support import helm
from tests.support.helm import CHART, OLDEST

from .options import MATRIX, Values

DEFAULTS: Values = yaml.load((CHART / "values.yaml").read_text(), Loader=yaml.CSafeLoader)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())

FROM_HELM = {"enabled", "global"}
"""Values that a chart is given by the one it is a dependency of."""

WARNING = 2
"""Severity from which on a finding of the linter counts."""


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
@pytest.mark.parametrize("kubernetes", [OLDEST, helm.KUBERNETES])
def test_lint_passes(values: Values, kubernetes: str) -> None:
    report = helm_python.lint(CHART, values, strict=True, kube_version=kubernetes)
    assert not report["errors"]
    assert not [each for each in report["messages"] if each["severity"] >= WARNING]


def test_kubernetes_that_is_too_old_is_refused() -> None:
    with helm_python.Config(storage_driver="memory") as config, pytest.raises(helm_python.HelmReleaseError) as refused:
        helm.dry_run(config, kube_version="v1.29.0")
    assert "requires kubeVersion: >=1.30.0-0" in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"replicaCount": "2"}, "at '/replicaCount': got string, want integer"),
        ({"image": {"tagg": "v1"}}, "at '/image': additional properties 'tagg' not allowed"),
        ({"image": {"tag": 1.0}}, "at '/image/tag': got number, want string"),
        ({"image": {"repository": "agentstop:v1"}}, "at '/image/repository'"),
        ({"image": {"digest": "abc"}}, "at '/image/digest'"),
        ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
        ({"watchNamespaces": ["Team A"]}, "at '/watchNamespaces/0'"),
        ({"podDisruptionBudget": {"maxUnavailable": "half"}}, "at '/podDisruptionBudget/maxUnavailable'"),
        ({"leaderElection": {"leaseDurationSeconds": 0}}, "at '/leaderElection/leaseDurationSeconds'"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName 'app.kubernetes.io/name'"),
        ({"podAnnotations": {"number": 1}}, "at '/podAnnotations/number': got number, want string"),
        ({"extraArgs": ["run"]}, "at '/extraArgs/0'"),
        ({"metrics": {"port": 80}}, "at '/metrics/port': minimum: got 80, want 1,024"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: Values, message: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refused:
        helm.templates(values)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_value_set_to_nothing_is_taken_or_refused_by_name(name: str) -> None:
    try:
        helm.render({name: None})
    except helm_python.HelmValuesError as refused:
        assert f"missing property '{name}'" in str(refused)  # noqa: PT017 (most are taken, and then there is no error)


def test_a_single_default_can_be_taken_away() -> None:
    pod = helm.one(helm.render({"podSecurityContext": {"runAsUser": None}}), "Deployment")["spec"]["template"]["spec"]
    assert "runAsUser" not in pod["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]


def test_as_a_dependency_it_takes_what_helm_gives_it() -> None:
    assert helm.render({"global": {"imageRegistry": "x"}, "enabled": True}) == helm.render()


def _described(schema: dict[str, Any], values: Values, path: str) -> Iterator[str]:
    """Yield what differs between the schema and the defaults, by path."""
    properties = schema.get("properties", {})
    yield from (f"{path}{name} is in one only" for name in properties.keys() ^ values.keys())
    if schema.get("additionalProperties") is not False:
        yield f"{path} takes anything"
    for name in properties.keys() & values.keys():
        one = properties[name]
        one = SCHEMA["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        if "properties" in one:
            yield from _described(one, values[name], f"{path}{name}.")


def test_schema_and_defaults_have_the_same_values() -> None:
    described = {**SCHEMA, "properties": {k: v for k, v in SCHEMA["properties"].items() if k not in FROM_HELM}}
    optional = {f"{path}resources.claims is in one only" for path in ("", "gateway.", "node.")}
    assert set(_described(described, DEFAULTS, "")) <= optional


def test_every_value_is_documented() -> None:
    document = (helm.CHART.parents[1] / "docs/chart-values.md").read_text()
    assert chart_values.reference((CHART / "values.yaml").read_text()) == document


def test_a_value_without_a_comment_is_found() -> None:
    text = "# One.\na: 1\n\n# Two.\nb:\n  # Three.\n  c: 1\n  d: 2\n"
    with pytest.raises(chart_values.UndocumentedError, match=r"line 8: b\.d"):
        list(chart_values.values(text))


def test_maps_are_described_as_their_comments_say() -> None:
    text = "## First\n\n# A map\n# as a whole.\na:\n  b: [1]\n## Second\nc:\n  # Either | or.\n  d: ''\n"
    assert list(chart_values.values(text)) == [
        chart_values.Value("First", "a", "{b: [1]}", "A map as a whole."),
        chart_values.Value("Second", "c.d", '""', "Either | or."),
    ]
    assert '| `c.d` | `""` | Either \\| or. |' in chart_values.reference(text)


def test_the_reference_says_where_a_comment_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("a: 1\n")
    assert chart_values.main([str(path)]) == 1
    assert capsys.readouterr().err == f"{path}, line 1: a has no comment that says what it means\n"
