"""What the numbers have to be."""

from dataclasses import dataclass
from typing import Final

from benchmarks.contenders import AGENTSTOP, JOBS, JOBS_SHIPPED
from benchmarks.results import Results

MOST_IDLE_P50: Final = 1.2
LEAST_THROUGHPUT: Final = 2.0
SCALE_TASKS: Final = 10_000
MOST_READY_SECONDS: Final = 15.0
MOST_RESIDENT_MIB: Final = 400.0
MOST_SCALE_P99_MS: Final = 50.0


@dataclass(frozen=True)
class Target:
    """One target, and what was measured for it; None where this run could not measure it."""

    what: str
    wanted: str
    measured: str
    met: bool | None


def targets(results: Results) -> list[Target]:
    """Hold the results against the targets."""
    return [*_idle(results), *_mass(results), *_scale(results)]


def _idle(results: Results) -> list[Target]:
    idle = results.idle
    wanted = (f"<= {MOST_IDLE_P50} x the Job controller's", "<= the Job controller's")
    whats = ("idle stop, p50 to effect", "idle stop, p99 to effect")
    if idle is None or JOBS not in idle.effect:
        return [_unmeasured(what, want) for what, want in zip(whats, wanted, strict=True)]
    ours, theirs = idle.effect[AGENTSTOP], idle.effect[JOBS]
    p50, p99 = ours.p50_ms / theirs.p50_ms, ours.p99_ms / theirs.p99_ms
    return [
        Target(whats[0], wanted[0], f"{p50:.2f} x", p50 <= MOST_IDLE_P50),
        Target(whats[1], wanted[1], f"{p99:.2f} x", p99 <= 1),
    ]


def _mass(results: Results) -> list[Target]:
    found = []
    for theirs, whose in ((JOBS, "the Job controller's"), (JOBS_SHIPPED, "the Job controller's as shipped")):
        what, wanted = "mass stop, throughput", f">= {LEAST_THROUGHPUT} x {whose}"
        ours, other = results.mass.get(AGENTSTOP), results.mass.get(theirs)
        if ours is None or other is None:
            found.append(_unmeasured(what, wanted))
            continue
        ratio = ours.per_second / other.per_second
        found.append(Target(f"{what} ({ours.count})", wanted, f"{ratio:.2f} x", ratio >= LEAST_THROUGHPUT))
    return found


def _scale(results: Results) -> list[Target]:
    wanted = (f"<= {MOST_READY_SECONDS:.0f} s", f"<= {MOST_RESIDENT_MIB:.0f} MiB", f"<= {MOST_SCALE_P99_MS:.0f} ms")
    whats = tuple(f"{SCALE_TASKS} tasks: {each}" for each in ("ready", "resident memory", "idle stop, p99 to effect"))
    measured = next((each for each in results.scale if each.count >= SCALE_TASKS), None)
    if measured is None:
        return [_unmeasured(what, want) for what, want in zip(whats, wanted, strict=True)]
    ready, resident, p99 = measured.ready_seconds, measured.resident_mib, measured.effect.p99_ms
    return [
        Target(whats[0], wanted[0], f"{ready:.1f} s", ready <= MOST_READY_SECONDS),
        Target(whats[1], wanted[1], f"{resident:.0f} MiB", resident <= MOST_RESIDENT_MIB),
        Target(whats[2], wanted[2], f"{p99:.1f} ms", p99 <= MOST_SCALE_P99_MS),
    ]


def _unmeasured(what: str, wanted: str) -> Target:
    return Target(what, wanted, "not measured here", None)
