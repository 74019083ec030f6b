"""What the numbers have to be."""

from dataclasses import dataclass
from typing import Final

from benchmarks.contenders import (
    AGENTSTOP,
    ASKS_NODES,
    BY_HAND,
    BY_LIMIT,
    BY_ORDER,
    JOBS,
    JOBS_SHIPPED,
    ONE_PATCH,
    RAW,
)
from benchmarks.gateway import PATCH, THROUGH
from benchmarks.results import COMPLETE_NAME, COMPLETE_VERB, STOP_NAME, ByContender, Results, percentile, ratio_range

MOST_IDLE_P50: Final = 1.2
MOST_IDLE_P99: Final = 1.0
MAX_JOB: Final = 1.3
MAX_FAMILY: Final = 1.0
MAX_ORDER: Final = 1.5
MAX_BUSY: Final = 3.0
"""A single stop takes two requests and two watches, where a raw call takes one of each."""
MAX_FREEZE_SECONDS: Final = 0.5
MAX_FREEZE: Final = 1.5
MAX_ASKING: Final = 1.1
MIN_ASKING: Final = 0.9
"""An operator that may ask the nodes, and asks none, costs the same but for what one run differs from the next."""
MAX_START_SECONDS: Final = 0.3
MAX_COMPLETION_SECONDS: Final = 0.15
MIN_THROUGHPUT: Final = 2.0
MAX_ADDED_P50_MS: Final = 3.0
MAX_ADDED_P99_MS: Final = 10.0
MIN_GATEWAY_THROUGHPUT: Final = 0.8
MAX_GATEWAY_READY_SECONDS: Final = 10.0
MAX_STREAMS_MB: Final = 150.0
MAX_FLOOD_MB: Final = 100.0
"""So much more memory than before: what the documentation of the meter says of the bodies that it reads."""
MB_IN_MIB: Final = 1.048576
SCALE_TASKS: Final = 10_000
MAX_READY_SECONDS: Final = 15.0
MAX_RESIDENT_MIB: Final = 400.0
MOST_SCALE_P99_MS: Final = 50.0
MAX_LATE_SECONDS: Final = 2.0
MAX_READS: Final = 1.0


@dataclass(frozen=True)
class Target:
    """One target, and what was measured for it; None where this run could not measure it."""

    what: str
    wanted: str
    measured: str
    met: bool | None


def targets(results: Results) -> list[Target]:
    """Hold the results against the targets."""
    return [
        *_idle(results),
        *_mass(results),
        *_jobs(results),
        *_family(results),
        *_orders(results),
        *_freeze(results),
        *_nodes(results),
        *_startup(results),
        *_gateway(results),
        *_meter(results),
        *_reporting(results),
        *_tethers(results),
        *_scale(results),
    ]


def _idle(results: Results) -> list[Target]:
    effect = results.idle.effect if results.idle is not None else {}
    return [
        _ratio("idle stop, p50 to effect", effect, 0.50, MOST_IDLE_P50, (AGENTSTOP, JOBS)),
        _ratio("idle stop, p99 to effect", effect, 0.99, MOST_IDLE_P99, (AGENTSTOP, JOBS)),
    ]


def _jobs(results: Results) -> list[Target]:
    gone = results.jobs.gone if results.jobs is not None else {}
    return [
        _ratio("Job stopped through its task, p50 to pods gone", gone, 0.50, MAX_JOB, (AGENTSTOP, JOBS)),
        _ratio("Job stopped through its task, p99 to pods gone", gone, 0.99, MAX_JOB, (AGENTSTOP, JOBS)),
    ]


def _family(results: Results) -> list[Target]:
    effect, end = ({}, {}) if results.family is None else (results.family.effect, results.family.end)
    return [
        _ratio("family, p50 to the last effect", effect, 0.50, MAX_FAMILY, (ONE_PATCH, BY_HAND)),
        _ratio("family, p50 until all are Stopped", end, 0.50, MAX_FAMILY, (ONE_PATCH, BY_HAND)),
    ]


def _orders(results: Results) -> list[Target]:
    signal = results.orders.signal if results.orders is not None else {}
    busy = results.crowd.busy if results.crowd is not None else {}
    return [
        _ratio("order, until the last signal", signal, 0.50, MAX_ORDER, (BY_ORDER, RAW)),
        _ratio("single stop during a mass stop, p99 to effect", busy, 0.99, MAX_BUSY, (AGENTSTOP, RAW)),
    ]


