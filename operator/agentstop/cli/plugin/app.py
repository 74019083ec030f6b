"""The command line of the plugin: verbs are imported when they are used."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from agentstop.cli.operate import COMPLETION_VARIABLE, VERBS
from agentstop.cli.plugin.command import write_options
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.options import connection_options
from agentstop.cli.plugin.problems import problem_of, unreachable
from agentstop.cli.plugin.session import Session, command_name
from agentstop.client.errors import ApiError, ConfigError, UnreachableError
from agentstop.words.tasks import clean

SECTIONS: Final = {
    "Stop": {
        "stop": "stop tasks for good, and prove it",
        "pause": "halt tasks until they are resumed",
        "resume": "let paused tasks run again",
        "freeze": "hold the processes of tasks where they are, in milliseconds",
        "thaw": "let frozen tasks go on where they were",
        "tether": "have tasks live only as long as a command, or until Ctrl-C",
        "wait": "wait until tasks have ended",
        "order": "stop orders: for many tasks, held, or as a drill",
    },
    "Look": {
        "list": "list tasks: phase, verdict, who, how long",
        "get": "show one task as a tree, with the story of its stop",
        "ui": "show all tasks in the browser, with a button that stops them",
        "why": "say in plain words why a task stopped, or what holds it up",
        "replay": "say which ended tasks a limit would have stopped",
        "check": "say whether all is there: definitions, operator, rights",
    },
    "Run": {
        **{name: verb.about for name, verb in VERBS.items()},
        "completion": "print the script that completes words in your shell",
    },
}

_MODULES: Final = {"resume": "pause", "thaw": "freeze", "list": "listing"}


class Verbs(click.Group):
    """All verbs, each in a module of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click calls it like this)
        """Return the names in the order of the help."""
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        if cmd_name in VERBS:
            return _passed_on(cmd_name)
        module = importlib.import_module(f"agentstop.cli.plugin.verbs.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name if cmd_name != "list" else "listing")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that is meant, or say which may have been meant."""
        known = self.list_commands(ctx)
        if args and not ctx.resilient_parsing and args[0] not in known and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise click.UsageError(f"there is no verb {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs that begin like this, without importing them."""
        verbs = [
            CompletionItem(name, help=about)
            for section in SECTIONS.values()
            for name, about in section.items()
            if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  (see above)
        """List the verbs by what they are for."""
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(verbs.items()))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs first."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)


def _passed_on(name: str) -> click.Command:
    """Return a verb of the operator, which has a parser of its own."""

    @click.command(
        name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    @click.pass_obj
    def operate(session: Session, words: tuple[str, ...]) -> int:
        from agentstop.cli.operate import operate as carry_out

        if session.settings != Session().settings:
            raise click.UsageError(f"the options of {name} come after it")
        return carry_out([name, *words])

    return operate


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Stops AI-agent work on Kubernetes: fast, gracefully, and with proof.",
    invoke_without_command=False,
    no_args_is_help=True,
)
@click.version_option(package_name="agentstop", message="agentstop %(version)s")
@connection_options
@click.pass_context
def agentstop(context: click.Context) -> None:
    """Remember the options that came before the verb."""
    context.ensure_object(Session)


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line and return its exit code."""
    session = Session()
    try:
        result: Any = agentstop.main(
            list(arguments), command_name(), standalone_mode=False, obj=session, complete_var=COMPLETION_VARIABLE
        )
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else command_name()
        text = error.format_message().rstrip(".")
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.format_message())
        else:
            _complain(f"{text[:1].lower()}{text[1:]}{' ' if text.endswith('?') else '; '}see {where} --help")
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except click.ClickException as error:
        _complain(error.format_message())
        return Exit.ERROR
    except PluginError as error:
        _complain(str(error))
        return error.code
    except ConfigError as error:
        _complain(str(error))
        return Exit.ERROR
    except ApiError as error:
        problem = problem_of(session.api, error)
        _complain(str(problem))
        return problem.code
    except UnreachableError as error:
        _complain(str(unreachable(session.api.target, error)))
        return Exit.ERROR
    except BrokenPipeError:
        # Whoever reads our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return int(result or 0)


def _complain(message: str) -> None:
    click.echo(clean(f"agentstop: {message}"), err=True)
