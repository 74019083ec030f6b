"""The chart's gateway, without a cluster."""

import json
import os
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from agentstop.cli.operate import build_parser
from agentstop.gateway.hosts import read_hosts
from agentstop.gateway.keys import PREFIX, digest_of, read_keys
from agentstop.gateway.meter.config import MeterFile, read_meter
from agentstop.gateway.meter.prices import read_prices
from agentstop.gateway.registry import DIALECTS
from tests.gateway.conftest import RULES
from tests.support import helm
from tests.support.helm import CHART, NAMESPACE, one
from tests.support.kube import Object

from .options import GATEWAY, Values
from .test_rendering import notes, part

NAME = "agentstop-gateway"


def gateway(**values: Any) -> Values:
    return {"gateway": {"enabled": True, **values}}


def pod(values: Values) -> Object:
    return dict(part(helm.render(values), "Deployment", "gateway")["spec"]["template"]["spec"])


def options(values: Values) -> Any:
    (container,) = pod(values)["containers"]
    assert container["command"] == ["agentstop"]
    return build_parser().parse_args(container["args"])


def test_nothing_of_it_is_there_by_default() -> None:
    assert "gateway" not in json.dumps([each for each in helm.render() if each["kind"] != "CustomResourceDefinition"])


def test_it_understands_its_command() -> None:
    plain = options(gateway())
    assert (plain.bind_address, plain.port, plain.wait) == ("0.0.0.0", 8090, 10)  # noqa: S104
    assert (plain.keys, plain.hooks, plain.hosts, plain.meter, plain.tls_cert, plain.tls_key) == (None,) * 6
    assert plain.namespace == []
    told = options({**GATEWAY, "watchNamespaces": ["team-a", "team-b"], "logging": {"format": "plain"}})
    assert (told.bind_address, told.wait, told.log_format) == ("::", 5, "plain")
    assert told.namespace == ["team-a", "team-b"]


def test_its_files_are_those_that_are_mounted() -> None:
    found, told = pod(GATEWAY), options(GATEWAY)
    (container,) = found["containers"]
    volumes = {each["name"]: each for each in found["volumes"]}
    assert all(each["readOnly"] for each in container["volumeMounts"])
    at = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    keys = at[str(told.keys.parent)]["secret"]
    assert (keys["secretName"], keys["optional"]) == ("api-keys", True)
    assert keys["items"] == [{"key": "keys", "path": told.keys.name}]
    hooks = at[str(told.hooks.parent)]["secret"]
    assert (hooks["secretName"], hooks["optional"]) == ("webhooks", True)
    assert hooks["items"] == [{"key": "hooks", "path": told.hooks.name}]
    assert (
        at[str(told.tls_cert.parent)]
        == at[str(told.tls_key.parent)]
        == {
            "name": "tls",
            "secret": {"secretName": "door-tls"},
        }
    )
    assert (told.tls_cert.name, told.tls_key.name) == ("tls.crt", "tls.key")
    config = one(helm.render(GATEWAY), "ConfigMap", at[str(told.hosts.parent)]["configMap"]["name"])
    assert read_hosts(config["data"][told.hosts.name], ["xpander"]) == {"api.xpander.ai": "xpander"}
    assert not pod(gateway()).keys() & {"volumes"}


def test_the_meter_has_its_file_and_its_prices() -> None:
    told, volumes = options(GATEWAY), {each["name"]: each for each in pod(GATEWAY)["volumes"]}
    config = one(helm.render(GATEWAY), "ConfigMap", volumes["meter"]["configMap"]["name"])
    file = read_meter(config["data"][told.meter.name])
    assert (file.currency, file.keys, file.write_seconds, file.limits.tasks) == ("EUR", ("collector",), 2.0, 50)
    assert file.trust_requests
    prices = file.prices_beside(told.meter)
    assert str(prices) == "/etc/agentstop/prices/prices.json"
    assert volumes["prices"]["configMap"]["items"] == [{"key": "map.json", "path": "prices.json"}]
    models = {"gpt-4o": {"input_cost_per_token": 2.5e-06}}
    values = gateway(meter={"enabled": True, "prices": {"models": models}})
    config = one(helm.render(values), "ConfigMap", "agentstop-gateway-meter")
    assert read_meter(config["data"]["meter.yaml"]) == MeterFile(prices="prices.json")
    price = read_prices(config["data"]["prices.json"]).find(None, "gpt-4o")
    assert price is not None
    assert price.prompt == Decimal("0.0000025")


def test_no_secret_is_made_by_the_chart() -> None:
    """What is in a release's values is in the release's own Secret, and often in Git."""
    assert not [each for each in helm.render(GATEWAY) if each["kind"] == "Secret"]


