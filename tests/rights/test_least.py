"""The rights that the chart gives its operator: these, and no others."""

from collections.abc import Iterator
from typing import Any

import pytest

from agentstop.cluster.resources import PLACES
from agentstop.workloads.registry import KINDS
from tests.support import helm, installed
from tests.support.kube import Object

SEE = {"get", "list", "watch"}

IN_NAMESPACES = {
    "agentstop.dev/agenttasks": SEE | {"patch", "delete"},
    "agentstop.dev/agenttasks/status": {"update"},
    "agentstop.dev/taskusages": SEE | {"patch"},
    "agentstop.dev/stoporders": SEE | {"patch", "delete"},
    "agentstop.dev/stoporders/status": {"update"},
    "/pods": SEE | {"create", "patch", "delete"},
    "events.k8s.io/events": {"create", "patch"},
    "metrics.k8s.io/pods": {"get"},
    "coordination.k8s.io/leases": {"get"},
    "batch/jobs": SEE | {"patch"},
    "agents.x-k8s.io/sandboxes": SEE | {"patch"},
    "extensions.agents.x-k8s.io/sandboxclaims": SEE,
    "ray.io/rayclusters": SEE | {"patch"},
    **{f"apps/{plural}": SEE for plural in ("deployments", "statefulsets", "replicasets")},
    **{f"apps/{plural}/scale": {"get", "patch"} for plural in ("deployments", "statefulsets", "replicasets")},
}

OUTSIDE = {
    "/nodes": {"get"},
    "authorization.k8s.io/selfsubjectaccessreviews": {"create"},
    **{
        f"apiextensions.k8s.io/customresourcedefinitions {plural}.agentstop.dev": {"get"}
        for plural in ("agenttasks", "stoporders", "clusterstoporders", "taskusages", "fences", "podcontrols")
    },
}

FOR_ALL_NAMESPACES = {
    "agentstop.dev/clusterstoporders": SEE | {"patch", "delete"},
    "agentstop.dev/clusterstoporders/status": {"update"},
    "/namespaces": {"list", "watch"},
}

LEASES = {
    "coordination.k8s.io/leases": {"create"},
    f"coordination.k8s.io/leases {helm.RELEASE}": {"get", "update"},
}


def table(role: Object) -> dict[str, set[str]]:
    """Return the verbs of a role by group and resource, and by name where it is limited to some."""
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    found.setdefault(f"{group}/{resource} {name}".strip(), set()).update(rule["verbs"])
    return found


def roles(**values: Any) -> dict[str, dict[str, set[str]]]:
    """Return the tables of the operator's roles, by kind, namespace and name."""
    return {
        " ".join(filter(None, (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]))): table(each)
        for each in installed.operator_rights(**values)
        if not each["kind"].endswith("Binding")
    }


def test_in_all_namespaces() -> None:
    assert roles() == {
        "ClusterRole agentstop": IN_NAMESPACES | OUTSIDE | FOR_ALL_NAMESPACES,
        "Role agentstop-system agentstop-leader-election": LEASES,
    }


def test_cron_jobs_only_where_they_are_to_be_suspended() -> None:
    found = roles(suspendCronJobs=True)["ClusterRole agentstop"]
    assert found == IN_NAMESPACES | OUTSIDE | FOR_ALL_NAMESPACES | {"batch/cronjobs": {"get", "patch"}}


def test_podcontrols_only_where_there_are_components_to_answer() -> None:
    found = roles(node={"enabled": True})["ClusterRole agentstop"]
    assert found == IN_NAMESPACES | OUTSIDE | FOR_ALL_NAMESPACES | {
        "agentstop.dev/podcontrols": SEE | {"create", "patch", "delete"}
    }


def test_in_single_namespaces() -> None:
    name = f"{helm.NAMESPACE}-{helm.RELEASE}"
    assert roles(watchNamespaces=["team-a", "team-b"]) == {
        f"ClusterRole {name}": OUTSIDE,
        "Role team-a agentstop": IN_NAMESPACES,
        "Role team-b agentstop": IN_NAMESPACES,
        "Role agentstop-system agentstop-leader-election": LEASES,
    }


