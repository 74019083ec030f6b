"""`agentstop try`: runs a task of its own, stops it, and says how that ended. `helm test` runs it in the cluster."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agentstop.api.task import PLURAL
from agentstop.cli.errors import UserError
from agentstop.cli.in_cluster import MANAGER, PAUSE_SECONDS, api, path
from agentstop.cli.smoke_gateway import Gateway
from agentstop.client.client import Api
from agentstop.client.errors import ApiError
from agentstop.words.tasks import Object, held_up

PROVEN: Final = frozenset({"Graceful", "Killed"})
"""Verdicts of a stop whose proof is an exit code. An agent that has only just started may not hear SIGTERM."""


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "try",
        help=about,
        description="Runs a task, stops it, says how that ended, and removes it. For what `helm test` runs.",
    )
    parser.add_argument("-n", "--namespace", required=True, metavar="NAME", help="where the task is to run")
    parser.add_argument("--task", required=True, type=_object, metavar="JSON", help="the AgentTask, without a name")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="SECONDS", help="for its start, and for its end (%(default)s)"
    )
    parser.add_argument("--gateway", metavar="URL", help="stop it through this gateway, with the same token")
    parser.add_argument(
        "--gateway-certificate",
        type=Path,
        metavar="FILE",
        help="the certificate that the gateway has to show, whatever names are in it; else a trusted one",
    )
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Try a stop. Raises UserError with what it was that did not come about."""
    with api() as client:
        gateway = None
        if options.gateway is not None:
            gateway = Gateway(options.gateway, client.credentials.authorization, options.gateway_certificate)
        body = options.task | {"metadata": {"generateName": "agentstop-try-"}}
        made = client.create(path(PLURAL, options.namespace), body, manager=MANAGER)["metadata"]
        name = made["name"]
        where = path(PLURAL, options.namespace, name)
        try:
            _wait(client, where, "Running", options.timeout, lambda status: status.get("phase") == "Running")
            if gateway is not None:
                gateway.stop(made["uid"], options.timeout)
            else:
                _request_stop(client, where, options.timeout)
            ended = _wait(client, where, "Stopped", options.timeout, lambda status: "finishedAt" in status)
            line = _checked(name, ended)
            if gateway is not None:
                gateway.check_stopped(made["uid"], options.timeout)
            print(f"{line}, through the gateway {options.gateway}" if gateway is not None else line)
        finally:
            client.delete(where)
    return 0


def _request_stop(client: Api, where: str, seconds: float) -> None:
    """Ask for the stop; again where the API server says 503, as it does until its policies know a new definition."""
    until = time.monotonic() + seconds
    while True:
        try:
            client.merge(where, {"spec": {"stopRequested": True}}, manager=MANAGER)
        except ApiError as error:
            if error.code != 503 or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _wait(client: Api, where: str, phase: str, seconds: float, there: Callable[[Object], bool]) -> Object:
    """Return the status as soon as it is as wanted; raises UserError after the time, or if the task ended otherwise."""
    until = time.monotonic() + seconds
    while True:
        task = client.get(where)
        name, status = task["metadata"]["name"], task.get("status") or {}
        if there(status):
            return dict(status)
        if "finishedAt" in status:
            raise UserError(f"task {name} was to be {phase} and is {_state(status)}")
        if time.monotonic() > until:
            raise UserError(f"task {name} is not {phase} after {seconds:g} s: it is {_state(status)}")
        time.sleep(PAUSE_SECONDS)


def _state(status: Object) -> str:
    """Return the phase, and what holds the task up if anything does."""
    if "phase" not in status:
        return "not looked at by any operator; see whether one runs that serves its namespace"
    held = held_up({"status": status})
    reason, message = (held.reason, held.message) if held is not None else (status.get("reason"), status.get("message"))
    return f"{status['phase']} ({reason}: {message})"


def _checked(name: str, status: Object) -> str:
    """Return the line that tells of a stop that went as it should; raises UserError for any other."""
    stop = status.get("stop") or {}
    if status["phase"] != "Stopped" or not status.get("manuallyStopped"):
        raise UserError(f"task {name} was to be Stopped by hand and is {_state(status)}")
    if stop.get("verdict") not in PROVEN:
        raise UserError(f"task {name} was stopped without an exit code as proof: verdict {stop.get('verdict')}")
    return f"task {name} was stopped in {stop.get('durationSeconds', 0):.1f} s, verdict {stop['verdict']}"


def _object(text: str) -> Object:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError("it is not an object")
    return found
