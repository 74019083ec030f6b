"""`agentstop completion`: the script for one's shell."""

import click
from click.shell_completion import get_completion_class

from agentstop.cli.operate import COMPLETION_VARIABLE
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.output import say


@click.command(short_help="print the script that completes words in your shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Prints the script that completes words of agentstop in your SHELL.

    \b
      source <(agentstop completion bash)
      agentstop completion fish > ~/.config/fish/completions/agentstop.fish

    kubectl agentstop is completed by kubectl's own completion, which finds kubectl_complete-agentstop on PATH.
    """
    from agentstop.cli.plugin.app import agentstop

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    made = kind(agentstop, {}, "agentstop", COMPLETION_VARIABLE)
    say(made.source_template % made.source_vars())
    return Exit.OK