def test_each_role_is_bound_to_the_operator_alone() -> None:
    settings: tuple[dict[str, Any], ...] = ({}, {"watchNamespaces": ["team-a"]})
    for values in settings:
        objects = installed.operator_rights(**values)
        bindings = [each for each in objects if each["kind"].endswith("Binding")]
        assert len(bindings) == len(objects) / 2
        for each in bindings:
            assert each["subjects"] == [{"kind": "ServiceAccount", "name": helm.RELEASE, "namespace": helm.NAMESPACE}]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a"]}], ids=["all namespaces", "one namespace"])
def test_nothing_that_no_operator_of_this_kind_needs(values: dict[str, Any]) -> None:
    for each in installed.rights(values):
        for rule in each.get("rules", ()):
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not words & {"*", "secrets", "pods/exec", "pods/attach", "pods/ephemeralcontainers"}
            assert not words & {"escalate", "bind", "impersonate", "serviceaccounts/token", "nodes/proxy"}


def test_more_rules_for_kinds_of_ones_own() -> None:
    found = roles(custom={"example.com": "crews"})["ClusterRole agentstop"]
    assert found["example.com/crews"] == SEE
    assert found["example.com/crews/scale"] == {"get", "patch"}


def test_no_roles_at_all() -> None:
    assert installed.rights({"rbac": {"create": False}}) == []


# Roles for users


def users(**values: Any) -> dict[str, Object]:
    objects = installed.rights(values)
    return {
        each["metadata"]["name"].removeprefix("agentstop-"): each
        for each in objects
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] != helm.RELEASE
    }


CHANGE = {"create", "update", "patch", "delete", "deletecollection"}
USERS: dict[str, tuple[set[str], set[str]]] = {
    "view": (SEE, SEE),
    "stop": (SEE | {"stop", "patch"}, SEE | {"create"}),
    "edit": (SEE | CHANGE | {"stop"}, SEE | {"create"}),
    "admin": (SEE | CHANGE | {"stop"}, SEE | CHANGE),
}
"""Of each role, the verbs on tasks and on orders."""

REPORT = {"agentstop.dev/taskusages": {"get", "create", "patch"}}
"""What whoever counts may do: nothing to tasks, and what counts nothing is no part of any other role."""

PARTS: dict[str, set[str]] = {"view": {"view", "edit", "admin"}, "edit": {"edit", "admin"}, "admin": {"admin"}}
"""Of each role that is a part of others, which these are."""


def test_the_roles_of_users() -> None:
    found = users()
    assert found.keys() == USERS.keys() | {"report"} | {f"aggregate-to-{name}" for name in PARTS}
    assert table(found["report"]) == REPORT
    for name, (tasks, orders) in USERS.items():
        assert table(found[name]) == {
            "agentstop.dev/agenttasks": tasks,
            "agentstop.dev/stoporders": orders,
            "agentstop.dev/clusterstoporders": orders,
            "agentstop.dev/taskusages": SEE,
        }


def test_where_only_some_namespaces_are_served_there_are_roles_in_these() -> None:
    found = installed.rights({"watchNamespaces": ["team-a"]})
    made = {each["metadata"]["name"]: each for each in found if each["kind"] == "Role"}
    for name, (tasks, orders) in USERS.items():
        role = made[f"agentstop-{name}"]
        assert role["metadata"]["namespace"] == "team-a"
        assert not list(aggregated(role))
        assert table(role) == {
            "agentstop.dev/agenttasks": tasks,
            "agentstop.dev/stoporders": orders,
            "agentstop.dev/taskusages": SEE,
        }
    assert table(made["agentstop-report"]) == REPORT
    assert [each["metadata"]["name"] for each in found if each["kind"] == "ClusterRole"] == [
        "agentstop-system-agentstop"
    ]


def aggregated(role: Object) -> Iterator[str]:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    return (label.removeprefix(prefix) for label in role["metadata"]["labels"] if label.startswith(prefix))


def test_whom_the_roles_are_given_to() -> None:
    found = users()
    assert not any(list(aggregated(found[name])) for name in USERS)
    assert {name: set(aggregated(found[f"aggregate-to-{name}"])) for name in PARTS} == PARTS
    assert users(rbac={"aggregateRoles": False}).keys() == USERS.keys() | {"report"}


@pytest.mark.parametrize("given", [False, True])
def test_orders_for_all_namespaces_are_given_to_no_other_role_unless_a_value_says_so(given: bool) -> None:
    found = users(rbac={"aggregateClusterOrders": given})
    for name in PARTS:
        tasks, orders = USERS[name]
        assert table(found[f"aggregate-to-{name}"]) == {
            "agentstop.dev/agenttasks": tasks,
            "agentstop.dev/stoporders": orders,
            "agentstop.dev/clusterstoporders": orders if given else SEE,
            "agentstop.dev/taskusages": SEE,
        }


