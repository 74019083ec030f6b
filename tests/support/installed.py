"""What the chart installs besides the operator: its rights, those of users, and admission policies."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.support import helm
from tests.support.kube import NAMESPACES, Kind, Kube, KubeError, Object

USER: Final = f"system:serviceaccount:{helm.NAMESPACE}:{helm.RELEASE}"
"""The operator's account in a release of the chart."""

POLICY_GROUP: Final = "admissionregistration.k8s.io/v1"
VALIDATING: Final = f"{POLICY_GROUP}/ValidatingAdmissionPolicy"
MUTATING: Final = f"{POLICY_GROUP}/MutatingAdmissionPolicy"

ACTIVE_SECONDS: Final = 60.0
"""How long it may take until a policy counts; the API server looks at them anew every second."""

_PLURALS: Final[Mapping[str, str]] = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}


def kind_of(manifest: Object) -> Kind:
    """Return where an object of rights or admission lives."""
    return Kind(f"/apis/{manifest['apiVersion']}", _PLURALS[manifest["kind"]])


def _of(objects: Iterable[Object], *kinds: str) -> list[Object]:
    # What belongs to a hook comes and goes with it.
    return [
        each
        for each in objects
        if each["kind"] in kinds and "helm.sh/hook" not in (each["metadata"].get("annotations") or {})
    ]


def operator_rights(custom: Mapping[str, str] | None = None, **values: Any) -> list[Object]:
    """Return an operator's roles and bindings; `custom` are groups and resources of kinds that it may scale."""
    extra = [rule for group, resource in (custom or {}).items() for rule in _scaling(group, resource)]
    found = rights({"rbac": {"extraRules": extra}, **values})
    bound = {each["roleRef"]["name"] for each in found if each["kind"].endswith("Binding")}
    return [each for each in found if each["kind"].endswith("Binding") or each["metadata"]["name"] in bound]


def _scaling(group: str, resource: str) -> list[Object]:
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [group], "resources": [f"{resource}/scale"], "verbs": ["get", "patch"]},
    ]


async def let_scale(kube: Kube, namespace: str, group: str, resource: str) -> None:
    """Let the operator stop the objects of one more kind in a namespace."""
    await _let(kube, namespace, f"operator-{resource}", _scaling(group, resource))


async def let_suspend(kube: Kube, namespace: str) -> None:
    """Give the operator in a namespace what the chart gives it with `suspendCronJobs`."""
    before = [rule for role in operator_rights() for rule in role.get("rules", ())]
    after = [rule for role in operator_rights(suspendCronJobs=True) for rule in role.get("rules", ())]
    await _let(kube, namespace, "operator-cronjobs", [rule for rule in after if rule not in before])


async def let_ask_nodes(kube: Kube, namespace: str) -> None:
    """Give the operator in a namespace what the chart gives it with `node.enabled`."""
    before = [rule for role in operator_rights() for rule in role.get("rules", ())]
    after = [rule for role in operator_rights(node={"enabled": True}) for rule in role.get("rules", ())]
    await _let(kube, namespace, "operator-nodes", [rule for rule in after if rule not in before])


async def let_lead(kube: Kube, namespace: str, role: str = "lead") -> None:
    """Give the operator the right to leases in a namespace; the chart gives it that in the release's."""
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    await _let(kube, namespace, role, [rule])


async def _let(kube: Kube, namespace: str, name: str, rules: list[Object]) -> None:
    api, account = "rbac.authorization.k8s.io", USER.split(":")
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": name, "namespace": namespace}}
    binding = {
        **role,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[2], "name": account[3]}],
    }
    await install(kube, [{**role, "rules": rules}, binding])


def rights(
    values: Mapping[str, Any] | None = None, *, api_versions: Sequence[str] = (VALIDATING, MUTATING)
) -> list[Object]:
    """Return all roles and bindings of the chart."""
    objects = helm.render(values, api_versions=api_versions)
    return _of(objects, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def policies(
    values: Mapping[str, Any] | None = None, *, api_versions: Sequence[str] = (VALIDATING, MUTATING)
) -> list[Object]:
    """Return all admission policies of the chart, and their bindings."""
    return _of(helm.render(values, api_versions=api_versions), *(each for each in _PLURALS if "Policy" in each))


async def install(kube: Kube, objects: Iterable[Object]) -> None:
    """Make objects of rights and admission, and the namespaces that they are in."""
    for each in objects:
        namespace = each["metadata"].get("namespace", "")
        if namespace:
            await _make(kube, NAMESPACES, "", {"metadata": {"name": namespace}})
        await _make(kube, kind_of(each), namespace, each)


async def _make(kube: Kube, kind: Kind, namespace: str, body: Object) -> None:
    try:
        await kube.create(kind, namespace, json.loads(json.dumps(body)))
    except KubeError as error:
        if error.code != 409:
            raise
