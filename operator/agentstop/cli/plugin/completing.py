"""kubectl's protocol of completion: the words so far in, one candidate a line out, then a directive.

Source: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

from collections.abc import Sequence
from typing import Final

from click.shell_completion import CompletionItem, ShellComplete

from agentstop.cli.plugin.app import agentstop
from agentstop.cli.plugin.session import Session

NO_FILES: Final = ":4"
"""The directive that files are no candidates."""

FILES: Final = ":0"


class _Words(ShellComplete):
    """Completion for words that somebody else has split."""

    name = "kubectl"


def candidates(words: Sequence[str]) -> list[CompletionItem]:
    """Return the candidates for the last word, which may be empty."""
    *before, incomplete = words or ("",)
    context = {"obj": Session()}
    option, sign, value = incomplete.partition("=")
    if sign and option.startswith("--"):
        # kubectl hands over --option=val as one word, and replaces all of it.
        found = _Words(agentstop, context, "agentstop", "").get_completions([*before, option], value)
        return [CompletionItem(f"{option}={each.value}", each.type, each.help) for each in found]
    return _Words(agentstop, context, "agentstop", "").get_completions(list(before), incomplete)


def answer(words: Sequence[str]) -> list[str]:
    """Return the lines that kubectl wants to read."""
    found = candidates(words)
    lines = [f"{each.value}\t{each.help}" if each.help else str(each.value) for each in found if each.type == "plain"]
    return [*lines, FILES if any(each.type in {"file", "dir"} for each in found) else NO_FILES]
