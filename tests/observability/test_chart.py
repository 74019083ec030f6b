"""What the chart makes of alerts, dashboard, monitors and traces."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.support.helm import CHART, NAMESPACE, one, render
from tests.support.kube import Object

from .test_alerts import ALERTS, PROMTOOL, needs_promtool, promtool, rules

KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}

EVERYTHING: dict[str, Any] = {
    "metrics": {"serviceMonitor": {"enabled": True}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}


def test_nothing_of_it_is_there_by_default() -> None:
    objects = render()
    assert not {each["kind"] for each in objects} & KINDS
    assert not [each for each in objects if each["kind"] == "ConfigMap"]
    assert "OTEL_" not in json.dumps(objects)


def endpoint_of(monitor: Object) -> Object:
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    return dict(endpoint)


@pytest.mark.parametrize(("key", "kind"), [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")])
def test_a_monitor_finds_the_operator(key: str, kind: str) -> None:
    given = {
        "enabled": True,
        "interval": "15s",
        "labels": {"release": "stack"},
        "relabelings": [{"action": "labelmap"}],
    }
    objects = render({"metrics": {key: given}}, name="brake")
    monitor, endpoint = one(objects, kind), endpoint_of(one(objects, kind))

    assert monitor["metadata"]["labels"]["release"] == "stack"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    target = one(objects, "Service") if kind == "ServiceMonitor" else one(objects, "Deployment")["spec"]["template"]
    assert wanted <= target["metadata"]["labels"].items()
    ports = target["spec"]["ports"] if kind == "ServiceMonitor" else target["spec"]["containers"][0]["ports"]
    assert endpoint["port"] in {port["name"] for port in ports}
    assert (endpoint["path"], endpoint["interval"], endpoint["honorLabels"]) == ("/metrics", "15s", True)
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "brake-agentstop"}, {"action": "labelmap"}]


def test_nobody_counts_twice() -> None:
    both = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
    with pytest.raises(helm_python.HelmError, match="not both"):
        render({"metrics": both})


@pytest.mark.parametrize("key", ["serviceMonitor", "podMonitor"])
def test_a_monitor_needs_metrics(key: str) -> None:
    with pytest.raises(helm_python.HelmError, match=r"needs metrics\.enabled"):
        render({"metrics": {"enabled": False, key: {"enabled": True}}})


def rendered_rules(values: dict[str, Any], *, gateway: bool = False, **options: Any) -> list[Object]:
    given = {"prometheusRule": {"enabled": True, **values}, "gateway": {"enabled": gateway}}
    rule = one(render(given, **options), "PrometheusRule")
    return [each for group in rule["spec"]["groups"] for each in group["rules"]]


def of_gateway(rule: Object) -> bool:
    return str(rule["alert"]).startswith("AgentstopGateway")


def test_the_alerts_are_those_of_the_file() -> None:
    def here(expression: str) -> str:
        return re.sub(r'job="(agentstop(?:-gateway)?)"', rf'job="\1", namespace="{NAMESPACE}"', expression)

    wanted = [{**rule, "expr": here(rule["expr"])} for rule in rules()]
    assert rendered_rules({}) == [rule for rule in wanted if not of_gateway(rule)]
    assert rendered_rules({}, gateway=True) == wanted


def test_the_alerts_of_two_releases_look_at_their_own() -> None:
    for rule in rendered_rules({}, gateway=True, name="other", namespace="elsewhere"):
        job = "other-agentstop-gateway" if of_gateway(rule) else "other-agentstop"
        assert f'job="{job}", namespace="elsewhere"' in rule["expr"]


@needs_promtool
def test_prometheus_takes_the_alerts_of_the_chart(tmp_path: Path) -> None:
    assert PROMTOOL
    given = {"prometheusRule": {"enabled": True}, "gateway": {"enabled": True}}
    rule = one(render(given), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    promtool("check", "rules", "rules.yaml", cwd=tmp_path)


def test_alerts_can_be_changed() -> None:
    name = "AgentstopStopStalled"
    own = {"name": "own", "rules": [{"record": "a:b", "expr": "1"}]}
    changed = rendered_rules(
        {
            "disabled": ["AgentstopAbsent"],
            "severities": {name: "page"},
            "runbookBaseUrl": "https://wiki/",
            "extraGroups": [own],
        }
    )
    by_name = {rule.get("alert"): rule for rule in changed}
    assert "AgentstopAbsent" not in by_name
    assert by_name[name]["labels"] == {"severity": "page"}
    assert by_name[name]["annotations"]["runbook_url"] == f"https://wiki/{name}.md"
    assert changed[-1] == own["rules"][0]


def test_an_alert_that_there_is_not_cannot_be_left_out() -> None:
    with pytest.raises(helm_python.HelmError):
        render({"prometheusRule": {"disabled": ["AgentstopMissing"]}})
    known = json.loads((CHART / "values.schema.json").read_text())["$defs"]["alert"]["enum"]
    assert known == [rule["alert"] for rule in rules()]


def test_grafana_finds_the_dashboard() -> None:
    board = one(render({"dashboard": {"enabled": True, "namespace": "grafana", "labels": {"a": "b"}}}), "ConfigMap")

    assert board["metadata"]["namespace"] == "grafana"
    assert {"grafana_dashboard": "1", "a": "b"}.items() <= board["metadata"]["labels"].items()
    assert json.loads(board["data"]["agentstop.json"]) == json.loads((CHART / "files/dashboard.json").read_text())


def test_traces_go_where_the_value_says() -> None:
    objects = render({"tracing": {"endpoint": "http://collector:4318"}, "extraEnv": [{"name": "A", "value": "b"}]})
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]

    assert [each for each in container["env"] if "value" in each] == [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"},
        {"name": "A", "value": "b"},
    ]


def test_names_and_labels_of_everything() -> None:
    found = [each for each in render(EVERYTHING) if each["kind"] in KINDS | {"ConfigMap"}]
    assert len(found) == 3
    for each in found:
        assert each["metadata"]["name"] == "agentstop"
        assert each["metadata"]["namespace"] == NAMESPACE
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "agentstop"


def test_the_files_are_in_the_package(tmp_path: Path) -> None:
    """`.helmignore` leaves out neither alerts nor dashboard."""
    chart = tmp_path / "agentstop"
    shutil.copytree(CHART, chart)
    assert ALERTS.exists()
    assert one(render(EVERYTHING, chart=chart), "PrometheusRule")["spec"]["groups"]
