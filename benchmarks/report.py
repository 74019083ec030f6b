"""The results for people and for machines: tables, JSON, and a plot."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import AGENTSTOP, BY_HAND, JOBS, RAW
from benchmarks.gateway import PATCH
from benchmarks.results import (
    BARE_PYTHON,
    ByContender,
    Gateway,
    Latencies,
    Meter,
    Nodes,
    Reporting,
    Results,
    Taking,
    Tethers,
)
from benchmarks.targets import Target, targets

_MET: Final = {True: "[green]met[/]", False: "[red]missed[/]", None: "-"}


def show(results: Results, console: Console) -> None:
    """Print all tables."""
    console.print(f"\nMeasured on: {results.server} ({results.note})")
    processors = os.cpu_count() or 1
    console.print(f"Load average after each part: {results.load}, on {processors} processors")
    console.print(f"Seconds of processor time in each part that the machine's host kept for others: {results.stolen}")
    if results.idle is not None:
        beside = {"Jobs": JOBS, "raw": RAW}
        console.print(_table(results.idle.effect, "Idle stop: patch sent until the effect is accepted", beside))
        console.print(_table(results.idle.end, "Idle stop: patch sent until it is said to be over", beside))
    if results.mass:
        console.print(_mass_table(results))
    if results.jobs is not None:
        what, beside = f"Job on {results.jobs.nodes}", {"Jobs": JOBS}
        console.print(_table(results.jobs.effect, f"{what}: until all pods are asked to end", beside))
        console.print(_table(results.jobs.gone, f"{what}: until all pods are gone", beside))
        console.print(_table(results.jobs.end, f"{what}: until it is said to be over", beside))
    if results.family is not None:
        what, beside = f"Family of {results.family.count}", {"by hand": BY_HAND}
        console.print(_table(results.family.effect, f"{what}: first patch until the last effect", beside))
        console.print(_table(results.family.end, f"{what}: first patch until all are Stopped", beside))
    if results.orders is not None:
        what = f"Order over {results.orders.count} tasks in {results.orders.namespaces} namespaces, one a round"
        console.print(_table(results.orders.signal, f"{what}: until the last pod is asked to end", {"raw": RAW}))
    if results.crowd is not None:
        what = "Single stop: patch sent until the effect is accepted"
        console.print(_table(results.crowd.quiet, f"{what}, with nothing else going on", {"raw": RAW}))
        during = f"during an order over {results.crowd.count} tasks"
        console.print(_table(results.crowd.busy, f"{what}, {during}", {"raw": RAW}))
    if results.freeze is not None:
        what = f"Freeze of {results.freeze.count} agents: until the last one is frozen"
        console.print(_table(results.freeze.last, what, {"raw": RAW}))
    if results.nodes is not None:
        what, beside = "Idle stop by an operator that may ask the nodes", {"without": AGENTSTOP}
        console.print(_table(results.nodes.effect, f"{what}: until the effect is accepted", beside))
        console.print(_table(results.nodes.end, f"{what}: until it is said to be over", beside))
        console.print(_nodes_table(results.nodes))
    if results.startup is not None:
        console.print(_table(results.startup.seconds, "Start: until the program ends", {"bare": BARE_PYTHON}))
    if results.gateway is not None:
        console.print(_table(results.gateway.single, "Gateway: one stop at a time, until the answer", {"raw": PATCH}))
        console.print(_gateway_table(results.gateway))
    if results.meter is not None:
        console.print(_meter_table(results.meter))
    if results.reporting is not None:
        what = f"Report that passes a limit, while {results.reporting.count} tasks report: until the effect is accepted"
        console.print(_table(results.reporting.effect, what, {"raw": RAW}))
        console.print(_load_table(results.reporting))
    if results.tethers is not None:
        console.print(_tethers_table(results.tethers))
    if results.scale:
        console.print(_scale_table(results))
    table = Table("target", "wanted", "measured", "", title="Targets", title_justify="left")
    for target in targets(results):
        table.add_row(target.what, target.wanted, target.measured, _MET[target.met])
    console.print(table)


def write_json(results: Results, path: Path) -> None:
    """Write everything as JSON; times in milliseconds where the name says nothing else."""
    document: dict[str, Any] = {
        "server": results.server,
        "note": results.note,
        "loadAverages": results.load,
        "stolenSeconds": results.stolen,
        "idle": None,
        "mass": {
            name: {
                "count": mass.count,
                "effectSeconds": round(mass.seconds, 3),
                "effectsPerSecond": round(mass.per_second, 1),
                "endSeconds": round(mass.end_seconds, 3),
                "effectMs": mass.effect.wire(),
            }
            for name, mass in results.mass.items()
        },
        "jobs": None,
        "family": None,
        "orders": None,
        "freeze": None,
        "nodes": None,
        "crowd": None,
        "startup": None,
        "gateway": None,
        "meter": None,
        "reporting": None,
        "tethers": None,
        "scale": [
            {
                "tasks": each.count,
                "readySeconds": round(each.ready_seconds, 2),
                "cpuSecondsUntilReady": round(each.cpu_seconds, 2),
                "residentMiB": round(each.resident_mib, 1),
                "peakMiB": round(each.peak_mib, 1),
                "effectMs": each.effect.wire(),
                "endMs": each.end.wire(),
                "rawEffectMs": each.raw.wire(),
            }
            for each in results.scale
        ],
        "targets": [asdict(target) for target in targets(results)],
    }
    if results.idle is not None:
        document["idle"] = {"effectMs": _wire(results.idle.effect), "endMs": _wire(results.idle.end)}
    if results.jobs is not None:
        document["jobs"] = {
            "nodes": results.jobs.nodes,
            "effectMs": _wire(results.jobs.effect),
            "goneMs": _wire(results.jobs.gone),
            "endMs": _wire(results.jobs.end),
        }
    if results.family is not None:
        document["family"] = {
            "tasks": results.family.count,
            "effectMs": _wire(results.family.effect),
            "endMs": _wire(results.family.end),
        }
    if results.orders is not None:
        document["orders"] = {
            "tasks": results.orders.count,
            "namespaces": results.orders.namespaces,
            "signalMs": _wire(results.orders.signal),
            "haltMs": results.orders.halt.wire(),
            "arrivedPerSecond": round(results.orders.arrived_per_second, 1),
            "operatorShareOfProcessor": round(results.orders.operator_share, 2),
        }
    if results.crowd is not None:
        document["crowd"] = {
            "tasks": results.crowd.count,
            "signalSeconds": round(results.crowd.seconds, 3),
            "quietEffectMs": _wire(results.crowd.quiet),
            "busyEffectMs": _wire(results.crowd.busy),
            "p99BusyToQuiet": {
                name: round(each.p99_ms / results.crowd.quiet[name].p99_ms, 2)
                for name, each in results.crowd.busy.items()
            },
        }
    if results.freeze is not None:
        document["freeze"] = {
            "agents": results.freeze.count,
            "lastMs": _wire(results.freeze.last),
            "saidMs": results.freeze.said.wire(),
        }
    if results.nodes is not None:
        document["nodes"] = {
            "effectMs": _wire(results.nodes.effect),
            "endMs": _wire(results.nodes.end),
            "massPerSecond": {
                name: [round(each.per_second, 1) for each in rounds] for name, rounds in results.nodes.mass.items()
            },
            "readySeconds": {name: round(each, 2) for name, each in results.nodes.ready_seconds.items()},
            "residentMiB": {name: round(each, 1) for name, each in results.nodes.resident_mib.items()},
            "nodesAsked": results.nodes.controls,
        }
    if results.startup is not None:
        document["startup"] = {
            "p50Seconds": {name: round(each.percentile(0.5), 4) for name, each in results.startup.seconds.items()},
            "ms": _wire(results.startup.seconds),
        }
    if results.gateway is not None:
        found = results.gateway
        document["gateway"] = {
            "answerMs": _wire(found.single),
            "count": found.count,
            "inFlight": found.in_flight,
            "stopsPerSecond": {name: [round(one, 1) for one in each] for name, each in found.per_second.items()},
            "streams": found.streams,
            "residentMiB": round(found.without_streams_mib, 1),
            "residentMiBWithStreams": round(found.with_streams_mib, 1),
            "tasks": found.tasks,
            "readySeconds": round(found.ready_seconds, 2),
            "residentMiBWithTasks": round(found.resident_mib, 1),
        }
    if results.meter is not None:
        document["meter"] = {
            "tasks": results.meter.tasks,
            "spansInOne": results.meter.spans,
            "sentPerSecond": results.meter.per_second,
            "paced": _taking(results.meter.paced),
            "flood": _taking(results.meter.flood),
        }
    if results.reporting is not None:
        document["reporting"] = {
            "tasks": results.reporting.count,
            "everySeconds": results.reporting.every_seconds,
            "effectMs": _wire(results.reporting.effect),
            "rounds": {
                name: [
                    {
                        "perSecond": round(each.per_second, 1),
                        "answerMs": each.answer.wire(),
                        "apiServerShareOfProcessor": each.server_share,
                        "operatorShareOfProcessor": round(each.operator_share, 3),
                    }
                    for each in rounds
                ]
                for name, rounds in results.reporting.rounds.items()
            },
        }
    if results.tethers is not None:
        tied = results.tethers
        document["tethers"] = {
            "tasks": tied.count,
            "leaseSeconds": tied.duration,
            "readsPerRenewal": tied.reads_per_renewal,
            "readsPerLeaseTime": tied.reads_per_duration,
            "operatorShareOfProcessor": round(tied.operator_share, 3),
            "lateMs": tied.late.wire(),
        }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def write_plot(results: Results, path: Path) -> None:
    """Draw the latency of a stop against the number of running tasks."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 5))
    counts = [each.count for each in results.scale]
    lines: dict[str, list[Latencies]] = {
        "agentstop": [each.effect for each in results.scale],
        "agentstop, until Stopped": [each.end for each in results.scale],
        RAW: [each.raw for each in results.scale],
    }
    for number, (name, latencies) in enumerate(lines.items()):
        colour = f"C{number}"
        axes.plot(counts, [each.p50_ms for each in latencies], color=colour, marker="o", label=f"{name}, p50")
        axes.plot(
            counts, [each.p99_ms for each in latencies], color=colour, marker="^", linestyle="--", label=f"{name}, p99"
        )
    if results.idle is not None and JOBS in results.idle.effect:
        theirs = results.idle.effect[JOBS]
        count = len(theirs.seconds)
        axes.plot([count], [theirs.p50_ms], color="C3", marker="o", linestyle="", label=f"{JOBS}, p50")
        axes.plot([count], [theirs.p99_ms], color="C3", marker="^", linestyle="", label=f"{JOBS}, p99")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="running tasks (one pod each)",
        ylabel="milliseconds from the patch to the accepted effect",
        title=f"Latency of a stop, on {results.server}",
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def missed(results: Results) -> list[Target]:
    """Return the targets that were measured and missed."""
    return [target for target in targets(results) if target.met is False]


