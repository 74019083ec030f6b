"""One container: when the kubelet starts it, how it ends, and whether it is started again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agentstop.words.graces import MIN_KUBELET_SECONDS

from .clock import whole

KILLED = 137


@dataclass
class Process:
    """One container: what it would do, and what it does."""

    name: str
    role: str
    """init, sidecar or main."""
    policy: str
    """Restart policy in force for it."""
    dies_in: float | None
    """Seconds from SIGTERM to its end; None for one that ignores it."""
    lives: float | None = None
    """Seconds that it runs if nobody ends it; None for one that runs on and on."""
    code: int = 0
    """Exit code when it ends by itself or on SIGTERM."""
    codes: list[int] = field(default_factory=list)
    """Exit codes of its first runs, where these are others."""
    rules: tuple[Mapping[str, Any], ...] = ()
    """Its restart rules."""
    hook: float = 0
    """Seconds that its start hook takes: the kubelet neither hears nor says anything of its pod meanwhile."""
    pull: float = 0
    """Seconds that the pull of its image takes, as deaf as a hook; it is started afterwards, come what may."""
    pull_again: float = 0
    """The same for its later starts."""
    pre_stop: float = 0
    """Seconds that its stop hook takes, within the grace period: SIGTERM comes after it."""
    probe_grace: int | None = None
    """Grace period in seconds of its liveness probe."""
    running: bool = False
    ever_ran: bool = False
    starts: int = 0
    first_at: datetime | None = None
    """When it was started the first time."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    killed: bool = False
    """Whether SIGKILL ended it when its grace ran out."""
    over: bool = False
    """Whether it is never started again."""
    pulled_at: datetime | None = None
    """When the pull that is under way is done."""
    held: float = 0
    """Seconds for which it was frozen since SIGTERM, which it hears only afterwards."""
    deaf: bool = False
    """Whether it was killed without having heard of SIGTERM, on which it would have ended."""
    probed_at: datetime | None = None
    """When the probe failed for which it is being ended."""
    before: dict[str, Any] | None = None
    """The end of the run before this one, as the kubelet reports it."""
    succeeded: bool = False
    """Whether it has ever ended by itself with exit code 0."""

    @property
    def has_own_rule(self) -> bool:
        """Whether a rule of its own has it started again after the end that it had."""
        return any(_meets(rule, self.exit_code) for rule in self.rules)

    def hooked(self, now: datetime) -> bool:
        """Whether its start hook runs."""
        return self.running and self.started_at is not None and now < self.started_at + timedelta(seconds=self.hook)

    def is_starting(self, now: datetime) -> bool:
        """Whether the kubelet is starting it, and hears of nothing before that is done."""
        return self.pulled_at is not None or self.hooked(now)

    def occupies(self, now: datetime) -> bool:
        """Whether the kubelet is held up by it, for its start or for a probe."""
        return self.is_starting(now) or self.probed_at is not None

    def begin(self, now: datetime) -> None:
        """Start it, or pull its image first."""
        pull = self.pull_again if self.ever_ran else self.pull
        if pull:
            self.pulled_at = now + timedelta(seconds=pull)
        else:
            self.start(now)

    def start(self, now: datetime) -> None:
        if self.exit_code is not None:
            self.before = self.told
        self.running = self.ever_ran = True
        self.starts += 1
        self.pulled_at = None
        self.first_at = self.first_at or now
        self.held = 0
        self.started_at, self.finished_at, self.exit_code, self.reason = now, None, None, None

    def end(self, now: datetime, code: int, reason: str | None = None, *, killed: bool = False) -> None:
        self.running = False
        self.finished_at, self.exit_code, self.killed = now, code, killed
        self.reason = reason or ("Completed" if code == 0 else "Error")
        again = self.policy == "Always" or (self.policy == "OnFailure" and code != 0)
        self.over = not (again or self.has_own_rule)

    def end_by_itself(self, now: datetime) -> None:
        """It has done what it had to do."""
        self.exit(now, self.codes.pop(0) if self.codes else self.code)

    def exit(self, now: datetime, code: int, reason: str | None = None) -> None:
        """It ends without anybody's asking."""
        self.succeeded |= code == 0
        self.end(now, code, reason)

    def die(self, now: datetime, told_at: datetime, kill_at: datetime, grace: float, *, frozen: bool = False) -> None:
        """End it if its time has come since the kubelet began to end it, with this grace period.

        What is frozen does not act on SIGTERM.
        """
        term_at = told_at + timedelta(seconds=min(self.pre_stop, grace))
        if self.pre_stop:
            kill_at = max(kill_at, term_at + timedelta(seconds=MIN_KUBELET_SECONDS))
        own = term_at + timedelta(seconds=self.dies_in + self.held) if self.dies_in is not None else None
        if own is not None and own <= min(now, kill_at) and not frozen:
            self.end(own, self.code)
        elif kill_at <= now:
            self.deaf = frozen and own is not None
            self.end(kill_at, KILLED, killed=True)

    def die_of_probe(self, now: datetime, *, frozen: bool = False) -> None:
        """End it if its time has come since its probe failed; that grace period is its own."""
        if self.running and self.probed_at is not None:
            grace = max(self.probe_grace or 0, MIN_KUBELET_SECONDS)
            self.die(now, self.probed_at, self.probed_at + timedelta(seconds=grace), grace, frozen=frozen)

    @property
    def told(self) -> dict[str, Any]:
        """The end that it had, as the kubelet reports it."""
        assert self.started_at is not None
        assert self.finished_at is not None
        return {
            "exitCode": self.exit_code,
            "reason": self.reason,
            "startedAt": whole(self.started_at),
            "finishedAt": whole(self.finished_at),
        }


def _meets(rule: Mapping[str, Any], code: int | None) -> bool:
    listed = code in rule["exitCodes"]["values"]
    return code is not None and listed == (rule["exitCodes"]["operator"] == "In")


def process_of(each: Mapping[str, Any], role: str, policy: str) -> Process:
    """Return a container by its spec; `policy` is that of its pod."""
    behaviour = each["behaviour"]
    own = each.get("restartPolicy")
    sidecar = role == "init" and own == "Always"
    pull = behaviour.get("pull", 0)
    if own is None:
        own = "OnFailure" if role == "init" and policy == "Always" else policy
    return Process(
        name=each["name"],
        role="sidecar" if sidecar else role,
        policy=own,
        dies_in=behaviour["dies_in"],
        lives=behaviour["lives"],
        code=behaviour["code"],
        codes=list(behaviour.get("codes") or ()),
        rules=tuple(each.get("restartPolicyRules") or ()),
        hook=behaviour.get("hook", 0),
        pull=pull,
        pull_again=behaviour.get("pull_again", pull) if each.get("imagePullPolicy") == "Always" else 0,
        pre_stop=behaviour.get("pre_stop", 0),
        probe_grace=(each.get("livenessProbe") or {}).get("terminationGracePeriodSeconds"),
    )