def _freeze(results: Results) -> list[Target]:
    what, wanted = "freeze by one order, p99 to the last one frozen", f"<= {MAX_FREEZE_SECONDS} s"
    last = results.freeze.last if results.freeze is not None else {}
    ratio = _ratio("freeze by one order, p50", last, 0.50, MAX_FREEZE, (BY_ORDER, RAW))
    if results.freeze is None:
        return [_unmeasured(what, wanted), ratio]
    p99 = last[BY_ORDER].percentile(0.99)
    return [Target(f"{what} ({results.freeze.count})", wanted, f"{p99:.2f} s", p99 <= MAX_FREEZE_SECONDS), ratio]


def _nodes(results: Results) -> list[Target]:
    effect = results.nodes.effect if results.nodes is not None else {}
    found = [
        _ratio("idle stop with node.enabled, p50 to effect", effect, 0.50, MAX_ASKING, (ASKS_NODES, AGENTSTOP)),
        _ratio("idle stop with node.enabled, p99 to effect", effect, 0.99, MAX_ASKING, (ASKS_NODES, AGENTSTOP)),
    ]
    what, wanted = "mass stop with node.enabled, throughput", f">= {MIN_ASKING} x that without it"
    asked = ("stops with node.enabled, nodes asked", "0")
    if results.nodes is None:
        return [*found, _unmeasured(what, wanted), _unmeasured(*asked)]
    with_it, without = (
        percentile([each.per_second for each in results.nodes.mass[name]], 0.5) for name in (ASKS_NODES, AGENTSTOP)
    )
    ratio, controls = with_it / without, results.nodes.controls
    return [
        *found,
        Target(what, wanted, f"{ratio:.2f} x", ratio >= MIN_ASKING),
        Target(*asked, str(controls), controls == 0),
    ]


def _startup(results: Results) -> list[Target]:
    seconds = results.startup.seconds if results.startup is not None else {}
    found = []
    for name, most in (
        (STOP_NAME, MAX_START_SECONDS),
        (COMPLETE_VERB, MAX_COMPLETION_SECONDS),
        (COMPLETE_NAME, MAX_COMPLETION_SECONDS),
    ):
        what, wanted = f"{name}, p50 to its end", f"< {most} s"
        if name not in seconds:
            found.append(_unmeasured(what, wanted))
            continue
        median = seconds[name].percentile(0.50)
        found.append(Target(what, wanted, f"{median:.3f} s", median < most))
    return found


def _gateway(results: Results) -> list[Target]:
    whats = (
        ("gateway, added at p50", f"<= {MAX_ADDED_P50_MS:.0f} ms"),
        ("gateway, added at p99", f"<= {MAX_ADDED_P99_MS:.0f} ms"),
        ("gateway, throughput", f">= {MIN_GATEWAY_THROUGHPUT} x raw patches"),
        (f"gateway, ready beside {SCALE_TASKS} tasks", f"<= {MAX_GATEWAY_READY_SECONDS:.0f} s"),
        ("gateway, memory with 1,000 streams", f"<= {MAX_STREAMS_MB:.0f} MB"),
    )
    found = results.gateway
    if found is None:
        return [_unmeasured(what, wanted) for what, wanted in whats]
    ours, raw = found.single[THROUGH], found.single[PATCH]
    p50, p99 = ours.p50_ms - raw.p50_ms, ours.p99_ms - raw.p99_ms
    ratio = percentile(found.per_second[THROUGH], 0.5) / percentile(found.per_second[PATCH], 0.5)
    memory, enough = found.with_streams_mib * MB_IN_MIB, found.tasks >= SCALE_TASKS
    ready = (f"{found.ready_seconds:.1f} s", found.ready_seconds <= MAX_GATEWAY_READY_SECONDS)
    measured: tuple[tuple[str, bool | None], ...] = (
        (f"{p50:.1f} ms", p50 <= MAX_ADDED_P50_MS),
        (f"{p99:.1f} ms", p99 <= MAX_ADDED_P99_MS),
        (f"{ratio:.2f} x", ratio >= MIN_GATEWAY_THROUGHPUT),
        ready if enough else ("not measured here", None),
        (f"{memory:.0f} MB", memory <= MAX_STREAMS_MB),
    )
    return [Target(*what, *one) for what, one in zip(whats, measured, strict=True)]