def _gateway_table(found: Gateway) -> Table:
    title = f"Gateway: {found.count} stops, {found.in_flight} in flight"
    table = Table("", "stops per second, by rounds", title=title, title_justify="left")
    for name, each in sorted(found.per_second.items()):
        table.add_row(name, ", ".join(f"{one:.0f}" for one in each))
    table.add_row(
        "memory", f"{found.without_streams_mib:.0f} MiB, with {found.streams} streams {found.with_streams_mib:.0f} MiB"
    )
    table.add_row(
        f"beside {found.tasks} tasks", f"ready in {found.ready_seconds:.1f} s, memory {found.resident_mib:.0f} MiB"
    )
    return table


def _meter_table(found: Meter) -> Table:
    title = f"Meter: spans of {found.tasks} tasks, {found.spans} in one request"
    table = Table("", title=title, title_justify="left")
    columns = ("taken a second", "refused", "answer p50 ms", "p99 ms", "gateway, share", "memory before, MiB", "most")
    for column in columns:
        table.add_column(column, justify="right")
    for name, each in ((f"{found.per_second} sent a second", found.paced), ("without a pause", found.flood)):
        table.add_row(
            name,
            f"{each.taken_per_second:.0f}",
            f"{each.refused_per_second:.0f}",
            f"{each.answer.p50_ms:.1f}",
            f"{each.answer.p99_ms:.1f}",
            f"{each.gateway_share:.2f}",
            f"{each.before_mib:.0f}",
            f"{each.peak_mib:.0f}",
        )
    return table


