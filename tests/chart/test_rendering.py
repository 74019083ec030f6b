"""What the chart renders as, without a cluster."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import helm_python
import pytest
import yaml

from agentstop.api.crd import crds
from agentstop.api.task import AgentTask
from agentstop.cli import crd_templates
from agentstop.cli.operate import build_parser
from tests.support import helm
from tests.support.helm import NAMESPACE, one
from tests.support.kube import Object

from .options import EVERYTHING, GATEWAY, MATRIX, Values

NAMESPACED = {
    "",
    "apps",
    "batch",
    "agentstop.dev",
    "agents.x-k8s.io",
    "extensions.agents.x-k8s.io",
    "events.k8s.io",
    "metrics.k8s.io",
    "coordination.k8s.io",
}
OUTSIDE = {
    "nodes",
    "namespaces",
    "customresourcedefinitions",
    "clusterstoporders",
    "clusterstoporders/status",
    "selfsubjectaccessreviews",
}
"""What lives outside of namespaces, among what the operator has rights to."""


VOLUMES = {"emptyDir", "secret", "configMap"}
"""Kinds of volumes that the chart's pods have; all are of the restricted standard."""


def operator(objects: list[Object]) -> Object:
    """Return the spec of the operator's pods."""
    return dict(part(objects, "Deployment")["spec"]["template"]["spec"])


