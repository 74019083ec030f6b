"""One place for an operator behind a proxy of its own, whichever process has it at the moment."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.proxy import Proxy
from tests.faults.scenarios import PATIENCE
from tests.support.clusters import Cluster
from tests.support.operators import Operator
from tests.support.waiting import until

LEASE_NAMESPACE: Final = "default"
LEASE_SECONDS: Final = 5


class Seat:
    """A proxy, and the operator behind it."""

    proxy: Proxy
    _kubeconfig: Path
    """It leads to the proxy."""
    operator: Operator

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], lease: str, disturbed: asyncio.Event) -> None:
        """`lease` is the name of what its operators compete for, and `disturbed` is set where one is harmed."""
        self._cluster = cluster
        self._namespaces = namespaces
        self._lease = lease
        self._disturbed = disturbed
        self.killed = False
        self.frozen = False
        self.overtakes = False
        """Whether its operator is to take over from the one that leads."""
        self.relieved = asyncio.Event()
        """Set once another operator is at work in the place of one that is frozen."""
        self.thawed = asyncio.Event()
        self.logs: list[Path] = []
        """Of all operators that there ever were."""

    @classmethod
    @asynccontextmanager
    async def on(
        cls, cluster: Cluster, namespaces: Sequence[str], lease: str, disturbed: asyncio.Event
    ) -> AsyncIterator["Seat"]:
        """Set one up, without an operator yet."""
        seat = cls(cluster, namespaces, lease, disturbed)
        async with Proxy.serving(cluster.operator_kubeconfig or cluster.kubeconfig, seat) as served:
            seat.proxy, seat._kubeconfig = served
            yield seat

    async def start(self, *, elects: bool) -> None:
        """Start an operator, which is one of several if it `elects`; returns once it is ready."""
        self.operator = await Operator.start(
            self._cluster,
            self._namespaces,
            kubeconfig=self._kubeconfig,
            wait=False,
            options=self._election if elects else (),
        )
        self.killed = False
        self.logs.append(self.operator.program.log)
        await self.operator.ready(PATIENCE)

    @property
    def _election(self) -> tuple[str, ...]:
        name = ("--leader-elect-resource-name", self._lease, "--leader-elect-resource-namespace", LEASE_NAMESPACE)
        return ("--leader-elect", *name, "--leader-elect-lease-duration", str(LEASE_SECONDS))

    async def leads(self) -> None:
        """Wait until its operator has the lease."""
        await until(self.operator.leads, PATIENCE, "this replica leads")

    # What the proxy has done to the operator

    def kill(self) -> None:
        """Kill the operator at once."""
        self.killed = True
        self.operator.program.signal(signal.SIGKILL)
        self._disturbed.set()

    async def freeze(self) -> None:
        """Freeze the operator; return once another one is at work."""
        self.frozen = True
        self.relieved.clear()
        self.thawed.clear()
        self.operator.program.signal(signal.SIGSTOP)
        self._disturbed.set()
        await self.relieved.wait()

    def thaw(self) -> None:
        """Have it go on."""
        self.operator.program.signal(signal.SIGCONT)
        self.frozen = False
        self.thawed.set()

    def halt(self) -> None:
        """Freeze the operator; it goes on by and by."""
        self.frozen = True
        self.operator.program.signal(signal.SIGSTOP)
        self._disturbed.set()

    def overtake(self) -> None:
        """Have the operator take over from the one that leads."""
        self.overtakes = True
        self._disturbed.set()