def _meter(results: Results) -> list[Target]:
    what, wanted = "meter, memory that a flood adds", f"<= {MAX_FLOOD_MB:.0f} MB"
    if results.meter is None:
        return [_unmeasured(what, wanted)]
    added = (results.meter.flood.peak_mib - results.meter.paced.before_mib) * MB_IN_MIB
    return [Target(what, wanted, f"{added:.0f} MB", added <= MAX_FLOOD_MB)]


def _reporting(results: Results) -> list[Target]:
    what, wanted = "limit passed by a report, p99 to effect", f"<= {MAX_LATE_SECONDS:.0f} s"
    if results.reporting is None:
        return [_unmeasured(what, wanted)]
    p99 = results.reporting.effect[BY_LIMIT].percentile(0.99)
    return [Target(f"{what} ({results.reporting.count} tasks)", wanted, f"{p99:.2f} s", p99 <= MAX_LATE_SECONDS)]


def _tethers(results: Results) -> list[Target]:
    whats = (
        ("tethers, reads for each renewal", f"<= {MAX_READS}"),
        ("tether lost, p99 to effect after its time", f"<= {MAX_LATE_SECONDS:.0f} s"),
    )
    found = results.tethers
    if found is None:
        return [_unmeasured(*what) for what in whats]
    reads, late = found.reads_per_renewal, found.late.percentile(0.99)
    counted = Target(*whats[0], f"{reads:.2f}", reads <= MAX_READS) if reads is not None else _unmeasured(*whats[0])
    return [counted, Target(*whats[1], f"{late:.2f} s", late <= MAX_LATE_SECONDS)]


def _ratio(what: str, latencies: ByContender, share: float, most: float, pair: tuple[str, str]) -> Target:
    """Hold the ratio of the percentiles of two contenders against a target."""
    whose = {
        JOBS: "the Job controller's",
        BY_HAND: "with a patch on each",
        RAW: "raw calls",
        AGENTSTOP: "that without it",
    }[pair[1]]
    wanted = f"<= {most} x {whose}"
    if not all(name in latencies for name in pair):
        return _unmeasured(what, wanted)
    ours, theirs = (latencies[name] for name in pair)
    ratio = ours.percentile(share) / theirs.percentile(share)
    low, high = ratio_range(ours.seconds, theirs.seconds, share)
    return Target(what, wanted, f"{ratio:.2f} x ({low:.2f} to {high:.2f})", ratio <= most)


def _mass(results: Results) -> list[Target]:
    found = []
    for theirs, whose in ((JOBS, "the Job controller's"), (JOBS_SHIPPED, "the Job controller's as shipped")):
        what, wanted = "mass stop, throughput", f">= {MIN_THROUGHPUT} x {whose}"
        ours, other = results.mass.get(AGENTSTOP), results.mass.get(theirs)
        if ours is None or other is None:
            found.append(_unmeasured(what, wanted))
            continue
        ratio = ours.per_second / other.per_second
        found.append(Target(f"{what} ({ours.count})", wanted, f"{ratio:.2f} x", ratio >= MIN_THROUGHPUT))
    return found


def _scale(results: Results) -> list[Target]:
    wanted = (f"<= {MAX_READY_SECONDS:.0f} s", f"<= {MAX_RESIDENT_MIB:.0f} MiB", f"<= {MOST_SCALE_P99_MS:.0f} ms")
    whats = tuple(f"{SCALE_TASKS} tasks: {each}" for each in ("ready", "resident memory", "idle stop, p99 to effect"))
    measured = next((each for each in results.scale if each.count >= SCALE_TASKS), None)
    if measured is None:
        return [_unmeasured(what, want) for what, want in zip(whats, wanted, strict=True)]
    ready, resident, p99 = measured.ready_seconds, measured.resident_mib, measured.effect.p99_ms
    return [
        Target(whats[0], wanted[0], f"{ready:.1f} s", ready <= MAX_READY_SECONDS),
        Target(whats[1], wanted[1], f"{resident:.0f} MiB", resident <= MAX_RESIDENT_MIB),
        Target(whats[2], wanted[2], f"{p99:.1f} ms", p99 <= MOST_SCALE_P99_MS),
    ]


def _unmeasured(what: str, wanted: str) -> Target:
    return Target(what, wanted, "not measured here", None)
