"""When the components on the nodes are asked to kill: where a kubelet does not, or not by then."""

from datetime import datetime

from agentstop.api.task import StopStatus
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.graces import LEAST


def shortened(case: DecisionInput, record: StopStatus, asked: datetime, kill_at: datetime) -> datetime:
    """Return when SIGKILL comes, where a kubelet would send it at `kill_at` and `asked` is asked for.

    No kubelet shortens a grace period that runs. The components on the nodes do: at the moment that is asked for, or at
    once where that has passed; once said, it is not put off any more.
    """
    if not case.limits.ask_nodes or case.task.gone:
        return kill_at
    if case.killed_by_nodes:
        return min(record.kill_at or kill_at, case.now)
    if kill_at <= asked + LEAST:
        return kill_at
    said = record.kill_at if record.kill_at is not None and record.kill_at < kill_at - LEAST else kill_at
    return min(said, max(asked, case.now))


def asked_at(case: DecisionInput, ends_at: datetime) -> datetime | None:
    """Return when the nodes are to be asked to kill what is left at the end of the grace period; None for never.

    A kubelet that keeps to that moment has some time to do so. One that was told another one, or was not told
    anything, has not.
    """
    seen = case.seen
    if not case.limits.ask_nodes or case.task.gone or case.phase.terminal or seen.proof is not None:
        return None
    if case.killed_by_nodes:
        return case.now
    if not seen.halted:
        return None
    late = seen.killed_by is not None and seen.killed_by + seen.begins_after > ends_at + LEAST
    return ends_at if late else ends_at + case.timings.kubelet_kill