def _nodes_table(found: Nodes) -> Table:
    title = f"The same operators; nodes were asked {found.controls} times"
    table = Table("", title=title, title_justify="left")
    for column in ("mass stop, per second by rounds", "all over, s", "ready s", "resident MiB"):
        table.add_column(column, justify="right")
    for name, rounds in sorted(found.mass.items()):
        table.add_row(
            name,
            ", ".join(f"{each.per_second:.0f}" for each in rounds),
            ", ".join(f"{each.end_seconds:.1f}" for each in rounds),
            f"{found.ready_seconds[name]:.1f}",
            f"{found.resident_mib[name]:.0f}",
        )
    return table


def _load_table(found: Reporting) -> Table:
    title = f"{found.count} tasks that report every {found.every_seconds:g} s, and as many Leases: by rounds"
    table = Table("", title=title, title_justify="left")
    for column in ("a second", "answer p50 ms", "p99 ms", "API server, ms of processor for each", "operator, share"):
        table.add_column(column, justify="right")
    for name, rounds in sorted(found.rounds.items()):
        table.add_row(
            name,
            ", ".join(f"{each.per_second:.0f}" for each in rounds),
            ", ".join(f"{each.answer.p50_ms:.1f}" for each in rounds),
            ", ".join(f"{each.answer.p99_ms:.1f}" for each in rounds),
            ", ".join("-" if each.server_ms is None else f"{each.server_ms:.2f}" for each in rounds),
            ", ".join(f"{each.operator_share:.2f}" for each in rounds),
        )
    return table


