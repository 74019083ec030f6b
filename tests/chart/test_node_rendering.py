"""The component on each node, as the chart makes it."""

import pytest

from agentstop.cli.operate import build_parser
from tests.support import helm, installed
from tests.support.helm import NAMESPACE, one
from tests.support.kube import Object

from .options import NODE, Values
from .test_rendering import notes, operator

ON: Values = {"node": {"enabled": True}}
NAME = f"{helm.RELEASE}-node"


def component(objects: list[Object]) -> Object:
    return dict(one(objects, "DaemonSet")["spec"]["template"]["spec"])


def test_nothing_of_it_is_there_by_default() -> None:
    objects = helm.render(api_versions=(installed.VALIDATING, installed.MUTATING))
    assert not [each["metadata"]["name"] for each in objects if each["metadata"]["name"].endswith(("-node", "-asked"))]
    assert not build_parser().parse_args(operator(objects)["containers"][0]["args"]).ask_nodes
    assert "podcontrols" not in str([each for each in objects if each["kind"].endswith("Role")]).replace(
        "podcontrols.agentstop.dev", ""
    )


@pytest.mark.parametrize("values", [ON, NODE], ids=["defaults", "everything"])
def test_it_understands_its_command_and_the_operator_asks_it(values: Values) -> None:
    objects = helm.render(values)
    (container,) = component(objects)["containers"]
    options = build_parser().parse_args(container["args"])
    assert (options.node_name, str(options.cgroup_root)) == ("$(NODE_NAME)", "/host/cgroup")
    assert (options.health_port, options.metrics_port) == (8080, 9090)
    assert options.namespace == values.get("watchNamespaces", [])
    assert container["env"][0]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert build_parser().parse_args(operator(objects)["containers"][0]["args"]).ask_nodes


@pytest.mark.parametrize("values", [ON, NODE], ids=["defaults", "everything"])
def test_it_has_the_nodes_cgroups_and_nothing_else_of_them(values: Values) -> None:
    pod = component(helm.render(values))
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["runAsUser"] == 0, "the files of cgroups are root's"
    (volume,) = pod["volumes"]
    where = values["node"].get("cgroupRoot", "/sys/fs/cgroup")
    assert volume == {"name": "cgroup", "hostPath": {"path": where, "type": "Directory"}}
    assert container["volumeMounts"] == [{"name": "cgroup", "mountPath": "/host/cgroup"}]
    assert container["resources"]["limits"].keys() == {"memory"}


def test_it_runs_wherever_agents_may() -> None:
    assert component(helm.render(ON))["tolerations"] == [{"operator": "Exists"}]
    pod = component(helm.render(NODE))
    assert pod["nodeSelector"] == {"agents": "here", "kubernetes.io/os": "linux"}
    assert pod["priorityClassName"] == "system-node-critical"


@pytest.mark.parametrize("values", [ON, NODE], ids=["defaults", "everything"])
def test_the_policies_mean_its_account_and_the_operators(values: Values) -> None:
    objects = helm.render(values)
    account = component(objects)["serviceAccountName"]
    policies = {
        each["metadata"]["name"].rpartition("-")[2]: each
        for each in objects
        if each["kind"] == "ValidatingAdmissionPolicy" and "podcontrols" in str(each["spec"]["matchConstraints"])
    }
    assert set(policies) == {"asked", "answers"}
    assert f"system:serviceaccount:{NAMESPACE}:{account}'" in str(policies["answers"]["spec"]["validations"])
    assert f"system:serviceaccount:{NAMESPACE}:{helm.RELEASE}'" in str(policies["asked"]["spec"]["matchConditions"])
    assert all(each["spec"]["failurePolicy"] == "Fail" for each in policies.values())
    bindings = [each["spec"] for each in objects if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    bound = [each for each in bindings if each["policyName"] in {one["metadata"]["name"] for one in policies.values()}]
    assert [each["validationActions"] for each in bound] == [["Deny"], ["Deny"]]


def test_without_rbac_or_metrics_it_is_there_all_the_same() -> None:
    objects = helm.render(ON | {"rbac": {"create": False}, "metrics": {"enabled": False}})
    assert not [each for each in objects if each["kind"].endswith("Role") and "node" in each["metadata"]["name"]]
    (container,) = component(objects)["containers"]
    assert build_parser().parse_args(container["args"]).metrics_port is None
    assert one(objects, "ServiceAccount", NAME)["automountServiceAccountToken"] is False


def test_notes_tell_what_its_namespace_must_allow() -> None:
    assert "pod-security.kubernetes.io/enforce=privileged" in notes(ON)
    assert "privileged" not in notes()