def test_without_the_policy_the_stop_role_cannot_change_tasks() -> None:
    assert table(users(admission={"stopOnly": "never"})["stop"])["agentstop.dev/agenttasks"] == SEE | {"stop"}


# Policies


NAMES = {
    "auto": {
        "bounds",
        "grace-period",
        "orphan",
        "pod-binding",
        "pod-bounds",
        "pod-guard",
        "stop-only",
        "stop-only-orders",
        "workload-rights",
    },
    "stamps": {"requested-by-tasks", "requested-by-orders"},
    "words": {"stop-words"},
}


def names(kind: str, values: Object | None = None, **options: Any) -> set[str]:
    found = installed.policies(values, **options)
    bound = {each["metadata"]["name"] for each in found if each["kind"] == f"{kind}Binding"}
    made = {each["metadata"]["name"] for each in found if each["kind"] == kind}
    assert bound == made
    return {name.removeprefix("agentstop-") for name in made}


def trusts(values: Object | None = None, **options: Any) -> bool:
    (deployment,) = [each for each in helm.render(values, **options) if each["kind"] == "Deployment"]
    return "--trust-requested-by" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_policies_are_made_where_the_cluster_has_them() -> None:
    both: dict[str, Any] = {"api_versions": (installed.VALIDATING, installed.MUTATING)}
    assert names("ValidatingAdmissionPolicy", **both) == NAMES["auto"] | NAMES["stamps"]
    assert names("MutatingAdmissionPolicy", **both) == NAMES["stamps"] | NAMES["words"]
    assert trusts(**both)
    older: dict[str, Any] = {"api_versions": (installed.VALIDATING,)}
    assert names("ValidatingAdmissionPolicy", **older) == NAMES["auto"]
    assert names("MutatingAdmissionPolicy", **older) == set()
    assert not trusts(**older)
    beta: dict[str, Any] = {"api_versions": (installed.VALIDATING, installed.MUTATING.replace("v1/", "v1beta1/"))}
    assert names("MutatingAdmissionPolicy", **beta) == NAMES["stamps"] | NAMES["words"]
    assert trusts(**beta)


def _modes(mode: str) -> Object:
    plain = ("orphan", "podGuard", "requestedBy", "stopOnly", "workloadRights")
    return {**dict.fromkeys(plain, mode), "bounds": {"mode": mode}, "gracePeriod": {"mode": mode}}


def test_policies_can_be_demanded_and_declined() -> None:
    always, never = ({"admission": _modes(each)} for each in ("always", "never"))
    assert names("ValidatingAdmissionPolicy", always, api_versions=()) == NAMES["auto"] | NAMES["stamps"]
    assert names("MutatingAdmissionPolicy", always, api_versions=()) == NAMES["stamps"] | NAMES["words"]
    assert names("ValidatingAdmissionPolicy", never) == names("MutatingAdmissionPolicy", never) == set()
    assert not trusts(never, api_versions=(installed.VALIDATING, installed.MUTATING))
    verb = {"admission": {"stopVerb": {"enabled": True}}}
    assert "stop-verb" in names("ValidatingAdmissionPolicy", verb)


def test_policies_of_an_operator_of_single_namespaces_count_in_these_alone() -> None:
    found = installed.policies({"watchNamespaces": ["team-a"]})
    selectors = [each["spec"].get("matchResources") for each in found if each["kind"].endswith("Binding")]
    expression = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a"]}
    assert selectors
    assert all(each == {"namespaceSelector": {"matchExpressions": [expression]}} for each in selectors)


def test_only_the_mutation_may_fail() -> None:
    for each in installed.policies():
        if "Binding" not in each["kind"]:
            expected = "Ignore" if each["kind"].startswith("Mutating") else "Fail"
            assert each["spec"]["failurePolicy"] == expected


def test_the_policy_on_workloads_knows_the_kinds_that_the_operator_knows() -> None:
    policy = helm.one(installed.policies(), "ValidatingAdmissionPolicy", "agentstop-workload-rights")
    known = " ".join(each["expression"] for each in policy["spec"]["variables"])
    for version, kind in KINDS:
        assert f"'{version}/{kind}'" in known
        place = PLACES.get((version, kind))
        assert place is None or place.plural == f"{kind.lower()}s"
