"""`agentstop node`: the component on each node."""

import argparse
import asyncio
import logging
from pathlib import Path
from typing import Any

from agentstop.cli.errors import UserError
from agentstop.cli.logs import set_up_logs
from agentstop.cli.options import add_logs, add_namespaces, add_probes


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "node",
        help=about,
        description="Freezes and thaws pods of its node by their cgroups, kills those that no kubelet ends, and says"
        " what the kernel says of them. It is asked by PodControls, which the operator makes where it runs with"
        " --ask-nodes. It reaches the API server by KUBECONFIG, the default kubeconfig, or the pod's service account.",
    )
    parser.add_argument("--node-name", required=True, metavar="NAME", help="the node that it is on")
    parser.add_argument(
        "--cgroup-root",
        type=Path,
        default=Path("/sys/fs/cgroup"),
        metavar="DIR",
        help="where the cgroups of version 2 are in which the node's pods are (%(default)s)",
    )
    add_namespaces(parser)
    add_probes(parser)
    add_logs(parser)
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Run the component until SIGTERM or SIGINT."""
    from agentstop.client.errors import ConfigError
    from agentstop.controller.probes import PortInUseError
    from agentstop.node.component import Component, Options

    set_up_logs(json=options.log_format == "json", verbose=options.verbose)
    wanted = Options(
        node=options.node_name,
        root=options.cgroup_root,
        namespaces=tuple(dict.fromkeys(options.namespace)),
        host=options.bind_address,
        health_port=options.health_port,
        metrics_port=options.metrics_port,
    )
    try:
        asyncio.run(Component(wanted).run())
    except (ConfigError, PortInUseError) as error:
        raise UserError(str(error)) from error
    logging.getLogger("agentstop").info("ended")
    return 0
