"""What holds of budgets: no stop below a limit, none by a person's account, and the record says what it was."""

from agentstop.api.meta import ConditionType, find_condition
from agentstop.api.task import KIND, Phase, StopSource
from agentstop.api.usage import USAGE_KIND
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef

from .memory import Memory, Written
from .server import NAMESPACE, Raw, Server


class BudgetRules:
    """Checks what the operator does for budgets."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self._server = server
        self._memory = memory

    def turns(self, name: str, uid: str) -> int | None:
        """Return how many turns were reported of a task; None where it was none."""
        raw = self._server.objects.get(ObjectRef(USAGE_KIND, NAMESPACE, name))
        if raw is None:
            return None
        owners = raw["metadata"].get("ownerReferences") or ()
        if owners:
            mine = all(each["uid"] == uid for each in owners)
        else:
            # What nobody owns and was there before the task was reported of another one, or of nobody at all.
            mine = raw["metadata"]["creationTimestamp"] >= self._made_at(uid)
        return int(raw["spec"].get("turns", 0)) if mine else None

    def _made_at(self, uid: str) -> str:
        """Return when a task was made, as the API server notes it."""
        found = (each.after["metadata"] for each in self._server.history if each.ref.kind == KIND)
        return next(str(metadata["creationTimestamp"]) for metadata in found if metadata["uid"] == uid)

    def limits(self, uid: str) -> set[int]:
        """Return all limits of turns that a task ever had: a stop counts that was sent before the limit was raised."""
        found = (each.after for each in self._server.history if each.ref.kind == KIND)
        specs = (raw["spec"] for raw in found if raw["metadata"]["uid"] == uid)
        budgets = [spec["budget"] for spec in specs if spec.get("budget")]
        return {each["maxTurns"] for each in budgets if "maxTurns" in each}

    def may_be_idle(self, uid: str) -> bool:
        found = (each.after for each in self._server.history if each.ref.kind == KIND)
        mine = (raw["spec"] for raw in found if raw["metadata"]["uid"] == uid)
        return any("maxIdleSeconds" in (spec.get("budget") or {}) for spec in mine)

    def asks_for_an_end(self, task: Task) -> bool:
        """Whether a budget is a reason to end a task's workload."""
        used, limits = self.turns(task.name, task.uid), self.limits(task.uid)
        return (used is not None and bool(limits) and used >= min(limits)) or self.may_be_idle(task.uid)

    def check_written(self, written: Written) -> None:
        before, after = written.before, written.after
        stop = after.stop
        if stop is None or before.stop is not None:
            return
        spec, name = written.task["spec"], written.task["metadata"]["name"]
        if stop.source is StopSource.BUDGET:
            used, limits = self.turns(name, written.uid), self.limits(written.uid)
            assert used is not None, "stopped by a budget of which nothing was reported"
            assert used >= min(limits), "stopped below its limit"
            assert stop.reason == ((spec.get("stop") or {}).get("reason") or "TurnsExceeded")
            assert stop.usage_at_acceptance is not None
            assert stop.usage_at_acceptance.turns >= min(limits)
        if stop.source is StopSource.IDLE:
            assert self.may_be_idle(written.uid), "idle without a limit"
        if stop.source in {StopSource.BUDGET, StopSource.IDLE}:
            condition = find_condition(after.conditions, ConditionType.BUDGET_EXCEEDED)
            assert condition is not None, "stopped by a budget, without a word of that"
            assert condition.status == "True", f"stopped by a budget that is said to be {condition.reason}"
            assert not after.manually_stopped, "a budget is no person"
            assert not spec.get("stopRequested"), "a person's stop goes first"

    def check_obeyed(self, raw: Raw) -> None:
        """A task whose limit was reported as reached does not run on."""
        metadata, budget, status = raw["metadata"], raw["spec"].get("budget") or {}, raw["status"]
        used, most = self.turns(metadata["name"], metadata["uid"]), budget.get("maxTurns")
        if used is None or most is None or used < most or budget.get("action") == "Observe":
            return
        held = {"Paused"} if budget.get("action") == "Pause" or raw["spec"].get("paused") else set()
        stalled = any((each["type"], each["status"]) == ("Stalled", "True") for each in status.get("conditions") or ())
        ended = {str(each) for each in Phase if each.terminal} | held
        assert status.get("phase") in ended or stalled, f"above its limit, it is {status.get('phase')}"
