"""What Flux and Argo CD read from a task or an order, in every state, as `docs/gitops.md` has it."""

import pytest
from cel_expr_python import cel

from tests.docs.documents import table_below
from tests.gitops import lua, states
from tests.gitops.files import FLUX, customization, load
from tests.support.kube import Object
from tests.support.laws import conditions_of, kstatus

DOCUMENT = "docs/gitops.md"


def table(name: str) -> dict[str, tuple[str, str]]:
    return {label: (flux, argo) for label, flux, argo in table_below(DOCUMENT, f"<!-- {name} -->")}


CASES = [
    pytest.param(item, *documented, id=f"{item['kind']} {label}")
    for name, group in (("health", states.TASKS), ("orders", states.ORDERS))
    for label, item in group.items()
    for documented in [table(name)[label]]
]


def by_expressions(item: Object) -> str:
    """What Flux reads with the example's healthCheckExprs.

    Source: https://github.com/fluxcd/pkg/blob/main/runtime/cel/status_evaluator.go
    """
    (check,) = load(FLUX / "agents.yaml")["spec"]["healthCheckExprs"]
    assert item["apiVersion"] == check["apiVersion"]
    if item["status"]["observedGeneration"] != item["metadata"]["generation"]:
        return "InProgress"
    environment = cel.NewEnv(variables={"metadata": cel.Type.DYN, "status": cel.Type.DYN})
    for name in ("inProgress", "failed", "current"):
        result = environment.compile(check[name]).eval(data={name: item[name] for name in ("metadata", "status")})
        assert result.type() == cel.Type.BOOL, result.value()
        if result.value():
            return name[0].upper() + name[1:]
    return "InProgress"


def test_every_state_is_documented() -> None:
    assert set(table("health")) == set(states.TASKS)
    assert set(table("orders")) == set(states.ORDERS)


@pytest.mark.parametrize(("item", "flux", "argo"), CASES)
def test_kstatus_reads_it(item: Object, flux: str, argo: str) -> None:
    assert kstatus(item) == flux


@pytest.mark.parametrize(("item", "flux", "argo"), CASES)
def test_flux_reads_the_same_by_expressions(item: Object, flux: str, argo: str) -> None:
    # They know no state but these three.
    assert by_expressions(item) == flux.replace("Terminating", "InProgress")


@pytest.mark.parametrize(("item", "flux", "argo"), CASES)
def test_argo_reads_it(item: Object, flux: str, argo: str) -> None:
    found = lua.health((customization(item["kind"]) / "health.lua").read_text(), item)
    assert found["status"] == argo
    assert found["message"]


@pytest.mark.parametrize("row", table_below("docs/lifecycle.md", "## Conditions"), ids=lambda row: str(row[0]))
def test_the_conditions_are_documented(row: list[str]) -> None:
    label, *conditions, reads = row
    others = "any other phase but the last three, held up"
    item = states.TASKS["`Running`, held up" if label == others else label]
    found = conditions_of(item)
    names = ("Ready", "Reconciling", "Stalled", "Stopped")
    assert [found.get(name, {}).get("status", "") for name in names] == conditions
    assert kstatus(item) == reads


def test_argo_says_what_holds_a_stop_up() -> None:
    item = states.TASKS["`Stopping`, held up"]
    found = lua.health((customization("AgentTask") / "health.lua").read_text(), item)
    assert found["message"] == "NodeUnreachable: node worker-1 does not answer"


def test_what_has_no_status_at_all_is_not_healthy_to_argo() -> None:
    item = {**states.TASKS["`Running`"], "status": None}
    assert lua.health((customization("AgentTask") / "health.lua").read_text(), item)["status"] == "Progressing"