@pytest.mark.parametrize(("values", "scheme"), [(gateway(), "http"), (GATEWAY, "https")], ids=["http", "https"])
def test_everybody_comes_by_the_same_port(values: Values, scheme: str) -> None:
    objects = helm.render(values)
    (container,) = part(objects, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": scheme, "containerPort": options(values).port, "protocol": "TCP"}]
    for name, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert container[f"{name}Probe"]["httpGet"] == {"path": path, "port": scheme, "scheme": scheme.upper()}
    (port,) = part(objects, "Service", "gateway")["spec"]["ports"]
    assert (port["name"], port["targetPort"], port["appProtocol"]) == (scheme, scheme, scheme)
    rules = part(objects, "NetworkPolicy", "gateway")["spec"]["ingress"]
    assert [rule["ports"] for rule in rules] == [[{"port": scheme, "protocol": "TCP"}]]


def test_a_pod_has_the_time_to_end() -> None:
    """Nothing new comes while it sleeps, and what has begun is answered within ten seconds."""
    found = pod(gateway())
    (container,) = found["containers"]
    assert found["terminationGracePeriodSeconds"] >= container["lifecycle"]["preStop"]["sleep"]["seconds"] + 10
    spec = part(helm.render(gateway()), "Deployment", "gateway")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


# Rights


def rights(values: Values) -> dict[str, list[Object]]:
    """Return the rules of the gateway's roles by namespace; all are bound to its account, and to nobody else."""
    objects = [each for each in helm.render(values) if each["metadata"].get("labels", {}).get(LABEL) == "gateway"]
    bound = {}
    for each in objects:
        if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}:
            where = each["metadata"].get("namespace", "")
            bound[where, each["roleRef"]["kind"], each["roleRef"]["name"]] = each["subjects"]
    account = values["gateway"].get("serviceAccount", {}).get("name", NAME)
    assert all(each == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}] for each in bound.values())
    found: dict[str, list[Object]] = {}
    for each in objects:
        if each["kind"] in {"ClusterRole", "Role"}:
            where = each["metadata"].get("namespace", "")
            assert bound.pop((where, each["kind"], each["metadata"]["name"]))
            found.setdefault(where, []).extend(each["rules"])
    assert not bound
    return found


LABEL = "app.kubernetes.io/component"
PEOPLE = {"users": ["jane", "joe"], "groups": ["oncall", "night-shift"]}
SEE, *BE = RULES
SEE_IN_ONE = {**SEE, "resources": ["agenttasks", "stoporders"]}
"""Orders for all namespaces are in none."""


def test_its_rights_are_those_that_it_is_tried_with() -> None:
    assert rights(gateway()) == {"": [SEE]}
    assert rights(gateway(impersonate=PEOPLE)) == {"": RULES}


def test_a_service_account_is_impersonated_in_its_namespace_alone() -> None:
    accounts = [f"system:serviceaccount:{name}" for name in ("team-a:ci", "team-b:ci", "team-a:cd")]

    def be(*names: str) -> Object:
        return {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": list(names), "verbs": VERBS}

    found = rights(gateway(impersonate={**PEOPLE, "users": [*PEOPLE["users"], *accounts]}))
    assert found == {"": RULES, "team-a": [be("ci", "cd")], "team-b": [be("ci")]}


VERBS = ["impersonate"]


def test_of_single_namespaces_it_sees_these_alone() -> None:
    found = rights({**gateway(impersonate=PEOPLE), "watchNamespaces": ["team-a", "team-b"]})
    assert found == {"": BE, "team-a": [SEE_IN_ONE], "team-b": [SEE_IN_ONE]}
    assert rights({**gateway(), "watchNamespaces": ["team-a"]}) == {"team-a": [SEE_IN_ONE]}


def test_gateways_of_single_namespaces_do_not_meet() -> None:
    def outside(namespace: str) -> set[tuple[str, str]]:
        values = {"watchNamespaces": [namespace], "crds": {"enabled": False}, **gateway(impersonate=ACCOUNT)}
        objects = helm.render(values, namespace=namespace)
        return {
            (e["kind"], e["metadata"]["name"]) for e in objects if e["metadata"].get("namespace", "") in {"", "third"}
        }

    assert not outside("team-a") & outside("team-b")


ACCOUNT = {"users": ["jane", "system:serviceaccount:third:ci"], "groups": []}


def test_no_roles_at_all() -> None:
    assert rights({**GATEWAY, "rbac": {"create": False}}) == {}


@pytest.mark.parametrize(
    "user",
    [
        "system:admin",
        "system:kube-controller-manager",
        "system:node:a",
        "system:serviceaccount:kube-system:ci",
        "system:serviceaccount:team-a",
        "system:serviceaccount:team-a:",
        "",
        "*\n",
        f"system:serviceaccount:{NAMESPACE}:agentstop",
    ],
)
def test_nobody_is_impersonated_whom_no_policy_holds(user: str) -> None:
    with pytest.raises(helm_python.HelmError):
        helm.render(gateway(impersonate={"users": [user]}))


@pytest.mark.parametrize("group", ["system:masters", "system:nodes", "system:serviceaccounts:kube-system", ""])
def test_no_group_of_kubernetes_own_is_impersonated(group: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match="/gateway/impersonate/groups/0"):
        helm.render(gateway(impersonate={"groups": [group]}))


# Ways to it


def test_an_ingress_leads_to_it() -> None:
    objects = helm.render(GATEWAY)
    spec = one(objects, "Ingress")["spec"]
    service = part(objects, "Service", "gateway")
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["agentstop.example.com"], "secretName": "cert"}]
    assert [rule["host"] for rule in spec["rules"]] == ["agentstop.example.com", "*.agents.example.com"]
    for rule in spec["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/", "Prefix")
        assert path["backend"]["service"] == {
            "name": service["metadata"]["name"],
            "port": {"name": service["spec"]["ports"][0]["name"]},
        }


