"""The histories of freezing can fail: they find each of these breaks of the operator, at their usual number."""

import pytest

from .world.freezers import FreezingActors, FreezingJobActors
from .world.mutations import Mutation
from .world.walks import walks

FREEZING, FREEZES, ENDS = "lifecycle.freezing", "workloads.pods.node_freezes", "workloads.pods.termination"
WORKS, LEFT = "it works though its task is Paused and frozen", "left frozen|Running, but frozen|asked to run"

BREAKS: list[tuple[type[FreezingActors], str, Mutation]] = [
    (FreezingActors, WORKS, Mutation(f"{FREEZING}:freezing", "seen.freeze_state.frozen or blind", "True")),
    (FreezingActors, LEFT, Mutation(f"{FREEZES}:thaw_on_node", "not may_be_frozen(", "True or (")),
    (FreezingActors, LEFT, Mutation(f"{FREEZING}:_back", "seen.freeze_state.held or unknown", "unknown")),
    (
        FreezingActors,
        "what was frozen",
        Mutation(f"{FREEZING}:_thawed", "status.but(", "status.but(attempts=status.attempts + 1, "),
    ),
    (FreezingActors, "on record", Mutation(f"{FREEZING}:_thawing", "recorded and free", "free")),
    (
        FreezingActors,
        "nobody wants to be",
        Mutation(f"{FREEZING}:freezing", "if not case.to_be_frozen", "if seen.freeze_state.held"),
    ),
    (FreezingActors, "until it was killed", Mutation(f"{ENDS}:thaw_to_end", "due is not None", "False")),
    (
        FreezingActors,
        "before its end",
        Mutation(f"{ENDS}:_thaw_due", "return pod.asked_to_go_at or entry.signaled_at", "return entry.at"),
    ),
    (
        FreezingJobActors,
        "it is Pausing",
        Mutation("workloads.controlled.freeze_state:freeze_on_nodes", "if each.certain:", "if False:"),
    ),
]


@pytest.mark.parametrize(("case", "said", "mutation"), BREAKS, ids=[str(each[2]) for each in BREAKS])
def test_a_break_is_found(
    case: type[FreezingActors], said: str, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.apply(monkeypatch.setattr)
    with pytest.raises(AssertionError, match=said):
        walks(case, 0, 1, most=100)
