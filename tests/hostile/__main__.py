"""`make hostile`: one attacker after another, each with its own seed, until time is up or something gives way."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile import place
from tests.hostile.actions import WEIGHTS
from tests.hostile.battle import Battle
from tests.support.operators import Operators

ROUND_SECONDS = 60.0
"""How long one attacker fights; short enough that what it did can be done again."""


async def fight(options: argparse.Namespace) -> int:
    """Run rounds on one cluster; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    seed = options.seed
    print(f"logs are in {folder}")
    async with place.cluster(folder) as cluster:
        operators = Operators(cluster)
        ends = time.monotonic() + options.seconds
        try:
            while (left := ends - time.monotonic()) > 1:
                async with place.attacker(cluster) as (kube, namespace):
                    log = folder / f"actions-{seed}.log"
                    battle = Battle(
                        cluster, operators, kube, namespace, seed, dict(options.weight), tuple(options.only), log
                    )
                    await battle.fight(min(left, ROUND_SECONDS))
                    await battle.end()
                print(
                    f"seed {seed}: {battle.stops} stops of others, {battle.measured} measured, all in time", flush=True
                )
                seed += 1
        except AssertionError as error:
            print(f"FAILED on {cluster.name}\n{error}", file=sys.stderr)
            return 1
        finally:
            await operators.end()
    return 0


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    if name not in WEIGHTS:
        raise argparse.ArgumentTypeError(f"{name!r} has no weight; these have: {', '.join(WEIGHTS)}")
    return name, float(number)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: a random one")
    parser.add_argument(
        "--weight", type=_weight, action="append", default=[], metavar="NAME=NUMBER", help="how often; 0 is never"
    )
    parser.add_argument(
        "--only", type=int, nargs="+", default=[], metavar="NUMBER", help="do these actions of the seed again"
    )
    return asyncio.run(fight(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
