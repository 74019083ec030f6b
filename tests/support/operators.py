"""The operator under test, as the process that a user would run."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tests.support.clusters import Cluster
from tests.support.programs import Program, free_port
from tests.support.waiting import PATIENCE, until

MODULE = "agentstop.cli.main"

_NAMESPACE = re.compile(r"\bt-[0-9a-f]{8}\b")
"""How the namespaces of tests that share an operator are called."""


class Operator:
    """One `agentstop run`."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port

    @classmethod
    async def start(
        cls,
        cluster: Cluster,
        namespaces: Sequence[str] = (),
        *,
        kubeconfig: Path | None = None,
        wait: bool = True,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
        trust: bool = True,
    ) -> "Operator":
        """Start an operator; no namespaces are all. Waits until it is ready, unless told not to.

        `command` is a program that takes the place of the console script.
        """
        port = free_port()
        arguments = ["run", "--health-port", str(port), "--metrics-port", str(port), *options]
        if trust:
            # Whoever the tests say asked for a stop did: they stand in for the policies that stamp it.
            arguments.append("--trust-requested-by")
        for namespace in namespaces:
            arguments += ["-n", namespace]
        log = cluster.folder / f"operator-{secrets.token_hex(4)}.log"
        environment = {"KUBECONFIG": str(kubeconfig or cluster.operator_kubeconfig or cluster.kubeconfig)}
        if command is None:
            program = await Program.fork(MODULE, arguments, log, environment)
        else:
            program = await Program.start([*command, *arguments], log, environment)
        operator = cls(program, port)
        if wait:
            await operator.ready()
        return operator

    async def ready(self, seconds: float = PATIENCE) -> None:
        """Wait until it says that it is ready."""

        async def says_so() -> bool:
            return await self.listens() and await self.probe("/readyz") == 200

        await until(says_so, seconds, "operator ready")

    async def listens(self) -> bool:
        """Whether it has come so far that it listens; raises AssertionError if it ended instead."""
        if not self.program.running:
            raise AssertionError(f"the operator ended: {self.program.text()[-3000:]}")
        return await self.probe("/healthz") != 0

    async def get(self, path: str) -> tuple[int, str]:
        """Return the status and text of one of its pages; 0 where it does not listen."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def number(self, series: str) -> float:
        """Return a number of its metrics, by name and labels as they are exposed; 0 where nothing has been counted yet.

        Others count too, where they share the operator: compare with what it was before.
        """
        _, text = await self.get("/metrics")
        assert series.partition("{")[0] in text, f"there is no metric {series}"
        lines = text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{series} ")), 0.0)

    async def leads(self) -> bool:
        """Whether it says that it acts."""
        return "\nagentstop_leader 1.0" in (await self.get("/metrics"))[1]

    async def probe(self, path: str) -> int:
        """Return the status of one of its pages."""
        return (await self.get(path))[0]

    def mistakes(self, since: int = 0, namespace: str | None = None) -> list[str]:
        """Return lines of its log, from an offset on, that tell of a mistake in the program.

        With a namespace, those are left out that name the namespaces of other tests alone.
        """
        text = self.program.text()[since:]
        lines = [line for line in text.splitlines() if "Traceback" in line or " ERROR " in line]
        return [line for line in lines if namespace is None or _may_be_about(namespace, line)]


def _may_be_about(namespace: str, line: str) -> bool:
    named = _NAMESPACE.findall(line)
    return not named or namespace in named


class Operators:
    """The operators of one cluster: one that serves all of it, kept running, or private ones in its place.

    Where the processes of a run share the cluster, one of them alone cannot end the operator that serves all of it.
    """

    def __init__(self, cluster: Cluster, everybodys: Operator | None = None) -> None:
        self._cluster = cluster
        self._everybodys = everybodys
        self._shared: Operator | None = None
        self._private: list[Operator] = []

    async def serve(self, namespace: str) -> Operator:
        """Return an operator that serves a namespace: the shared one, where nobody else uses the cluster."""
        if self._cluster.shares_namespaces:
            return await self.start(namespace)
        if self._everybodys is not None:
            assert self._everybodys.program.check()
            return self._everybodys
        if self._shared is None or not self._shared.program.running:
            self._shared = await Operator.start(self._cluster)
        return self._shared

    async def start(
        self,
        namespace: str,
        *,
        kubeconfig: Path | None = None,
        wait: bool = True,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
    ) -> Operator:
        """Start a private operator for one namespace, the shared one having been ended."""
        await self.end_shared()
        operator = await Operator.start(
            self._cluster, [namespace], kubeconfig=kubeconfig, wait=wait, command=command, options=options
        )
        self._private.append(operator)
        return operator

    async def end_shared(self) -> None:
        """End the operator that serves everything, so that it meddles with nothing."""
        assert self._everybodys is None, "all processes of the run use this operator: mark the test `exclusive`"
        if self._shared is not None:
            await self._shared.program.end()
            self._shared = None

    async def restart(self, *, seconds: float = PATIENCE) -> Operator:
        """Kill the operator that serves everything, as a crash would, and start it anew; it has so long to be ready."""
        assert self._everybodys is None, "all processes of the run use this operator: mark the test `exclusive`"
        if self._shared is not None:
            await self._shared.program.kill()
        self._shared = await Operator.start(self._cluster, wait=False)
        await self._shared.ready(seconds)
        return self._shared

    async def end_private(self) -> list[Operator]:
        """End all private operators, and return them."""
        ended, self._private = self._private, []
        for operator in ended:
            await operator.program.end()
        return ended

    def logs(self) -> dict[str, str]:
        """Return what the operators wrote that run at this moment, by the name of the file."""
        running = [*self._private, *filter(None, [self._shared, self._everybodys])]
        return {each.program.log.name: each.program.text() for each in running}

    async def end(self) -> None:
        """End all that this process has started."""
        await self.end_private()
        if self._everybodys is None:
            await self.end_shared()