def part(objects: list[Object], kind: str, component: str = "operator") -> Object:
    """Return the only object of a kind that is made for a component: that has, or selects, its label."""
    label = f"'app.kubernetes.io/component': '{component}'"
    (found,) = [each for each in objects if each["kind"] == kind and label in str(each)]
    return found


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the spec of every pod that the chart makes, by a name; the one that `helm test` asks for, too."""
    for each in objects:
        if each["kind"] in {"Deployment", "Job"}:
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield f"Pod/{each['metadata']['name']}", each["spec"]
            (container,) = each["spec"]["containers"]
            task = json.loads(container["args"][container["args"].index("--task") + 1])
            yield "the task's pod", task["spec"]["podTemplate"]["spec"]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_pods_meet_the_restricted_standard(values: Values) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    found = dict(pods(helm.render(values)))
    assert len(found) == (5 if values.get("gateway", {}).get("enabled") else 4)
    for name, pod in found.items():
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "hostUsers"}, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 65532, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert all(volume.keys() <= {"name", *VOLUMES} for volume in pod.get("volumes", ())), name
        assert not pod.get("initContainers"), name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert not any("hostPort" in port for port in container.get("ports", ())), name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert container["resources"]["limits"].keys() == {"memory"}, name


def test_tokens_are_where_they_are_needed() -> None:
    objects = helm.render()
    mounted = {name: pod["automountServiceAccountToken"] for name, pod in pods(objects)}
    assert mounted.pop("the task's pod") is False
    assert set(mounted.values()) == {True}
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    assert [each["automountServiceAccountToken"] for each in accounts] == [False] * 3


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_the_operator_understands_its_command(values: Values) -> None:
    (container,) = operator(helm.render(values))["containers"]
    assert container["command"] == ["agentstop"]
    options = build_parser().parse_args(container["args"])
    assert options.health_port == 8080
    assert options.metrics_port == (None if values.get("metrics", {}).get("enabled") is False else 9090)
    assert options.namespace == values.get("watchNamespaces", [])
    assert options.bind_address == ("::" if "extraArgs" in values else "0.0.0.0")  # noqa: S104
    assert options.leader_elect
    assert options.leader_elect_resource_namespace == NAMESPACE
    assert options.leader_elect_lease_duration == values.get("leaderElection", {}).get("leaseDurationSeconds", 15)
    assert options.min_ttl_seconds == 3600


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_hooks_run_commands_that_exist(values: Values) -> None:
    objects = helm.render(values)
    (tried,) = one(objects, "Pod")["spec"]["containers"]
    options = build_parser().parse_args(tried["args"])
    assert options.namespace == values.get("watchNamespaces", [NAMESPACE])[-1]
    AgentTask.model_validate(options.task | {"metadata": {"name": "try"}})
    (released,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert build_parser().parse_args(released["args"]).namespace == values.get("watchNamespaces", [])


def test_the_lease_is_the_one_that_the_operator_has_the_right_to() -> None:
    objects = helm.render(name="brake")
    (container,) = operator(objects)["containers"]
    options = build_parser().parse_args(container["args"])
    rules = one(objects, "Role", "brake-agentstop-leader-election")["rules"]
    assert [rule.get("resourceNames") for rule in rules] == [None, [options.leader_elect_resource_name]]
    assert {rule["apiGroups"][0] for rule in rules} == {"coordination.k8s.io"}
    # A process that is started again in its pod holds the Lease at once, and no other pod's process does.
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}
    assert (fields["POD_NAME"], fields["POD_UID"]) == ("metadata.name", "metadata.uid")
    assert options.leader_elect_identity == "$(POD_NAME)_$(POD_UID)"


@pytest.mark.parametrize("values", [{}, MATRIX["namespaces"]], ids=["all", "namespaces"])
def test_a_fence_is_kept_and_read_where_it_is_wanted_and_by_one_name(values: Values) -> None:
    objects = helm.render({**values, "admission": {"fence": "always"}})
    options = build_parser().parse_args(operator(objects)["containers"][0]["args"])
    read = one(objects, "ValidatingAdmissionPolicyBinding", f"{options.fence}-fence")["spec"]
    assert read["paramRef"] == {"name": options.fence, "parameterNotFoundAction": "Allow"}
    assert "matchResources" not in read, "the token writes nothing in any namespace"
    rules = [rule for each in objects if each["kind"] == "ClusterRole" for rule in each["rules"]]
    kept = [rule for rule in rules if rule["resources"] == ["fences"]]
    assert [rule.get("resourceNames") for rule in kept] == [None, [options.fence]]
    without = helm.render(values)
    assert build_parser().parse_args(operator(without)["containers"][0]["args"]).fence is None
    others = [rule for each in without if each["kind"].endswith("Role") for rule in each["rules"]]
    assert not [rule for rule in others if "fences" in rule["resources"]]
    assert not [each for each in without if "Policy" in each["kind"] and "-fence" in each["metadata"]["name"]]


def test_a_list_of_namespaces_gives_no_right_in_others() -> None:
    objects = helm.render(MATRIX["namespaces"])
    in_clusters = [rule for each in objects if each["kind"] == "ClusterRole" for rule in each["rules"]]
    assert {resource for rule in in_clusters for resource in rule["resources"]} <= OUTSIDE
    roles = [each for each in objects if each["kind"] == "Role" and each["metadata"]["name"] == "agentstop"]
    assert [each["metadata"]["namespace"] for each in roles] == MATRIX["namespaces"]["watchNamespaces"]
    bound = [each for each in objects if each["kind"] == "RoleBinding" and each["metadata"]["name"] == "agentstop"]
    assert {each["subjects"][0]["namespace"] for each in bound} == {NAMESPACE}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_binding_leads_to_a_role_and_an_account(values: Values) -> None:
    objects = helm.render(values)
    there = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects}
    bindings = [each for each in objects if each["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    for each in bindings:
        assert (each["roleRef"]["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"]) in there
        for subject in each["subjects"]:
            where = (subject["kind"], subject["namespace"], subject["name"])
            assert where in there or subject["name"] in {"mine", "door", "hand"}
    assert operator(objects)["serviceAccountName"] in {subject["name"] for e in bindings for subject in e["subjects"]}


def test_releases_that_serve_single_namespaces_do_not_meet() -> None:
    def outside(namespace: str) -> set[tuple[str, str]]:
        objects = helm.render({"watchNamespaces": [namespace], "crds": {"enabled": False}}, namespace=namespace)
        return {(e["kind"], e["metadata"]["name"]) for e in objects if "namespace" not in e["metadata"]}

    assert outside("team-a")
    assert not outside("team-a") & outside("team-b")


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_a_disruption_budget_takes_two_replicas(replicas: int, budgets: int) -> None:
    objects = helm.render({"replicaCount": replicas})
    assert [each["kind"] for each in objects].count("PodDisruptionBudget") == budgets


def test_a_disruption_budget_has_one_bound() -> None:
    def budget(**values: object) -> Object:
        spec = one(helm.render({"replicaCount": 3, "podDisruptionBudget": values}), "PodDisruptionBudget")["spec"]
        return {key: value for key, value in spec.items() if key in {"minAvailable", "maxUnavailable"}}

    assert budget() == {"maxUnavailable": 1}
    assert budget(maxUnavailable="50%") == {"maxUnavailable": "50%"}
    assert budget(minAvailable=0) == {"minAvailable": 0}


def test_replicas_keep_apart_unless_told_otherwise() -> None:
    alone, two = operator(helm.render()), operator(helm.render({"replicaCount": 2}))
    assert not alone.keys() & {"affinity", "topologySpreadConstraints"}
    (term,) = two["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    (spread,) = two["topologySpreadConstraints"]
    own = one(helm.render({"replicaCount": 2}), "Deployment")["spec"]["selector"]
    assert term["podAffinityTerm"]["labelSelector"] == spread["labelSelector"] == own
    told = {"affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 2}]}
    assert operator(helm.render({"replicaCount": 2, **told})).items() >= told.items()


def test_a_new_version_stands_by_before_the_old_one_goes() -> None:
    spec = one(helm.render(), "Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 10


def test_probes_ask_where_the_operator_answers() -> None:
    (container,) = operator(helm.render())["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {each["port"] for each in asked.values()} == {"health"}
    assert [each["path"] for each in asked.values()] == ["/healthz", "/healthz", "/readyz"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"health": 8080, "metrics": 9090}


@pytest.mark.parametrize(("component", "other"), [("operator", "gateway"), ("gateway", "operator")])
def test_selectors_find_their_own_pods_and_nothing_else(component: str, other: str) -> None:
    objects = helm.render({**GATEWAY, **EVERYTHING})
    labels = part(objects, "Deployment", component)["spec"]["template"]["metadata"]["labels"]
    others = [
        one(objects, "Pod")["metadata"]["labels"],
        one(objects, "Job")["spec"]["template"]["metadata"]["labels"],
        part(objects, "Deployment", other)["spec"]["template"]["metadata"]["labels"],
    ]
    selectors = [
        part(objects, "Deployment", component)["spec"]["selector"]["matchLabels"],
        part(objects, "Service", component)["spec"]["selector"],
        part(objects, "PodDisruptionBudget", component)["spec"]["selector"]["matchLabels"],
        part(objects, "NetworkPolicy", component)["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= each.items() for each in others)


PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_anybody_reaches_the_probes_and_only_who_is_named_the_metrics() -> None:
    spec = one(helm.render(), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    health, metrics = spec["ingress"]
    assert health == {"ports": [{"port": "health", "protocol": "TCP"}]}
    assert metrics == {"from": [PROMETHEUS], "ports": [{"port": "metrics", "protocol": "TCP"}]}
    (container,) = operator(helm.render())["containers"]
    assert {port["name"] for port in container["ports"]} == {"health", "metrics"}


@pytest.mark.parametrize("values", [{"networkPolicy": {"metricsFrom": []}}, {"metrics": {"enabled": False}}], ids=str)
def test_where_nobody_is_named_nobody_reads_the_metrics(values: Values) -> None:
    """A rule with an empty list of peers would be one for everybody."""
    assert one(helm.render(values), "NetworkPolicy")["spec"]["ingress"] == [
        {"ports": [{"port": "health", "protocol": "TCP"}]}
    ]


def test_what_else_the_network_policy_lets_in_and_out() -> None:
    extra = {"ports": [{"port": 1234, "protocol": "TCP"}]}
    spec = one(helm.render({"networkPolicy": {"ingress": [extra], "egress": [extra]}}), "NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["ingress"][-1] == extra
    assert spec["egress"] == [extra]
    assert not [each for each in helm.render({"networkPolicy": {"enabled": False}}) if each["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({}, "ghcr.io/agentstop/agentstop:0.1.0"),
        ({"tag": "v2"}, "ghcr.io/agentstop/agentstop:v2"),
        ({"digest": f"sha256:{'a' * 64}"}, f"ghcr.io/agentstop/agentstop@sha256:{'a' * 64}"),
        ({"tag": "v2", "digest": f"sha256:{'a' * 64}"}, f"ghcr.io/agentstop/agentstop:v2@sha256:{'a' * 64}"),
        ({"repository": "registry:5000/a"}, "registry:5000/a:0.1.0"),
    ],
    ids=str,
)
def test_every_pod_runs_the_image(image: dict[str, str], wanted: str) -> None:
    found = dict(pods(helm.render({"image": image})))
    assert {container["image"] for pod in found.values() for container in pod["containers"]} == {wanted}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_everything_is_labelled_and_named_after_the_release(values: Values) -> None:
    for each in helm.render(values, name="brake"):
        if each["kind"] in {"ConfigMap", "CustomResourceDefinition"}:
            continue
        assert "brake" in each["metadata"]["name"] or each["metadata"]["name"] in {"mine", "door", "hand"}
        assert (
            each["metadata"]["labels"].items()
            >= {"app.kubernetes.io/instance": "brake", **values.get("commonLabels", {})}.items()
        )


def test_names_that_become_labels_or_hosts_stay_within_bounds() -> None:
    for each in helm.render(name="r" * 53):
        assert len(each["metadata"]["name"]) <= (63 if each["kind"] in {"Service", "Pod", "Job", "Deployment"} else 253)


def test_crds_are_those_of_the_models() -> None:
    found = {each["metadata"]["name"]: each for each in helm.render() if each["kind"] == "CustomResourceDefinition"}
    wanted = {crd["metadata"]["name"]: crd for crd in crds().values()}
    assert {name: crd["spec"] for name, crd in found.items()} == {name: crd["spec"] for name, crd in wanted.items()}
    assert all(crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for crd in found.values())


def test_crds_are_kept_annotated_or_left_out_as_told() -> None:
    def annotations(**values: object) -> list[Object | None]:
        objects = helm.render({"crds": values})
        return [e["metadata"].get("annotations") for e in objects if e["kind"] == "CustomResourceDefinition"]

    assert annotations(keep=False) == [None] * len(crds())
    assert annotations(annotations={"a": "b"}) == [{"a": "b", "helm.sh/resource-policy": "keep"}] * len(crds())
    assert annotations(enabled=False) == []


def test_braces_in_a_crd_reach_the_cluster_as_they_are(tmp_path: Path) -> None:
    text = 'Templates look like {{ .Values.x }}, {{- range }} }} and {{{{ "`{{`" }}.'
    crd = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"description": text}}
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: x, version: 1.0.0}")
    (chart / "values.yaml").write_text("crds: {enabled: true}")
    (chart / "templates" / "_helpers.tpl").write_text('{{ define "agentstop.crdMetadata" }}labels: {a: b}{{ end }}')
    (chart / "templates" / "crd.yaml").write_text(crd_templates.template(crd))
    (rendered,) = helm.render(chart=chart)
    assert rendered["spec"]["description"] == text
    assert rendered["metadata"] == {"name": "x", "labels": {"a": "b"}}


def notes(values: Values | None = None) -> str:
    with helm_python.Config(storage_driver="memory") as config:
        return str(helm.dry_run(config, values, namespace=NAMESPACE)["notes"])


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_notes_lead_to_a_first_stop(values: Values) -> None:
    text = notes(values)
    # As it is pasted into a shell: only an EOF at the beginning of its line ends it.
    (manifest,) = re.findall(r"<<EOF\n(.*?)\nEOF\n", text, re.DOTALL)
    task = yaml.safe_load(manifest)
    AgentTask.model_validate(task)
    commands = [shlex.split(line) for line in text.splitlines() if line.strip().startswith("kubectl ")]
    served = values.get("watchNamespaces", ["default"])[-1]
    rollout, *rest = (words[words.index("--namespace") + 1] for words in commands)
    assert (rollout, set(rest)) == (NAMESPACE, {served})
    assert ["rollout", "status", f"deployment/{values.get('fullnameOverride', 'agentstop')}"] == commands[0][3:]
    (patch,) = [words for words in commands if "patch" in words]
    assert json.loads(patch[-1]) == {"spec": {"stopRequested": True}}


def test_notes_say_who_reads_the_metrics() -> None:
    assert "Only what networkPolicy.metricsFrom selects reads the metrics. Add" in notes()
    assert "selects reads the metrics: nobody." in notes({"networkPolicy": {"metricsFrom": []}})
    assert "reads the metrics" not in notes({"networkPolicy": {"enabled": False}})


def test_notes_say_what_could_be_better() -> None:
    assert "One replica runs" in notes()
    assert "no priority class" in notes()
    better = notes({"replicaCount": 2, "priorityClassName": "system-cluster-critical"})
    assert "One replica runs" not in better
    assert "no priority class" not in better
    assert "something else must install" in notes({"crds": {"enabled": False}})


def test_extra_objects_are_templates() -> None:
    names = [each["metadata"]["name"] for each in helm.render(EVERYTHING) if each["kind"] == "ConfigMap"]
    assert names == ["agentstop-map", "agentstop-text"]
