"""What the API server refuses of usage, budgets and tethers, whoever sends it. No operator runs here."""

from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import APPLY, TASKS, USAGES, KubeError, Object
from tests.support.namespaces import Namespace

pytestmark = pytest.mark.usefixtures("launch")

API_VERSION = "agentstop.dev/v1alpha1"

FIRST: Object = {
    "promptTokens": 800,
    "completionTokens": 30,
    "totalTokens": 830,
    "cost": "12.41",
    "turns": 7,
    "lastActivityAt": "2026-01-01T12:00:00Z",
}


def usage(name: str, **spec: Any) -> Object:
    return {"apiVersion": API_VERSION, "kind": "TaskUsage", "metadata": {"name": name}, "spec": spec}


async def refused(ns: Namespace, spec: Object, says: str) -> None:
    with pytest.raises(KubeError) as caught:
        await ns.kube.merge(USAGES, ns.name, "a", {"spec": spec})
    assert (caught.value.code, caught.value.reason) == (422, "Invalid"), spec
    assert says in caught.value.message, spec


async def test_usage_goes_only_up_and_is_bounded(ns: Namespace) -> None:
    await ns.kube.create(USAGES, ns.name, usage("a", **FIRST))
    for name, less in (*((name, FIRST[name] - 1) for name in FIRST if isinstance(FIRST[name], int)), ("cost", "9.99")):
        await refused(ns, {name: less}, f"spec.{name} cannot go down")
        await refused(ns, {name: None}, f"spec.{name} cannot go down or be removed")
    for when in ("2026-01-01T11:59:59.999999Z", None):
        await refused(ns, {"lastActivityAt": when}, "spec.lastActivityAt cannot go back")
    await refused(ns, {"currency": "EUR"}, "is immutable")
    for cost in ("-1", "NaN", "1e9", "1234567890", "13,00", "", " 13", "12.4100001", "inf", "0.30000000000000004"):
        await refused(
            ns,
            {"cost": cost},
            f"spec.cost: Invalid value: {cost!r}: must be a decimal number as text".replace("'", '"'),
        )
    for tokens in (-1, 10**15 + 1, 1e300, "900"):
        await refused(ns, {"totalTokens": tokens}, "spec.totalTokens")
    # More digits are not less, and the same time in another form is not earlier.
    same = {"cost": "012.410000", "lastActivityAt": "2026-01-01T12:00:00.000000Z"}
    more = {"cost": "012.410001", "totalTokens": 10**15, "turns": 8, "lastActivityAt": "2026-01-01T12:00:00.5Z"}
    for spec in (same, more):
        await ns.kube.merge(USAGES, ns.name, "a", {"spec": spec})
    kept = (await ns.kube.get(USAGES, ns.name, "a"))["spec"]
    assert (kept["cost"], kept["totalTokens"], kept["currency"]) == ("012.410001", 10**15, "USD")


async def test_several_writers_apply_their_own_parts(ns: Namespace) -> None:
    """What one of them no longer says would be removed, and that is refused."""
    path = USAGES.path(ns.name, "a")

    async def apply(who: str, **spec: Any) -> None:
        await ns.kube.call(
            "PATCH", path, usage("a", **spec), content_type=APPLY, query={"fieldManager": who, "force": "true"}
        )

    await apply("litellm", cost="1.00", reportedBy="litellm")
    await apply("sidecar", turns=3)
    await apply("litellm", cost="1.50", reportedBy="litellm")
    with pytest.raises(KubeError, match=r"spec\.turns cannot go down or be removed"):
        await apply("sidecar", totalTokens=5)
    spec = (await ns.kube.get(USAGES, ns.name, "a"))["spec"]
    assert spec == {"cost": "1.50", "turns": 3, "reportedBy": "litellm", "currency": "USD"}


BAD: dict[str, tuple[Object, str]] = {
    "nothing": ({"budget": {}}, "limits nothing"),
    "no limit": ({"budget": {"action": "Pause", "warnPercent": 50}}, "give at least one of maxCost"),
    "cost of 0": ({"budget": {"maxCost": "0.00"}}, "more than 0"),
    "negative cost": ({"budget": {"maxCost": "-3"}}, "must be a decimal number as text"),
    "cost that is none": ({"budget": {"maxCost": "NaN"}}, "must be a decimal number as text"),
    "cost as a number": ({"budget": {"maxCost": 40}}, "spec.budget.maxCost"),
    "huge cost": ({"budget": {"maxCost": "1000000000"}}, "at most 9 digits before the point"),
    "no tokens": ({"budget": {"maxTokens": 0}}, "spec.budget.maxTokens"),
    "huge turns": ({"budget": {"maxTurns": 10**16}}, "spec.budget.maxTurns"),
    "negative idleness": ({"budget": {"maxIdleSeconds": -1}}, "spec.budget.maxIdleSeconds"),
    "warning at the limit": ({"budget": {"maxTurns": 1, "warnPercent": 100}}, "spec.budget.warnPercent"),
    "unknown scope": ({"budget": {"maxTurns": 1, "scope": "All"}}, "spec.budget.scope"),
    "unknown action": ({"budget": {"maxTurns": 1, "action": "Kill"}}, "spec.budget.action"),
    "no currency": ({"budget": {"maxCost": "1", "currency": "dollars"}}, "a code of three capital letters"),
    "no Lease": ({"tether": {}}, "leaseName"),
    "no name of a Lease": ({"tether": {"leaseName": "../x"}}, "spec.tether.leaseName"),
}


async def test_budgets_and_tethers_of_nothing_are_refused(ns: Namespace) -> None:
    for case, (spec, says) in BAD.items():
        with pytest.raises(KubeError) as caught:
            await ns.create_task("a", agents.template(), **spec)
        assert (caught.value.code, caught.value.reason) == (422, "Invalid"), case
        assert says in caught.value.message, case


async def test_a_budget_may_change_and_a_tether_only_come(ns: Namespace) -> None:
    await ns.create_task("a", agents.template(), budget={"maxCost": "40.00", "warnPercent": 80})
    for budget in ({"maxCost": "50"}, {"maxCost": "30.5"}, None):
        await ns.kube.merge(TASKS, ns.name, "a", {"spec": {"budget": budget}})
    await ns.kube.merge(TASKS, ns.name, "a", {"spec": {"tether": {"leaseName": "session-7"}}})
    changes = (({"leaseName": "session-8"}, "cannot be changed"), (None, "cannot be taken off"))
    for tether, says in changes:
        with pytest.raises(KubeError, match=says):
            await ns.kube.merge(TASKS, ns.name, "a", {"spec": {"tether": tether}})