def test_a_route_leads_to_it() -> None:
    objects = helm.render(GATEWAY)
    spec = one(objects, "HTTPRoute")["spec"]
    service = part(objects, "Service", "gateway")
    assert spec["parentRefs"] == [{"name": "edge", "namespace": "edge"}]
    assert spec["hostnames"] == ["agentstop.example.com"]
    port = service["spec"]["ports"][0]["port"]
    assert spec["rules"] == [{"backendRefs": [{"name": service["metadata"]["name"], "port": port}]}]


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"ingress": {"enabled": True}}, "/gateway/ingress/hosts"),
        ({"ingress": {"enabled": True, "hosts": ["https://a"]}}, "/gateway/ingress/hosts/0"),
        ({"httpRoute": {"enabled": True}}, "/gateway/httpRoute/parentRefs"),
        ({"hosts": {"api.xpander.ai": "nobody"}}, "/gateway/hosts/api.xpander.ai"),
        ({"waitSeconds": 61}, "/gateway/waitSeconds"),
        ({"service": {"type": "ExternalName"}}, "/gateway/service/type"),
        ({"networkPolicy": {"from": [{}]}}, "/gateway/networkPolicy/from/0"),
        ({"keys": {"secretName": "Keys"}}, "/gateway/keys/secretName"),
        ({"keys": {"keys": []}}, "/gateway/keys"),
        ({"extraArgs": ["key"]}, "/gateway/extraArgs/0"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: Values, where: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=f"at '{re.escape(where)}"):
        helm.render(gateway(**values))


def test_hooks_without_the_keys_that_they_are_known_by_are_refused() -> None:
    with pytest.raises(helm_python.HelmError, match=r"gateway\.hooks\.secretName needs gateway\.keys\.secretName"):
        helm.render(gateway(hooks={"secretName": "hooks"}))


def test_a_host_that_is_no_name_is_refused() -> None:
    with pytest.raises(helm_python.HelmValuesError, match=r"invalid propertyName 'https://api\.xpander\.ai'"):
        helm.render(gateway(hosts={"https://api.xpander.ai": "xpander"}))


def test_every_dialect_can_be_given_a_host() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["gateway"]["properties"]["hosts"]["additionalProperties"]["enum"]
    assert sorted(known) == sorted(each.name for each in DIALECTS if each.prefix)


