"""`make faults`: break one thing after the other, at every place that there is, and print what became of it."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.faults.campaign import UNDISTURBED, Campaign
from tests.faults.lane import Lane, Run
from tests.faults.points import Kind, Point
from tests.faults.scenarios import SCENARIOS
from tests.support import apiserver, clusters

LANES: Final = 3


def _told(run: Run) -> None:
    """Print what went wrong in a run, and how to do it again."""
    if not run.problems:
        print("." if not run.missed else "-", end="", flush=True)
        return
    again = f"--scenario {run.scenario}" + (f" --at {run.point}" if run.point else "")
    where = f" at {run.point}: {run.traffic.struck or 'nothing was struck'}" if run.point else ", undisturbed"
    print(f"\nFAILED {run.scenario}{where}")
    for problem in run.problems:
        print("  " + problem.replace("\n", "\n  "))
    print(f'  again: make faults ARGS="{again}"', flush=True)


def _print_table(campaign: Campaign, seconds: float) -> int:
    """Print what was played; return how many points failed."""
    rows = [row for row in campaign.rows.values() if row.kind != UNDISTURBED or row.failed]
    print(f"\n{'SCENARIO':<16}{'FAULTS':<16}{'POINTS':>8}{'MISSED':>8}{'FAILED':>8}  AT")
    for row in rows:
        at = ", ".join(str(run.point or "-") for run in row.failed)
        print(f"{row.scenario:<16}{row.kind:<16}{len(row.runs):>8}{len(row.missed):>8}{len(row.failed):>8}  {at}")
    missed = [f"{run.scenario} {run.point}" for row in rows for run in row.missed]
    if missed:
        print(f"{len(missed)} struck nothing, as what they name did not come about again: {', '.join(missed)}")
    failed = sum(len(row.failed) for row in rows)
    print(f"in {seconds:.0f} s")
    print(f"{sum(len(row.runs) for row in rows)} points, {failed} failed")
    return failed


async def break_all(options: argparse.Namespace) -> int:
    """Play what was asked for; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"logs are in {folder}", flush=True)
    begun = time.monotonic()
    campaign = Campaign(options.kind or list(Kind), options.at, _told)
    async with AsyncExitStack() as stack:
        lanes = []
        for number in range(options.lanes):
            own = folder / f"lane-{number}"
            own.mkdir()
            make = clusters.playground if options.on == "playground" else clusters.real
            cluster = await stack.enter_async_context(make(own))
            lanes.append(await stack.enter_async_context(Lane.on(cluster)))
        try:
            await campaign.play(options.scenario or list(SCENARIOS), lanes)
        finally:
            failed = _print_table(campaign, time.monotonic() - begun)
    return 1 if failed else 0


def _point(text: str) -> Point:
    try:
        return Point.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--kind", action="append", type=Kind, choices=list(Kind), help="of faults; default: all")
    parser.add_argument(
        "--at", action="append", type=_point, default=[], metavar="POINT", help="only there: 3b, 3-409, pods.2-gone"
    )
    parser.add_argument("--lanes", type=int, default=LANES, help="clusters that are used at once (%(default)s)")
    parser.add_argument("--on", choices=("playground", "apiserver"), default="playground", help="default: %(default)s")
    options = parser.parse_args()
    if options.on == "apiserver" and (reason := apiserver.missing()):
        parser.error(f"--on apiserver: {reason}")
    # Whoever ends this means all that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(break_all(options))
    except KeyboardInterrupt:
        return 130  # the table tells what was played until then


if __name__ == "__main__":
    sys.exit(main())
