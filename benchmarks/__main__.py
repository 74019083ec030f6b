"""`python -m benchmarks`: measures, prints tables, and writes JSON and a plot."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from tests.support.kube import KubeError

from agentstop.cluster.connection import NoConnectionError
from benchmarks import machine, servers
from benchmarks.api import connect
from benchmarks.contenders import ADOPTED, BARE, JOB, OURS, SHIPPED_JOB, UNADOPTED, run_by_kubelet
from benchmarks.crowd import crowd
from benchmarks.family import family
from benchmarks.freeze import freeze
from benchmarks.gateway import gateway
from benchmarks.idle import idle
from benchmarks.jobs import job_path
from benchmarks.marks import TooSlowError
from benchmarks.mass import mass_stop
from benchmarks.meter import meter
from benchmarks.nodes import with_nodes
from benchmarks.operator_process import OperatorFailedError
from benchmarks.orders import NAMESPACES, WrongError, orders
from benchmarks.report import missed, show, write_json, write_plot
from benchmarks.reporting import reporting
from benchmarks.results import Results
from benchmarks.scale import scale
from benchmarks.stage import Stage, install_crds, stage
from benchmarks.startup import StartFailedError, startup
from benchmarks.tethers import tethers

PARTS: Final = (
    "idle",
    "mass",
    "jobs",
    "family",
    "orders",
    "freeze",
    "nodes",
    "startup",
    "gateway",
    "meter",
    "reporting",
    "tethers",
    "scale",
)
SMALLEST_SCALE: Final = 50
LINE_WIDTH: Final = 140

UNLIMITED: Final = 10_000
"""Requests a second for the Job controller's client, where its limit is not to be what is measured."""

