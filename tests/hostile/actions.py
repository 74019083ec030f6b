"""What the attacker does: requests, each made from a seed and a number alone, so that any of them can be done again."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import aiohttp

from tests.hostile import values
from tests.hostile.objects import NAMES, WORKLOADS, Namespaced, pod_spec_of, twists
from tests.support import agents
from tests.support.kube import (
    APPLY,
    DEPLOYMENTS,
    JSON_PATCH,
    MERGE,
    PODS,
    STATEFUL_SETS,
    TASKS,
    Kind,
    Kube,
    Object,
)

WEIGHTS: Final[Mapping[str, float]] = {
    # What is wrong with an object.
    "depth": 2,
    "size": 2,
    "numbers": 2,
    "times": 1,
    "unicode": 1,
    "fields": 2,
    "labels": 2,
    "owners": 1,
    "finalizers": 1,
    "status": 1,
    "stops": 2,
    "families": 2,
    # What is done with it.
    "create": 10,
    "merge": 8,
    "apply": 3,
    "put": 3,
    "json": 2,
    "delete": 4,
    "orphan": 1,
    "clear": 0.3,
    "evict": 1,
    "scale": 1,
    "subresource": 1,
    "crowd": 0.3,
    "storm": 0.5,
    "fill": 0.7,
    "watch": 0.5,
}
"""How often something is chosen, relative to others of its sort; --weight NAME=NUMBER changes one."""

KIND_WEIGHTS: Final = {TASKS: 6, PODS: 4}
"""Of those kinds that are written more often than others."""

SINGLE: Final = ("create", "merge", "apply", "put", "json", "delete", "clear", "evict", "scale", "subresource")
DOINGS: Final = (*SINGLE, "crowd", "storm", "fill", "watch")

OPENING: Final = 25
"""So many first actions make something: to what is not there nothing can be done."""

CROWD: Final = 120
STORM: Final = 40
AT_ONCE: Final = 10
WATCHES: Final = 8

FILLINGS: Final = (900_000, 300_000, 100_000, 30_000, 10_000, 3_000, 1_000)
"""In bytes, each tried twice."""

REQUEST_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """Something that the attacker does, and in a few words what it is."""

    number: int
    words: str
    run: Callable[[Kube], Coroutine[Any, Any, str]]
    """Does it; returns how it went."""


class Attacker:
    """Thinks of actions in one namespace."""

    def __init__(self, namespace: str, seed: int, weights: Mapping[str, float] | None = None) -> None:
        self._place = Namespaced(namespace)
        self._namespace = namespace
        self._seed = seed
        self._weights = {**WEIGHTS, **(weights or {})}

    def action(self, number: int) -> Action:
        """Return the action of a number; the same one for the same seed, whatever happened before."""
        rng = Random(f"{self._seed}/{number}")  # noqa: S311 - no secret
        doing = "create" if number < OPENING else self._weighed(rng, DOINGS)
        words, run = getattr(self, f"_{doing}")(rng)
        return Action(number, words, run)

    def _weighed(self, rng: Random, words: tuple[str, ...]) -> str:
        return rng.choices(words, [self._weights[word] for word in words])[0]

    def _chosen(self, rng: Random, *kinds: Kind) -> tuple[Kind, str]:
        among = kinds or tuple(NAMES)
        kind = rng.choices(among, [KIND_WEIGHTS.get(each, 1) for each in among])[0]
        return kind, rng.choice(NAMES[kind])

    def _twisted(self, rng: Random, kind: Kind, item: Object) -> str:
        """Make an object hostile, and return how."""
        possible = twists(kind)
        words = tuple(possible)
        said = []
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            word = self._weighed(rng, words)
            twist = rng.choice(possible[word])
            twist(rng, item)
            said.append(f"{word}:{twist.__name__.lstrip('_')}")
        return " ".join(said) or "plain"

    def _path(self, kind: Kind, name: str = "", subresource: str = "") -> str:
        return kind.path(self._namespace, name, subresource)

    # Single requests

    def _create(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        item = self._place.plain(rng, kind, name)
        how = self._twisted(rng, kind, item)
        return f"create {kind.plural}/{name} {how}", _sending(Request("POST", self._path(kind), values.dumps(item)))

    def _merge(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        change: Object = {}
        how = self._twisted(rng, kind, change)
        request = Request("PATCH", self._path(kind, name), values.dumps(change), MERGE)
        return f"merge {kind.plural}/{name} {how}", _sending(request)

    def _apply(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        item = self._place.plain(rng, kind, name)
        how = self._twisted(rng, kind, item)
        query = {"fieldManager": rng.choice(("git", "agentstop", "m" * 128)), "force": "true"}
        request = Request("PATCH", self._path(kind, name), values.dumps(item), APPLY, query)
        return f"apply {kind.plural}/{name} {how}", _sending(request)

    def _put(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        path, twisting = self._path(kind, name), rng.getrandbits(64)
        tried = self._twisted(Random(twisting), kind, self._place.plain(rng, kind, name))  # noqa: S311 - no secret

        async def run(kube: Kube) -> str:
            code, content = await kube.raw("GET", path, seconds=REQUEST_SECONDS)
            if code != 200:
                return str(code)
            try:
                item = json.loads(content)
                self._twisted(Random(twisting), kind, item)  # noqa: S311 - no secret
                body = values.dumps(item)
            except RecursionError:
                return "too deep to be put"
            return await _send(kube, Request("PUT", path, body))

        return f"put {kind.plural}/{name} {tried}", run

    def _json(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        item = self._place.plain(rng, kind, name)
        how = self._twisted(rng, kind, item)
        operations = [
            {"op": rng.choice(("add", "replace", "remove", "test")), "path": f"/{part}/{field}", "value": value}
            for part in ("metadata", "spec")
            if isinstance(item.get(part), dict)
            for field, value in item[part].items()
            if field != "name"
        ]
        changes = rng.sample(operations, min(len(operations), rng.choice((1, 2))))
        request = Request("PATCH", self._path(kind, name), values.dumps(changes), JSON_PATCH)
        return f"json patch {kind.plural}/{name} {how}", _sending(request)

    def _delete(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng)
        options = {
            "propagationPolicy": self._propagation(rng),
            "gracePeriodSeconds": rng.choice((0, 1, 3600, -1, values.number(rng))),
        }
        some = {each: options[each] for each in rng.sample(sorted(options), rng.randint(0, 2))}
        said = " ".join(f"{field}={value}" for field, value in some.items())
        return f"delete {kind.plural}/{name} {said}", _sending(
            Request("DELETE", self._path(kind, name), values.dumps(some))
        )

    def _propagation(self, rng: Random) -> str:
        policies = ("Background", "Foreground", "Orphan")
        return rng.choices(policies, (1, 1, self._weights["orphan"]))[0]

    def _clear(self, rng: Random) -> "Doing":
        kind, _ = self._chosen(rng)
        policy = self._propagation(rng)
        request = Request("DELETE", self._path(kind), values.dumps({"propagationPolicy": policy}))
        return f"delete all {kind.plural} {policy}", _sending(request)

    def _evict(self, rng: Random) -> "Doing":
        name = rng.choice(NAMES[PODS])
        options = {"gracePeriodSeconds": rng.choice((0, 1, 3600, values.number(rng)))}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}
        request = Request("POST", self._path(PODS, name, "eviction"), values.dumps(body))
        return f"evict {name} {options}", _sending(request)

    def _scale(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng, DEPLOYMENTS, STATEFUL_SETS)
        replicas = rng.choice((0, 1, 2, 3, -1))
        body = values.dumps({"spec": {"replicas": replicas}})
        return f"scale {name} to {replicas}", _sending(Request("PATCH", self._path(kind, name, "scale"), body, MERGE))

    def _subresource(self, rng: Random) -> "Doing":
        kind = rng.choice((PODS, TASKS))
        name = rng.choice(NAMES[kind])
        change: Object = {}
        how = self._twisted(rng, kind, change)
        if rng.random() < 0.5:
            container = {**agents.container(agents.IDLE, f"e{rng.randint(0, 9)}"), **pod_spec_of(change)}
            change = {"spec": {"ephemeralContainers": [container]}}
            part = "ephemeralcontainers"
        else:
            change.setdefault("status", {"phase": "Succeeded", "message": values.long_text(rng)})
            part = rng.choice(("status", "binding", "resize"))
        request = Request("PATCH", self._path(kind, name, part), values.dumps(change), MERGE)
        return f"merge {kind.plural}/{name}/{part} {how}", _sending(request)

    # Many requests

    def _crowd(self, rng: Random) -> "Doing":
        kind, _ = self._chosen(rng, TASKS, PODS)
        item = self._place.plain(rng, kind, "")
        how = self._twisted(rng, kind, item)
        item["metadata"] = {**item["metadata"], "generateName": "crowd-"}
        item["metadata"].pop("name", None)
        # None of them is to run on this machine.
        pod_spec_of(item)["schedulerName"] = "nobody"
        body = values.dumps(item)
        many = min(CROWD, 20_000_000 // len(body))
        return f"create {many} {kind.plural} {how}", _sending_many([Request("POST", self._path(kind), body)] * many)

    def _storm(self, rng: Random) -> "Doing":
        kind, name = self._chosen(rng, TASKS, PODS, *WORKLOADS)
        path = self._path(kind, name)
        bodies = [values.dumps({"metadata": {"annotations": {"example.com/n": str(each)}}}) for each in range(STORM)]
        return f"storm {kind.plural}/{name}", _sending_many([Request("PATCH", path, each, MERGE) for each in bodies])

    def _fill(self, rng: Random) -> "Doing":
        """Pad an object, the first that is there, until the store takes no more of it, to the last kilobyte."""
        kind, _ = self._chosen(rng, TASKS, PODS, *WORKLOADS)
        paths = [self._path(kind, name) for name in rng.sample(NAMES[kind], len(NAMES[kind]))]

        def padding(size: int, apart: int) -> bytes:
            return values.dumps({"metadata": {"labels": values.padding(size, str(apart))}})

        async def run(kube: Kube) -> str:
            filled = 0
            for path in paths:
                for size in (size for size in FILLINGS for _ in range(2)):
                    went = await _send(kube, Request("PATCH", path, padding(size, filled), MERGE))
                    if went == "404":
                        break
                    filled += size if went == "200" else 0
                if filled:
                    return f"{path.rpartition('/')[2]} {went} {filled} bytes"
            return "nothing there"

        return f"fill {kind.plural}", run

    def _watch(self, rng: Random) -> "Doing":
        kind, _ = self._chosen(rng)
        query = {"watch": "true", "resourceVersion": rng.choice(("0", "1", "")), "timeoutSeconds": "1"}
        return f"watch {kind.plural}", _sending_many([Request("GET", self._path(kind), query=query)] * WATCHES)


Doing = tuple[str, Callable[[Kube], Coroutine[Any, Any, str]]]
"""What it is in words, and what does it."""


def _sending(request: Request) -> Callable[[Kube], Coroutine[Any, Any, str]]:
    async def run(kube: Kube) -> str:
        return await _send(kube, request)

    return run


def _sending_many(requests: list[Request]) -> Callable[[Kube], Coroutine[Any, Any, str]]:
    async def run(kube: Kube) -> str:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(request: Request) -> str:
            async with slots:
                return await _send(kube, request)

        codes = await asyncio.gather(*map(one, requests))
        return " ".join(f"{code}x{codes.count(code)}" for code in sorted(set(codes)))

    return run


async def _send(kube: Kube, request: Request) -> str:
    """Send a request and return the status of its answer, or why there is none."""
    try:
        code, _ = await kube.raw(
            request.method,
            request.path,
            request.body,
            content_type=request.content_type,
            query=request.query,
            seconds=REQUEST_SECONDS,
        )
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__
    return str(code)
