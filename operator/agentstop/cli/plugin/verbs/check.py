"""`agentstop check`: is all there that a stop needs."""

import sys
from typing import Final

import click

from agentstop.cli.plugin.checks import (
    Finding,
    Grade,
    definition_findings,
    node_finding,
    operator_finding,
    probe_finding,
    right_findings,
    server_finding,
)
from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit
from agentstop.cli.plugin.options import connection_options, output_option
from agentstop.cli.plugin.output import paint, print_data, say
from agentstop.cli.plugin.session import Session
from agentstop.words.tasks import clean

_MARKS: Final = {
    Grade.GOOD: ("✓", "+", "green"),
    Grade.BAD: ("✗", "x", "red"),
    Grade.UNKNOWN: ("?", "?", "yellow"),
    Grade.NO: ("-", "-", None),
}
_TITLES: Final = {
    "cluster": "Cluster",
    "definitions": "Definitions",
    "operator": "Operator",
    "nodes": "Components on nodes",
    "rights": "What you may do {where}",
}


@click.command(cls=Verb, short_help="say whether all is there: definitions, operator, rights")
@click.option("-A", "--all-namespaces", is_flag=True, help="Look at the tasks, and your rights, of all namespaces.")
@click.option(
    "--probe", is_flag=True, help="Ask the operator for a drill of nothing in this namespace, to see it answer."
)
@output_option("json", "yaml")
@connection_options
@click.pass_obj
def check(session: Session, all_namespaces: bool, probe: bool, output: str | None) -> int:
    """Says whether all is there that a stop needs: the definitions as in this version, an operator that acts, your
    rights. It changes nothing; --probe makes one order that matches nothing, and deletes it.
    """
    api = session.api
    namespace = None if all_namespaces else session.namespace
    findings = [server_finding(api), *definition_findings(api), operator_finding(api, namespace)]
    findings.append(node_finding(api, namespace))
    if probe:
        findings.append(probe_finding(api, session.namespace))
    findings += right_findings(api, namespace)
    if output is not None:
        print_data({"findings": [each.data() for each in findings]}, output)
    else:
        _show(findings, "in all namespaces" if namespace is None else f"in namespace {namespace}")
    return Exit.ERROR if any(each.grade is Grade.BAD for each in findings) else Exit.OK


def _show(findings: list[Finding], where: str) -> None:
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    width = max(len(each.subject) for each in findings if each.topic != "cluster")
    topic = None
    for each in findings:
        if each.topic != topic:
            say(("" if topic is None else "\n") + paint(_TITLES[each.topic].format(where=where), None, bold=True))
            topic = each.topic
        mark, ascii_mark, colour = _MARKS[each.grade]
        subject = clean(each.subject).ljust(width if each.topic != "cluster" else 0)
        say(f"  {paint(ascii_mark if plain else mark, colour)} {subject}  {clean(each.detail)}".rstrip())