def _tethers_table(found: Tethers) -> Table:
    title = f"{found.count} tethered tasks, each to a Lease of {found.duration} s"
    table = Table("", "", title=title, title_justify="left")
    for what, reads in (
        ("reads for each renewal", found.reads_per_renewal),
        ("reads of each Lease in its time", found.reads_per_duration),
    ):
        table.add_row(what, "-" if reads is None else f"{reads:.2f}")
    table.add_row("operator, share of a processor", f"{found.operator_share:.2f}")
    table.add_row(
        f"{len(found.late.seconds)} that run out, until the effect, p50", f"{found.late.percentile(0.5):.1f} s late"
    )
    table.add_row("the same, p99", f"{found.late.percentile(0.99):.1f} s late")
    return table


def _taking(found: Taking) -> dict[str, Any]:
    return {
        "takenPerSecond": round(found.taken_per_second),
        "refusedPerSecond": round(found.refused_per_second),
        "answerMs": found.answer.wire(),
        "gatewayShareOfProcessor": round(found.gateway_share, 2),
        "residentMiBBefore": round(found.before_mib, 1),
        "peakMiB": round(found.peak_mib, 1),
    }


def _wire(latencies: ByContender) -> dict[str, Any]:
    return {name: each.wire() for name, each in latencies.items()}


def _table(latencies: ByContender, title: str, beside: Mapping[str, str]) -> Table:
    """Return a table with the ratios to some of the contenders, given as heading and name."""
    table = Table("", title=title, title_justify="left")
    there = {heading: latencies[name] for heading, name in beside.items() if name in latencies}
    ratios = [f"{share} / {heading}" for heading in there for share in ("p50", "p99")]
    for column in ("stops", "p50 ms", "p99 ms", "max ms", *ratios):
        table.add_column(column, justify="right")
    for name, each in sorted(latencies.items()):
        table.add_row(
            name,
            str(len(each.seconds)),
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
            f"{max(each.seconds) * 1000:.1f}",
            *(
                f"{ours / theirs:.2f}"
                for other in there.values()
                for ours, theirs in ((each.p50_ms, other.p50_ms), (each.p99_ms, other.p99_ms))
            ),
        )
    return table


def _mass_table(results: Results) -> Table:
    table = Table("", title="Mass stop: first patch sent until the last effect is accepted", title_justify="left")
    for column in ("stops", "s", "per second", "p50 ms", "p99 ms", "all over, s", "rate / Jobs", "rate / raw"):
        table.add_column(column, justify="right")
    theirs, raw = results.mass.get(JOBS), results.mass.get(RAW)
    for name, each in results.mass.items():
        table.add_row(
            name,
            str(each.count),
            f"{each.seconds:.2f}",
            f"{each.per_second:.0f}",
            f"{each.effect.p50_ms:.0f}",
            f"{each.effect.p99_ms:.0f}",
            f"{each.end_seconds:.2f}",
            f"{each.per_second / theirs.per_second:.2f}" if theirs else "-",
            f"{each.per_second / raw.per_second:.2f}" if raw else "-",
        )
    return table


def _scale_table(results: Results) -> Table:
    table = Table(title="An operator started beside running tasks", title_justify="left")
    columns = ("tasks", "ready s", "CPU s", "resident MiB", "peak MiB", "effect p50 ms", "p99 ms", "Stopped p50 ms")
    for column in (*columns, "p99 ms", "raw p50 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for each in results.scale:
        table.add_row(
            str(each.count),
            f"{each.ready_seconds:.1f}",
            f"{each.cpu_seconds:.1f}",
            f"{each.resident_mib:.0f}",
            f"{each.peak_mib:.0f}",
            *(f"{ms:.1f}" for some in (each.effect, each.end, each.raw) for ms in (some.p50_ms, some.p99_ms)),
        )
    return table