MAX_SHIPPED: Final = 100
"""So many Jobs are enough to see the rate that the Job controller has with its limit: more only take longer."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="measure on this cluster (default: KUBECONFIG, or a playground)"
    )
    where.add_argument(
        "--assets",
        action="store_true",
        help="measure on a kube-apiserver of our own, started from $KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin",
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--idle", type=_count, default=500, metavar="N", help="idle stops of each (%(default)s)")
    parser.add_argument("--tasks", type=_count, default=1000, metavar="N", help="stops of the mass stop (%(default)s)")
    parser.add_argument("--rounds", type=_count, default=3, metavar="N", help="rounds of the mass stop (%(default)s)")
    parser.add_argument("--jobs", type=_count, default=100, metavar="N", help="Jobs stopped each way (%(default)s)")
    parser.add_argument(
        "--image",
        default="busybox:1.36",
        help="image with a shell, for the pods of these Jobs where a cluster's own nodes run them (%(default)s)",
    )
    parser.add_argument(
        "--families", type=_count, default=20, metavar="N", help="families stopped each way (%(default)s)"
    )
    parser.add_argument(
        "--scale",
        type=_count,
        default=10_000,
        metavar="N",
        help="tasks that run when the operator starts (%(default)s)",
    )
    parser.add_argument(
        "--ordered",
        type=_count,
        default=2000,
        metavar="N",
        help=f"tasks in {NAMESPACES} namespaces that an order stops (%(default)s)",
    )
    parser.add_argument(
        "--crowd", type=_count, default=5000, metavar="N", help="tasks stopped during single stops (%(default)s)"
    )
    parser.add_argument(
        "--frozen", type=_count, default=100, metavar="N", help="agents that an order freezes (%(default)s)"
    )
    parser.add_argument(
        "--freezes", type=_count, default=10, metavar="N", help="rounds of freezing them each way (%(default)s)"
    )
    parser.add_argument(
        "--reporting", type=_count, default=1000, metavar="N", help="tasks that report what they spend (%(default)s)"
    )
    parser.add_argument(
        "--tethered", type=_count, default=10_000, metavar="N", help="tasks, each with a tether (%(default)s)"
    )
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--only", action="append", choices=PARTS, default=[], help="measure this part; repeatable")
    some.add_argument("--skip", action="append", choices=PARTS, default=[], help="leave a part out; repeatable")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target that was measured is missed")
    return parser


def main() -> int:
    """Run, and return the exit code."""
    options = build_parser().parse_args()
    console = Console(width=LINE_WIDTH)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with servers.scratch() as folder:
            results = asyncio.run(_run(options, folder, console.log))
    except (
        servers.ServerFailedError,
        NoConnectionError,
        OperatorFailedError,
        KubeError,
        StartFailedError,
        TooSlowError,
        WrongError,
        OSError,
    ) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    show(results, console)
    write_json(results, options.out / "results.json")
    written = [options.out / "results.json"]
    if results.scale:
        write_plot(results, options.out / "latency.png")
        written.append(options.out / "latency.png")
    console.print("Written: " + ", ".join(map(str, written)))
    return 1 if options.check and missed(results) else 0


async def _run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Results:
    async with _server(options, folder) as server:
        return await _measure(options, server, folder, say)


def _server(options: argparse.Namespace, folder: Path) -> AbstractAsyncContextManager[servers.Server]:
    if options.assets:
        return servers.assets(folder)
    kubeconfig = options.kubeconfig or os.environ.get("KUBECONFIG")
    if kubeconfig and not Path(kubeconfig).exists():
        raise servers.ServerFailedError(f"there is no kubeconfig at {kubeconfig}")
    return servers.given(Path(kubeconfig)) if kubeconfig else servers.playground(folder)


async def _measure(
    options: argparse.Namespace, server: servers.Server, folder: Path, say: Callable[[str], None]
) -> Results:
    results = Results(server.name, server.note)
    parts = set(options.only or PARTS) - set(options.skip)
    contenders = [OURS, BARE] if server.jobs is servers.Jobs.NONE else [OURS, JOB, BARE]
    log = folder / "operator.log"
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await connect())
        await install_crds(api)

        @asynccontextmanager
        async def part(namespaces: int = 1) -> AsyncIterator[Stage]:
            with machine.noted(results):
                async with stage(api, clean_up=not server.throwaway, namespaces=namespaces) as place:
                    yield place

        async with server.job_controller(UNLIMITED):
            if "idle" in parts:
                async with part() as place:
                    results.idle = await idle(place, contenders, options.idle, log, say)
            if "mass" in parts:
                async with part() as place:
                    results.mass = await mass_stop(place, contenders, options.tasks, options.rounds, log, say)
            if "jobs" in parts and server.jobs is not servers.Jobs.NONE:
                pair = (ADOPTED, UNADOPTED) if server.throwaway else run_by_kubelet(options.image)
                nodes = "a simulated node" if server.throwaway else f"the cluster's nodes, with {options.image}"
                async with part() as place:
                    results.jobs = await job_path(place, pair, options.jobs, nodes, log, say)
            if "family" in parts:
                async with part() as place:
                    results.family = await family(place, options.families, log, say)
        if "mass" in parts and server.jobs is servers.Jobs.OURS:
            async with server.job_controller(None), part() as place:
                count = min(options.tasks, MAX_SHIPPED)
                results.mass |= await mass_stop(place, [SHIPPED_JOB], count, 1, log, say)
        if "orders" in parts and server.throwaway:
            # The operator serves all namespaces here, which on somebody's cluster would be those of others, too.
            async with part(NAMESPACES) as place:
                results.orders = await orders(place, options.ordered, options.rounds, log, say)
            async with part() as place:
                results.crowd = await crowd(place, options.crowd, options.idle, log, say)
        if "freeze" in parts:
            async with part() as place:
                results.freeze = await freeze(place, options.frozen, options.freezes, log, say)
        if "nodes" in parts:
            async with part(2) as place:
                results.nodes = await with_nodes(place, options.idle, options.tasks, options.rounds, log, say)
        if "startup" in parts:
            with machine.noted(results):
                results.startup = await startup(folder, say)
        if "gateway" in parts:
            async with part() as place:
                results.gateway = await gateway(
                    place, options.idle, options.tasks, options.rounds, options.scale, log, say
                )
        if "meter" in parts:
            async with part() as place:
                results.meter = await meter(place, log, say)
        if "reporting" in parts:
            async with part() as place:
                results.reporting = await reporting(place, options.reporting, options.idle, options.rounds, log, say)
        if "tethers" in parts:
            async with part() as place:
                results.tethers = await tethers(place, options.tethered, options.idle, log, say)
        if "scale" in parts:
            counts = sorted({max(SMALLEST_SCALE, options.scale // share) for share in (100, 10, 3, 1)})
            async with part() as place:
                results.scale = await scale(place, counts, options.idle, log, say)
    return results


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
