"""What stops cost where the operator may ask the nodes, beside one that asks none: the same, and no node is asked."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support import cgroups
from tests.support.kube import POD_CONTROLS, Kube

from benchmarks.contenders import ASKING, OURS, Contender
from benchmarks.idle import WARM_UP, prepare, take_turns
from benchmarks.kubelet import NODE
from benchmarks.mass import SETTLE_SECONDS, mass_rounds
from benchmarks.operator_process import component, operator
from benchmarks.results import Nodes
from benchmarks.stage import Stage


@dataclass(frozen=True)
class _There(Contender):
    """Tasks in a namespace of their own, which an operator of its own serves."""

    namespace: str = ""

    async def create(self, api: Kube, _namespace: str, name: str) -> None:
        """Create one there."""
        await super().create(api, self.namespace, name)

    async def patch(self, api: Kube, _namespace: str, name: str) -> None:
        """Stop one there."""
        await super().patch(api, self.namespace, name)


async def with_nodes(place: Stage, idle: int, count: int, rounds: int, log: Path, say: Callable[[str], None]) -> Nodes:
    """Measure `idle` single stops and mass stops of `count` tasks of both, in turns; the place has two namespaces."""
    plain, asking = place.namespaces
    pair = [_in(OURS, plain), _in(ASKING, asking)]
    await place.watch()
    async with AsyncExitStack() as stack:
        programs = {
            OURS.name: await stack.enter_async_context(operator(plain, log)),
            ASKING.name: await stack.enter_async_context(
                operator(asking, log.with_name("operator-asking.log"), "--ask-nodes")
            ),
        }
        if (reason := cgroups.missing()) is None:
            root = stack.enter_context(cgroups.real_root())
            await stack.enter_async_context(component(NODE, root, asking, log.with_name("node.log")))
        else:
            say(f"nodes: no component runs, since {reason}")
        say(f"nodes: starting {idle} tasks of each operator")
        names = await prepare(place, pair, "i", idle + WARM_UP)
        await asyncio.sleep(SETTLE_SECONDS)
        await take_turns(place, pair, {name: each[:WARM_UP] for name, each in names.items()})
        say(f"nodes: stopping them one by one, taking turns ({idle * len(pair)} stops)")
        effect, end = await take_turns(place, pair, {name: each[WARM_UP:] for name, each in names.items()})
        mass = await mass_rounds(place, pair, count, rounds, say)
        ready = {name: program.ready_seconds for name, program in programs.items()}
        memory = {name: program.memory_mib() for name, program in programs.items()}
        asked = len((await place.api.call("GET", POD_CONTROLS.path(asking)))["items"])
    return Nodes(effect, end, mass, ready, memory, asked)


def _in(contender: Contender, namespace: str) -> _There:
    fields = {name: getattr(contender, name) for name in ("name", "letter", "collection", "manifest", "stop")}
    return _There(**fields, namespace=namespace)
