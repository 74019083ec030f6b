"""`agentstop replay`: which of the ended tasks a limit would have stopped."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.options import Duration, connection_options, filter_options, output_option
from agentstop.cli.plugin.output import note, print_data, say, table_lines
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.words.durations import date_and_clock, now
from agentstop.words.replay import Limits, Replay, replayed
from agentstop.words.tasks import at, has_ended, name_of, namespace_of, phase_of, status_of
from agentstop.words.usage import money


class Money(click.ParamType[Decimal]):
    """An amount of money."""

    name = "money"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount."""
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal(0)
        if not amount.is_finite() or amount <= 0:
            self.fail(f"{value!r} is no amount of money above 0: write it as 10 or 10.50", param, ctx)
        return amount


@click.command("replay", cls=Verb, short_help="say which ended tasks a limit would have stopped")
@filter_options
@click.option("--max-cost", type=Money(), metavar="MONEY", help="Try this limit of cost.")
@click.option("--currency", default="USD", metavar="CODE", help="The currency of --max-cost; USD without it.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="NUMBER", help="Try this limit of tokens.")
@click.option("--max-turns", type=click.IntRange(1), metavar="NUMBER", help="Try this limit of turns.")
@click.option("--max-idle", type=Duration(least=1), metavar="TIME", help="Try this limit of silence.")
@click.option("--since", type=Duration(), metavar="TIME", help="Tasks that ended within this time; all without it.")
@output_option("table", "json", "yaml")
@connection_options
@click.pass_obj
def replay(
    session: Session,
    names: tuple[str, ...],
    labels: str | None,
    agents: tuple[str, ...],
    all_namespaces: bool,
    max_cost: Decimal | None,
    currency: str,
    max_tokens: int | None,
    max_turns: int | None,
    max_idle: float | None,
    since: float | None,
    output: str | None,
) -> int:
    """Says which of the tasks that have ended would have been stopped by such limits, when, and how far they were. It
    reads what their own records say, and changes nothing.

    A moment with ~ is what follows if the task has used as much in each second of its time. Only the last silence of a
    task is on record, and not whether its pods were quiet then.
    """
    limits = Limits(max_cost, currency, max_tokens, max_turns, max_idle)
    if limits == Limits(currency=currency):
        raise click.UsageError("say which limit to try: --max-cost, --max-tokens, --max-turns or --max-idle")
    selection = Selection(names, labels, agents, False, all_namespaces)
    found = []
    for task in session.tasks(selection.query(), all_namespaces=all_namespaces):
        finished = at(status_of(task), "finishedAt")
        recent = since is None or (finished is not None and (now() - finished).total_seconds() <= since)
        if selection.matches(task) and has_ended(task) and recent:
            found.append(replayed(task, limits))
    found.sort(key=lambda each: (namespace_of(each.task), name_of(each.task)))
    if output in {"json", "yaml"}:
        print_data({"tasks": [each.data() for each in found]}, str(output))
        return Exit.OK
    struck = [each for each in found if each.strikes]
    if struck:
        for line in _table(struck, namespaces=all_namespaces):
            say(line)
    note(_sum(found, struck, currency))
    return Exit.OK


def _table(struck: Sequence[Replay], *, namespaces: bool) -> list[str]:
    head = ["NAME", "ENDED", "LIMIT", "REACHED", "WHEN", "OF-ITS-TIME"]
    rows = []
    for each in struck:
        first = each.strikes[0]
        when = "-" if first.at is None else ("" if first.exact else "~") + date_and_clock(first.at, now())
        share = "-" if first.percent is None else f"{first.percent}%"
        rows.append([name_of(each.task), phase_of(each.task), first.limit, first.said, when, share])
    if namespaces:
        head.insert(0, "NAMESPACE")
        rows = [[namespace_of(each.task), *row] for each, row in zip(struck, rows, strict=True)]
    return table_lines(head, rows)


def _sum(found: Sequence[Replay], struck: Sequence[Replay], currency: str) -> str:
    if not found:
        return "there are no such tasks that have ended"
    spared = sum((each.strikes[0].spared or Decimal(0) for each in struck), Decimal(0))
    text = f"{len(struck)} of {len(found)} ended tasks would have been stopped"
    text += f"; {money(spared)} {currency} would not have been spent" if spared else ""
    untold = [each for each in found if each.untold]
    if untold:
        limits = ", ".join(dict.fromkeys(limit for each in untold for limit in each.untold))
        text += f"; the records of {len(untold)} do not tell of a limit of: {limits}"
    return text