def test_who_may_reach_it() -> None:
    ports = [{"port": "http", "protocol": "TCP"}]
    assert part(helm.render(gateway()), "NetworkPolicy", "gateway")["spec"]["ingress"] == [{"ports": ports}]
    mine = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    egress = [{"ports": [{"port": 443, "protocol": "TCP"}]}]
    objects = helm.render(gateway(networkPolicy={"from": [mine], "egress": egress}))
    spec = part(objects, "NetworkPolicy", "gateway")["spec"]
    (rule,) = spec["ingress"]
    first, prometheus, test = rule["from"]
    assert first == mine
    assert prometheus == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert test["podSelector"]["matchLabels"].items() <= one(objects, "Pod")["metadata"]["labels"].items()
    assert (spec["policyTypes"], spec["egress"]) == (["Ingress", "Egress"], egress)
    off = helm.render({**gateway(), "networkPolicy": {"enabled": False}})
    assert not [each for each in off if each["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_a_disruption_budget_takes_two_replicas(replicas: int, budgets: int) -> None:
    objects = helm.render(gateway(replicaCount=replicas))
    assert [each["kind"] for each in objects].count("PodDisruptionBudget") == budgets
    spreads = {"affinity", "topologySpreadConstraints"}
    spec = part(objects, "Deployment", "gateway")["spec"]["template"]["spec"]
    assert spec.keys() & spreads == (spreads if budgets else set())


# `helm test`, and what is told


def tried(values: Values) -> Any:
    (container,) = one(helm.render(values), "Pod")["spec"]["containers"]
    return build_parser().parse_args(container["args"])


def test_helm_test_goes_through_it() -> None:
    assert tried({}).gateway is None
    assert tried(gateway()).gateway == f"http://{NAME}.{NAMESPACE}.svc:8090"
    assert tried(gateway()).gateway_certificate is None
    assert tried(gateway(url="https://agentstop.example.com/")).gateway == "https://agentstop.example.com"


def test_helm_test_knows_the_certificate_and_not_its_key() -> None:
    told = tried(GATEWAY)
    assert told.gateway == f"https://{NAME}.{NAMESPACE}.svc:443"
    spec = one(helm.render(GATEWAY), "Pod")["spec"]
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    (item,) = volume["secret"]["items"]
    assert volume["secret"]["secretName"] == "door-tls"
    assert (item["key"], f"{mount['mountPath']}/{item['path']}") == ("tls.crt", str(told.gateway_certificate))
    by_name = {**GATEWAY, "gateway": {**GATEWAY["gateway"], "url": "https://agentstop.example.com"}}
    assert tried(by_name).gateway_certificate is None
    assert "volumes" not in one(helm.render(by_name), "Pod")["spec"]


def test_notes_lead_to_a_key() -> None:
    assert "gateway" not in notes()
    assert "API keys need gateway.keys.secretName" in notes(gateway())
    told = notes(GATEWAY)
    (line,) = [line for line in told.splitlines() if "gateway key NAME" in line]
    words = shlex.split(line)
    assert words[words.index("generic") + 1] == "api-keys"
    assert f"--namespace {NAMESPACE} create secret" in line
    assert "--from-file=keys=/dev/stdin" in words
    assert "which has jane, joe, system:serviceaccount:team-a:ci" in told


def test_what_the_notes_put_into_the_secret_is_the_entry_and_not_the_key(tmp_path: Path) -> None:
    (line,) = [line for line in notes(GATEWAY).splitlines() if "gateway key NAME" in line]
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat > {tmp_path}/secret\n")
    kubectl.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    script = line.replace("USER", "jane").replace("/dev/stderr", f"{tmp_path}/shown")
    subprocess.run(["sh", "-c", script], env={**os.environ, "PATH": path}, timeout=60, check=True)
    secret = (tmp_path / "secret").read_text()
    (entry,) = read_keys(secret).keys
    (key,) = re.findall(rf"{PREFIX}\S+", (tmp_path / "shown").read_text())
    assert (entry.name, entry.user, entry.sha256) == ("NAME", "jane", digest_of(key))
    assert key not in secret


def test_notes_tell_of_keys_that_travel_in_the_clear() -> None:
    assert "unencrypted" not in notes(gateway())
    assert "unencrypted" not in notes(GATEWAY)
    assert "unencrypted" in notes(gateway(ingress={"enabled": True, "hosts": ["a.example.com"]}))
    assert "unencrypted" in notes(gateway(service={"type": "LoadBalancer"}))


# Metrics


@pytest.mark.parametrize(("key", "kind"), [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")])
@pytest.mark.parametrize("values", [gateway(), GATEWAY], ids=["http", "https"])
def test_a_monitor_finds_it_under_a_name_of_its_own(key: str, kind: str, values: Values) -> None:
    objects = helm.render({"metrics": {key: {"enabled": True}}, **values})
    monitor = one(objects, kind, NAME)
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = part(objects, "Deployment", "gateway")["spec"]["template"]
    target = part(objects, "Service", "gateway") if kind == "ServiceMonitor" else found
    assert wanted <= target["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == endpoint.get("scheme", "http")
    assert endpoint["port"] in {port["name"] for port in found["spec"]["containers"][0]["ports"]}
    # The operator is absent when only the gateway is there: both have agentstop_build_info.
    jobs = {
        each["metadata"]["name"]: yaml.safe_dump(each).count(f"replacement: {each['metadata']['name']}\n")
        for each in objects
        if each["kind"] == kind
    }
    assert jobs == {"agentstop": 1, NAME: 1}
