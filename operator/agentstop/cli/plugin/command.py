"""A verb's command: the same as click's, with the options of the connection listed by themselves."""

import click

from agentstop.cli.plugin.options import ConnectionOption


class Verb(click.Command):
    """One verb."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options."""
        write_options(self, ctx, formatter)


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """List the options of a command, those of the connection by themselves."""
    own: list[tuple[str, str]] = []
    connection: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and isinstance(parameter, click.Option):
            (connection if isinstance(parameter, ConnectionOption) else own).append(record)
    for title, records in (("Options", own), ("Connection", connection)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
