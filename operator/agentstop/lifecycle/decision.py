"""What a decision is made from and what it is, and the status that every decision writes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.budget import Budget, BudgetScope
from agentstop.api.task import AgentTaskStatus, Phase, PodPolicy, StopRequest, StopSource, StopStatus
from agentstop.lifecycle.conditions import MADE_BY_CRON_JOB, conditions
from agentstop.lifecycle.effects import ObjectEffect, WorkloadEffect
from agentstop.lifecycle.events import Note
from agentstop.lifecycle.facts import NO_FACTS, Facts
from agentstop.lifecycle.family import ALONE, Family
from agentstop.lifecycle.observation import Observation, Presence, Reason, Task
from agentstop.lifecycle.orders import FREE, OrderEffect
from agentstop.lifecycle.tether import tethered
from agentstop.lifecycle.usage import Usage
from agentstop.timings import TIMINGS, Timings

MARGIN: Final = timedelta(seconds=10)
"""How long after the end of the grace period the proof may take before the stop counts as stalled: the kubelet ends
containers one after the other, and reports afterwards."""

MOST_WORDS: Final = 1024
"""Characters of a text in the status."""

MAX_GRACE_SECONDS: Final = 3600
"""The most that a workload's own grace period counts for, where nobody asks for one: whoever writes a pod could give it
a year, and no kubelet cuts short what runs."""

NOT_CONFIRMED: Final = Reason(
    "NotConfirmed",
    "The grace period is over, and the node has not reported the end of the workload; look at its kubelet",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the cluster's administrator allows tasks."""

    max_grace_seconds: int = MAX_GRACE_SECONDS
    """The most that a workload's own grace period counts for, where a stop does not say how long it may take."""
    min_ttl_seconds: int = 0
    """How long the record of a stop lives at least, whatever the task's ttlSecondsAfterFinished says."""
    suspend_cron_jobs: bool = False
    """Whether a person's stop of a Job suspends the CronJob that made it."""
    ask_nodes: bool = False
    """Whether a component on each node can be asked to kill what no kubelet does."""


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """All that a decision may be made from."""

    task: Task
    seen: Observation
    now: datetime
    family: Family = ALONE
    order_effect: OrderEffect = FREE
    limits: Limits = LIMITS
    timings: Timings = TIMINGS
    facts: Facts = NO_FACTS

    @property
    def budget(self) -> Budget | None:
        """What the task may spend: its own budget, or else its namespace's."""
        return self.task.spec.budget or self.facts.default_budget

    def counted(self, budget: Budget) -> Usage | None:
        """Return what counts for a budget; None where nothing was reported."""
        return self.facts.family_usage if budget.scope is BudgetScope.FAMILY else self.facts.usage

    @property
    def phase(self) -> Phase:
        """The phase that the task is in."""
        return self.task.status.phase

    @property
    def paused_seconds(self) -> float:
        """For how long it was paused since its first start, in pauses that are over, as far as is known.

        What is frozen may have been started without anybody's having heard of that. Once it is known when, no pause
        counts that was before.
        """
        status, started_at = self.task.status, self.seen.started_at
        if status.started_at is not None or started_at is None:
            return status.paused_seconds
        return min(status.paused_seconds, round(max((self.now - started_at).total_seconds(), 0.0), 3))

    @property
    def to_be_frozen(self) -> bool:
        """Whether what runs of the task is to be held where it is; not for a task that is gone."""
        return (self.task.to_be_frozen or self.order_effect.freeze is not None) and not self.task.gone

    @property
    def killed_by_nodes(self) -> bool:
        """Whether an order asks that the nodes kill what runs of it, without any time."""
        return self.order_effect.stop is not None and self.order_effect.stop.kill

    @property
    def request(self) -> StopRequest:
        """How the task is to be stopped, as its spec says."""
        return self.task.spec.stop or StopRequest()

    @property
    def cap(self) -> int | None:
        """The grace period that takes the place of the workload's own, in seconds; None where that is short enough."""
        most = self.limits.max_grace_seconds
        return most if self.seen.own_grace_seconds > most else None

    @property
    def asked_grace(self) -> int | None:
        """The grace period in seconds that takes the place of the workload's own, if one does.

        It is asked for by an order, the task itself, or an ancestor; where it is not, the workload's own is cut short.
        """
        asked = self._asked_grace
        return asked if asked is not None else self.cap

    @property
    def grace_seconds(self) -> int:
        """The grace period in seconds that a stop gives as things are."""
        asked, seen = self.asked_grace, self.seen
        return seen.own_grace_seconds if asked is None else min(asked, seen.longest_grace_seconds or asked)

    @property
    def _asked_grace(self) -> int | None:
        own = self.request.grace_period_seconds
        ordered = self.order_effect.stop.grace_seconds if self.order_effect.stop is not None else None
        if ordered is not None:
            return min(ordered, own) if own is not None and self.task.spec.stop_requested else ordered
        return own if own is not None or self.family.stop is None else self.family.stop.grace_seconds

    @property
    def ordered_policy(self) -> PodPolicy | None:
        """What orders of the task, or an ancestor, ask to be done with the pod object. It only becomes stricter."""
        asking = (self.task.status.stop, self.order_effect.stop, self.family.stop)
        said = [each.pod_policy for each in asking if each is not None and each.pod_policy is not None]
        return max(said, key=list(PodPolicy).index, default=None)

    @property
    def pod_policy(self) -> PodPolicy:
        """What the stop does with the pod object. What the task says for itself never weakens what an order says."""
        own, ordered = self.request.pod_policy, self.ordered_policy
        if ordered is None or (self.task.spec.stop_requested and own.is_stricter(ordered)):
            return own
        return ordered

    @property
    def pod_policy_now(self) -> PodPolicy:
        """Keep or Delete: what to do with the pod object as things are. The proof has to be on record first."""
        on_record = self.phase is Phase.STOPPED and self.task.unwritable is None
        after = on_record and self.pod_policy is PodPolicy.DELETE_AFTER_PROOF
        return PodPolicy.DELETE if after else self.pod_policy.before_proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, in this order: `effects`, then the status, then what comes `afterwards`."""

    status: AgentTaskStatus
    effects: tuple[WorkloadEffect, ...] = ()
    """What to do to the workload."""
    afterwards: tuple[ObjectEffect, ...] = ()
    """What to do to the task object."""
    notes: tuple[Note, ...] = ()
    """What to tell people once it is done."""
    wake_at: datetime | None = None
    """When to decide again, if nothing happens before."""
    fenced: frozenset[str] | None = frozenset()
    """UIDs of its pods whose tokens are to write nothing any more; None where that is not known."""
    in_doubt: bool = False
    """Whether it has to be found out first if the workload uses a processor."""


def next_status(
    case: DecisionInput,
    phase: Phase,
    word: Reason,
    *,
    stalled: Reason | None = None,
    waits: Reason | None = None,
    stop: StopStatus | None = None,
    finished_at: datetime | None = None,
    busy: bool = False,
    logs_gone: str | None = None,
    **changes: Any,
) -> AgentTaskStatus:
    """Return the status that follows from what was seen. What was known before is kept where nothing new is seen.

    `changes` are fields of the status that only some decisions change.
    """
    before, seen = case.task.status, case.seen
    workload = seen.workload or before.workload
    if workload is not None and logs_gone is not None:
        workload = workload.but(logs_gone=logs_gone[:MOST_WORDS])
    there = seen.started_at is not None or (seen.presence is Presence.PRESENT and not seen.halted)
    elsewhere = seen.elsewhere
    if case.limits.suspend_cron_jobs and stop is None and elsewhere and elsewhere.reason == MADE_BY_CRON_JOB:
        elsewhere = None  # it does not go on when somebody stops this task
    began = there and phase not in {Phase.PAUSING, Phase.PAUSED} and not case.family.problem
    status = AgentTaskStatus(
        observed_generation=case.task.generation,
        phase=phase,
        manually_stopped=before.manually_stopped or by_person(case, stop),
        reason=word.reason,
        message=word.message,
        started_at=before.started_at or seen.started_at,
        paused_at=before.paused_at,
        paused_seconds=case.paused_seconds,
        pause_policy=before.pause_policy if phase in {Phase.PAUSING, Phase.PAUSED} else None,
        frozen_by=before.frozen_by if phase in {Phase.PAUSING, Phase.PAUSED} else None,
        finished_at=finished_at,
        attempts=max(before.attempts, int(began)),
        grace_period_seconds=case.grace_seconds if seen.active and stop is None and not phase.terminal else None,
        stop=stop,
        workload=workload,
        children=case.family.children,
        conditions=conditions(
            phase,
            word,
            stalled,
            before.conditions,
            case.now,
            waits=waits,
            busy=busy,
            elsewhere=elsewhere,
            goes_on=seen.goes_on,
            tether=tethered(case.task, case.facts.lease, case.now),
        ),
    )
    return status.but(**changes) if changes else status


def by_person(case: DecisionInput, stop: StopStatus | None) -> bool:
    """Whether a person asked for this stop, of the task itself or of an ancestor."""
    if stop is None:
        return False
    inherited = stop.source is StopSource.PARENT and case.family.stop is not None and case.family.stop.by_person
    return stop.source in {StopSource.USER, StopSource.STOP_ORDER} or inherited
