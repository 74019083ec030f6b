"""Options that several verbs share."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from agentstop.cli.plugin.session import Session
from agentstop.words.durations import parse_duration

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the verbs share that change something: how it is asked for, followed and printed."""

    wait: bool | None = None
    """Whether to wait for the end of it; None where nobody said."""
    timeout: float | None = None
    """Seconds after which the waiting is given up; None for no limit."""
    dry_run: bool = False
    """Whether nothing is to be changed."""
    yes: bool = False
    """Whether the user is not to be asked."""
    output: str | None = None
    """Print what came of it in this format; None for words."""

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "Options":
        """Take them out of what a verb was given; what it does not know of stays as it is here."""
        return cls(**{each.name: given.pop(each.name) for each in fields(cls) if each.name in given})

    @property
    def follows(self) -> bool:
        """Whether to wait: as it was said, and else on a terminal, or where the waiting has a limit."""
        return self.wait if self.wait is not None else sys.stdout.isatty() or self.timeout is not None


class Duration(click.ParamType[float]):
    """A duration; whole seconds, and at least so many, where that is asked for."""

    name = "duration"

    def __init__(self, *, whole: bool = False, least: float = 0) -> None:
        self._whole = whole
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, int | float):
            return value
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self._whole and seconds != int(seconds):
            self.fail(f"{value!r} is not a number of whole seconds", param, ctx)
        if seconds < self._least:
            self.fail(f"the least is {self._least:g}s", param, ctx)
        return int(seconds) if self._whole else seconds


def _sets(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, (), False):
            context.ensure_object(Session).set(name, value)

    return remember


class ConnectionOption(click.Option):
    """An option about the way to the API server."""


def _connection(*names: str, sets: str, **more: Any) -> Callable[[Function], Function]:
    return click.option(*names, cls=ConnectionOption, expose_value=False, callback=_sets(sets), **more)


def _completed(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Return a function that completes names; what it takes is imported when it is needed."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
        from agentstop.cli.plugin import candidates

        return candidates.find(what, context, incomplete)

    return complete


def connection_options(function: Function) -> Function:
    """Add the options about the way to the API server, as kubectl has them."""
    for add in reversed(
        (
            _connection(
                "-n",
                "--namespace",
                sets="namespace",
                metavar="NAME",
                help="In this namespace; the context's without it.",
                shell_complete=_completed("namespaces"),
            ),
            _connection(
                "--kubeconfig", sets="kubeconfig", type=click.Path(), metavar="FILE", help="Use this kubeconfig."
            ),
            _connection(
                "--context",
                sets="context",
                metavar="NAME",
                help="Use this context of the kubeconfig.",
                shell_complete=_completed("contexts"),
            ),
            _connection("--cluster", sets="cluster", metavar="NAME", help="Use this cluster of the kubeconfig."),
            _connection("--user", sets="user", metavar="NAME", help="Use this user of the kubeconfig."),
            _connection("-s", "--server", sets="server", metavar="URL", help="Use this API server."),
            _connection("--token", sets="token", metavar="TOKEN", help="Show this bearer token."),
            _connection("--as", sets="impersonate", metavar="USER", help="Act as this user."),
            _connection(
                "--as-group", sets="impersonate_groups", multiple=True, metavar="GROUP", help="Act as in this group."
            ),
            _connection(
                "--insecure-skip-tls-verify",
                sets="insecure",
                is_flag=True,
                help="Do not check the API server's certificate.",
            ),
            _connection(
                "--request-timeout",
                sets="request_seconds",
                type=Duration(),
                metavar="TIME",
                help="Wait so long for one answer; 30s without it.",
            ),
        )
    ):
        function = add(function)
    return function


def selection_options(function: Function) -> Function:
    """Add names and selectors of tasks, one of which has to be given."""
    return filter_options(click.option("--all", "everything", is_flag=True, help="Every task.")(function))


def filter_options(function: Function) -> Function:
    """Add names and selectors of tasks."""
    return namespaced_options(click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")(function))


def namespaced_options(function: Function) -> Function:
    """Add names and selectors of tasks of one namespace."""
    function = click.option(
        "--agent",
        "agents",
        multiple=True,
        metavar="AGENT",
        help="Tasks whose spec.agent is this; repeatable.",
        shell_complete=_completed("agents"),
    )(function)
    function = click.option("-l", "--selector", "labels", metavar="SELECTOR", help="Tasks with these labels.")(function)
    return click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_completed("tasks"))(function)


def task_argument(function: Function) -> Function:
    """Add the name of one task."""
    return click.argument("name", shell_complete=_completed("tasks"))(function)


def order_argument(function: Function) -> Function:
    """Add the name of one order."""
    return click.argument("name", shell_complete=_completed("orders"))(function)


def reason_options(function: Function) -> Function:
    """Add why, how fast, and what becomes of the pods."""
    function = click.option("--now", is_flag=True, help="The same as --grace 1s: the shortest that leaves proof.")(
        function
    )
    function = click.option(
        "--grace",
        type=Duration(whole=True, least=1),
        metavar="TIME",
        help="Time from SIGTERM to SIGKILL, such as 10s or 2m; the workload's own without it.",
    )(function)
    function = click.option(
        "--pod-policy",
        type=click.Choice(["Keep", "DeleteAfterProof", "Delete"], case_sensitive=False),
        help="Keep stops pods in place; DeleteAfterProof removes them afterwards, and with them what their tokens are"
        " good for; Delete stops them by removing them.",
    )(function)
    function = click.option("--message", metavar="TEXT", help="Why, for people.")(function)
    return click.option("--reason", metavar="WORD", help="Why, as one CamelCase word such as RunawayCost.")(function)


def waiting_options(function: Function) -> Function:
    """Add whether to wait, and for how long."""
    function = click.option(
        "--timeout",
        type=Duration(),
        metavar="TIME",
        help="Give up waiting after this time; what was asked for goes on.",
    )(function)
    return click.option(
        "--wait/--no-wait",
        default=None,
        help="Wait for the end of it, and show how it goes; the default on a terminal.",
    )(function)


def yes_option(function: Function) -> Function:
    """Add the answer to the question that comes before more than one task."""
    return click.option(
        "-y",
        "--yes",
        is_flag=True,
        help="Do not ask, neither before more than one task nor before a long grace period.",
    )(function)


def output_option(*choices: str) -> Callable[[Function], Function]:
    """Add the choice of an output format."""
    return click.option("-o", "--output", type=click.Choice(choices), help="Print it like this.")


def grace_of(grace: float | None, now: bool) -> int | None:
    """Return the grace period that was asked for, in seconds."""
    if now and grace is not None:
        raise click.UsageError("--now is --grace 1s: give one of them")
    return 1 if now else None if grace is None else int(grace)
