"""`make histories`: walk histories that nobody has walked yet, until time is up, and print which break a rule."""

import argparse
import logging
import os
import secrets
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import cycle
from typing import Final

from .actors import Actors
from .families import FamilyActors
from .freezers import FREEZERS
from .job_actors import JobActors
from .pausers import PausingActors
from .reported_jobs import JOBS
from .reported_pods import PODS
from .spenders import SpendingActors
from .walks import walk

KINDS: Final = {
    each.__name__: each
    for each in (Actors, FamilyActors, JobActors, PausingActors, SpendingActors, *FREEZERS, *JOBS, *PODS)
}
SEEDS: Final = 2**32
BATCH: Final = 10
"""So many histories are walked before the next kind is."""


def _broken(kind: str, seed: int) -> str | None:
    """Return which rule a history breaks."""
    try:
        walk(KINDS[kind], seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return None


def _batch(kind: str) -> list[tuple[str, int, str]]:
    logging.disable(logging.CRITICAL)
    seeds = [secrets.randbelow(SEEDS) for _ in range(BATCH)]
    return [(kind, seed, broken) for seed in seeds if (broken := _broken(kind, seed)) is not None]


def search(kinds: list[str], seconds: float) -> int:
    """Walk for so many seconds on all processors; return how many histories broke a rule."""
    walked = failed = 0
    turn, ends, running = cycle(kinds), time.monotonic() + seconds, set[Future[list[tuple[str, int, str]]]]()
    processors = os.cpu_count() or 1
    with ProcessPoolExecutor(processors) as pool:
        while running or time.monotonic() < ends:
            while len(running) < processors and time.monotonic() < ends:
                running.add(pool.submit(_batch, next(turn)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                walked += BATCH
                for kind, seed, broken in each.result():
                    failed += 1
                    print(f'{broken}\n  again: make histories ARGS="--of {kind} --seed {seed}"', flush=True)
    print(f"{walked} histories, {failed} failed")
    return failed


def main() -> int:
    """Parse the command line and walk."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.lifecycle.world", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: %(default)s)")
    parser.add_argument("--of", choices=KINDS, action="append", metavar="NAME", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, help="walk this one of a kind again, with the log and where it breaks")
    options = parser.parse_args()
    if options.seed is None:
        return 1 if search(options.of or list(KINDS), options.seconds) else 0
    if len(options.of or ()) != 1:
        parser.error("--seed belongs to one kind: say which with --of NAME")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    walk(KINDS[options.of[0]], options.seed)
    print("no rule is broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
