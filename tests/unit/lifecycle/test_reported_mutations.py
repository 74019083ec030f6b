"""The histories of reported cases can fail: they find each of these breaks of the operator, at their usual number."""

import pytest

from .world.mutations import Mutation
from .world.reported_jobs import LateController, Queue
from .world.reported_pods import (
    CutOff,
    DeletedNode,
    DeletedNodeInAHurry,
    FailingProbe,
    NodeComesBack,
    OwnRules,
    SlowRestart,
    SlowStart,
    SlowVolume,
    StopHook,
    TakenOver,
    ThrownOut,
    UnseenStart,
)
from .world.scripted import Scripted
from .world.walks import walks

LIE = "is a lie|it runs though its task was Paused"
PROOF, RECORD, POD = "workloads.pods.proof", "workloads.pods.record", "workloads.kinds.pod"
CONTAINER, READING = "workloads.pods.container", "workloads.pods.reading"
DEPARTURES, HINDRANCES = "workloads.pods.departures", "workloads.pods.hindrances"

BREAKS: list[tuple[type[Scripted], str, Mutation]] = [
    (SlowStart, LIE, Mutation(f"{PROOF}:proof_of", "what is not None", "False")),
    (
        SlowStart,
        LIE,
        Mutation(f"{CONTAINER}:ContainerRecord.starting", "(self.starts_slowly or not again)", "again"),
    ),
    (SlowStart, LIE, Mutation(f"{PROOF}:proof_on_record", "may_be_starting(evidence)", "None")),
    (SlowStart, LIE, Mutation(f"{POD}:_present", "(proof is not None or not lives_on)", "True")),
    (SlowRestart, LIE, Mutation(f"{CONTAINER}:ContainerRecord.restarting", "(unseen or self.is_probed)", "unseen")),
    (
        SlowRestart,
        LIE,
        Mutation(f"{CONTAINER}:ContainerRecord.restarting", "(unseen or self.is_probed)", "self.is_probed"),
    ),
    (
        SlowRestart,
        LIE,
        Mutation(
            f"{DEPARTURES}:being_started",
            "pod.starting or pod.restarting(unseen=may_have_changed(entry))",
            "pod.starting",
        ),
    ),
    (
        SlowRestart,
        LIE,
        Mutation("workloads.pods.recorded:may_be_starting", "if evidence.restarts_slowly", "if False"),
    ),
    (
        UnseenStart,
        LIE,
        Mutation(f"{PROOF}:proof_on_record", "None, _node_unknown(evidence.name or evidence.uid)", "Proof.GONE, None"),
    ),
    (
        SlowVolume,
        "all the same",
        Mutation("workloads.pods.termination:_terminate_pod", "and pod.ran and own", "and own"),
    ),
    (
        FailingProbe,
        LIE,
        Mutation(f"{RECORD}:PodRecord.longest_grace_seconds", "max(probes, default=0)", "0"),
    ),
    (StopHook, "killAt says", Mutation(f"{RECORD}:PodRecord.killed_by", "later if served else over_at", "over_at")),
    (
        StopHook,
        "killAt says",
        Mutation(
            "workloads.controlled.owned_pods:OwnedPods.killed_by", "for each in self.seen)", "for each in self.live)"
        ),
    ),
    (StopHook, "killAt says", Mutation("workloads.pods.container_spec:ends_late", '"preStop" in', '"nothing" in')),
    (DeletedNode, LIE, Mutation(f"{PROOF}:_order_effect", "unreachable or due + SETTLING <= now", "True")),
    (DeletedNode, LIE, Mutation(f"{PROOF}:proof_by_boot", "is_deleted(node, lister) and not unreachable", "False")),
    (DeletedNode, LIE, Mutation(f"{DEPARTURES}:may_live_on", "or pod.collected or is_deleted(pod.node, lister)", "")),
    (DeletedNode, LIE, Mutation(f"{DEPARTURES}:due_of", "pod.may_have_started_since(told_at)", "False")),
    (DeletedNode, LIE, Mutation(f"{RECORD}:PodRecord.ended", "self.collected", "False")),
    (
        DeletedNodeInAHurry,
        LIE,
        Mutation(
            f"{POD}:_vanished",
            "(entry.since or entry.at) + grace",
            "(task.status.stop and task.status.stop.kill_at) or entry.at",
        ),
    ),
    (
        SlowStart,
        "Paused",
        Mutation("lifecycle.pausing:pausing", "case.phase is Phase.PAUSED and shows_nothing", "shows_nothing"),
    ),
    (NodeComesBack, LIE, Mutation(f"{PROOF}:proof_by_boot", "known.seen.boot_id != boot_id", "True")),
    (ThrownOut, "Graceful, but killed", Mutation(f"{RECORD}:Disruption.evicted_at", "self.at if", "None if")),
    (ThrownOut, "killAt says", Mutation(f"{RECORD}:PodRecord.killed_by", "self.evicted_by or over_at", "over_at")),
    (ThrownOut, "thrown out", Mutation("workloads.pods.outcome:ending_of", "thrown_out is not None", "False")),
    (
        ThrownOut,
        "thrown out",
        Mutation(f"{READING}:_disruption", 'condition.get("status") != "True"', "True"),
    ),
    (
        OwnRules,
        "start it again",
        Mutation("workloads.pods.restarting:_matching_action", "exit_code is None or", "True or"),
    ),
    (
        OwnRules,
        "start it again",
        Mutation("workloads.pods.restarting:restart_after", "(own, role, exit_code)", "(own, role, 0)"),
    ),
    (
        CutOff,
        "own hand",
        Mutation("lifecycle.ended:ended_by_itself", "seen.main_ending or _success_on_record(case)", "seen.main_ending"),
    ),
    (
        LateController,
        "helps along",
        Mutation("workloads.controlled.assisted_termination:help_to_end", "if halt.pause", "if False"),
    ),
    (
        LateController,
        "signal of ours|by itself",
        Mutation("workloads.controlled.assisted_termination:_removal", "JOB_TRACKING in", "not"),
    ),
    (
        Queue,
        "nobody is told",
        Mutation("workloads.controlled.pod_owner:started_again", "if stop is None or", "if True or"),
    ),
    (Queue, "rule 4", Mutation("lifecycle.decide:_over", "effects=(halt(case, status.stop),)", "effects=()")),
    (
        TakenOver,
        "nobody is told",
        Mutation("workloads.pods.hindrances:taken_over", "or pod.controller is None", "or True"),
    ),
]


@pytest.mark.parametrize(("case", "said", "mutation"), BREAKS, ids=[str(each[2]) for each in BREAKS])
def test_a_break_is_found(case: type[Scripted], said: str, mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.apply(monkeypatch.setattr)
    with pytest.raises(AssertionError, match=said):
        walks(case, 0, 1, most=case.most)
