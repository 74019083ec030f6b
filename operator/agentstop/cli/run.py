"""`agentstop run`: the operator."""

import argparse
import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentstop.cli.errors import UserError
from agentstop.cli.logs import set_up_logs
from agentstop.cli.options import add_logs, add_namespaces, add_probes
from agentstop.lifecycle.decision import Limits

if TYPE_CHECKING:
    from agentstop.cluster.election import LeaderElectionConfig

POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

MAX_GRACE: Final = 31_536_000
"""One year, in seconds."""

MIN_LEASE: Final = 3
MAX_LEASE: Final = 300
"""Bounds of the time of the Lease in seconds: below, one slow request loses it; above, nobody would act for long."""

MAX_TTL: Final = 31_536_000
"""One year, in seconds: the most that a task's own ttlSecondsAfterFinished may say."""


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "run",
        help=about,
        description="Runs the operator against KUBECONFIG, the default kubeconfig, or the pod's service account.",
    )
    add_namespaces(parser)
    add_probes(parser)
    parser.add_argument(
        "--leader-elect", action="store_true", help="act only while this replica holds a Lease, for several replicas"
    )
    parser.add_argument(
        "--leader-elect-resource-name", default="agentstop", metavar="NAME", help="name of the Lease (%(default)s)"
    )
    parser.add_argument(
        "--leader-elect-resource-namespace", metavar="NAME", help="namespace of the Lease; default the pod's own"
    )
    parser.add_argument(
        "--leader-elect-lease-duration",
        type=_lease_duration,
        default=15,
        metavar="SECONDS",
        help="time after which another replica acts if the leader shows no sign of life (%(default)s)",
    )
    parser.add_argument(
        "--leader-elect-identity",
        metavar="NAME",
        help="who holds the Lease: of one process at a time; started again under it after a crash, that acts at once"
        " (default: the host's name and something random)",
    )
    parser.add_argument(
        "--trust-requested-by",
        action="store_true",
        help="write down who asked for a stop, as annotations say; only where admission policies stamp and guard these",
    )
    parser.add_argument(
        "--min-ttl-seconds",
        type=_min_ttl,
        default=0,
        metavar="SECONDS",
        help="keep a task that was stopped at least so long, whatever its ttlSecondsAfterFinished says (%(default)s)",
    )
    parser.add_argument(
        "--max-grace-period-seconds",
        type=_grace,
        default=3600,
        metavar="SECONDS",
        help="the most that a workload's own grace period counts for, where a stop does not say how long it may take"
        " (%(default)s)",
    )
    parser.add_argument(
        "--suspend-cronjobs",
        action="store_true",
        help="suspend the CronJob, too, when a person stops one of its Jobs",
    )
    parser.add_argument(
        "--ask-nodes",
        action="store_true",
        help="have the component on a pod's node (agentstop node) kill what its kubelet does not end in time",
    )
    parser.add_argument(
        "--fence",
        metavar="NAME",
        help="keep the Fence of this name, by which an admission policy refuses what tokens of stopped agents write",
    )
    add_logs(parser)
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Run the operator until SIGTERM or SIGINT."""
    # Imported here, so that the other verbs do not wait for kopf and the Kubernetes client.
    from agentstop.cluster.connection import NoConnectionError
    from agentstop.controller.operator import Operator
    from agentstop.controller.options import Options
    from agentstop.controller.probes import PortInUseError

    set_up_logs(json=options.log_format == "json", verbose=options.verbose)
    seat = _seat(options) if options.leader_elect else None

    async def serve() -> None:
        wanted = Options(
            namespaces=tuple(dict.fromkeys(options.namespace)),
            host=options.bind_address,
            health_port=options.health_port,
            metrics_port=options.metrics_port,
            seat=seat,
            trust_requested_by=options.trust_requested_by,
            fence=options.fence,
            limits=Limits(
                max_grace_seconds=options.max_grace_period_seconds,
                min_ttl_seconds=options.min_ttl_seconds,
                suspend_cron_jobs=options.suspend_cronjobs,
                ask_nodes=options.ask_nodes,
            ),
        )
        await Operator(wanted).run()
        logging.getLogger("agentstop").info("ended")
        # All that is ours has come to its end. What kopf has left to cancel it may wait for without us.
        logging.shutdown()
        os._exit(0)

    try:
        asyncio.run(serve())
    except (NoConnectionError, PortInUseError) as error:
        raise UserError(str(error)) from error
    return 0


def _seat(options: argparse.Namespace) -> "LeaderElectionConfig":
    """Return what the replicas compete for. Raises UserError where no namespace is known for it."""
    from agentstop.cluster.election import LeaderElectionConfig, own_identity

    namespace = options.leader_elect_resource_namespace
    if namespace is None:
        try:
            namespace = POD_NAMESPACE.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(
                "--leader-elect outside of a pod needs the Lease's namespace: --leader-elect-resource-namespace NAME"
            ) from error
    return LeaderElectionConfig(
        namespace=namespace,
        name=options.leader_elect_resource_name,
        duration=options.leader_elect_lease_duration,
        identity=options.leader_elect_identity or own_identity(),
    )


def _lease_duration(text: str) -> int:
    if not text.isdigit() or not MIN_LEASE <= int(text) <= MAX_LEASE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {MIN_LEASE} to {MAX_LEASE}")
    return int(text)


def _min_ttl(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_TTL:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_TTL}")
    return int(text)


def _grace(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_GRACE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MAX_GRACE}")
    return int(text)
