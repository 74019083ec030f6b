"""One task as a tree: its family, its workload, its conditions, the story of its stop."""

from datetime import datetime
from typing import Any, Final

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from agentstop.cli.plugin.output import COLOURS
from agentstop.cli.plugin.story import Story
from agentstop.words.durations import ago, clock, moment, spell
from agentstop.words.moments import Moment, moments_of
from agentstop.words.remains import left_behind
from agentstop.words.tasks import (
    Object,
    clean,
    cleaned,
    container_state,
    frozen_words,
    held_up,
    name_of,
    namespace_of,
    phase_of,
    shown_phase,
    spec_of,
    status_of,
    stop_of,
)
from agentstop.words.usage import limits_of, standing, usage_of, used_words

GUIDES: Final = "dim"
MARKS: Final = {
    "": ("•", "dim"),
    "stop": ("■", "magenta"),
    "end": ("○", "blue"),
    "proof": ("✓", "green"),
    "warning": ("!", "red"),
}
_MOODS: Final = {"runs": "green", "frozen": "yellow", "waits": "yellow", "good": "green", "bad": "red"}
CONDITION_COLOURS: Final = {("Ready", "True"): "green", ("Stopped", "True"): "cyan", ("Stalled", "True"): "red"}


def tree_of(story: Story, now: datetime) -> Group:
    """Return the tree."""
    task = story.task
    top: Tree | None = None
    under: Tree | None = None
    for ancestor in reversed(story.ancestors):
        label = _task_label(ancestor, bold=False)
        under = Tree(label, guide_style=GUIDES) if under is None else under.add(label)
        top = top or under
    label = _task_label(task, bold=True)
    root = Tree(label, guide_style=GUIDES) if under is None else under.add(label)
    top = top or root
    _add_facts(root, task, now)
    _add_workload(root, task, now)
    _add_children(root, story)
    _add_conditions(root, task)
    _add_remains(root, task, now)
    line = root.add(Text("time line", "bold"))
    moments = moments_of(task, story.events, now)
    for number, each in enumerate(moments):
        line.add(_moment_label(each, moments[number - 1] if number else None, now))
    return Group(top)


def _task_label(task: Object, *, bold: bool) -> Text:
    phase = phase_of(task)
    text = Text.assemble((name_of(task), "bold" if bold else ""), "  ", (shown_phase(task), COLOURS.get(phase, "")))
    verdict = stop_of(task).get("verdict")
    if verdict:
        text.append(f" {verdict}", COLOURS.get(verdict, ""))
    if held_up(task):
        text.append(" held up", "red")
    return text


def _add_facts(root: Tree, task: Object, now: datetime) -> None:
    spec, stop = spec_of(task), stop_of(task)
    facts = [("namespace", namespace_of(task))]
    if spec.get("agent"):
        facts.append(("agent", spec["agent"]))
    if stop:
        order = stop.get("order") or {}
        named = f"{order['kind']} {order['name']}" if order else str(stop.get("source"))
        by = stop.get("requestedBy")
        facts.append(("stopped by", f"{by} ({named})" if by and order else by or named))
        because = ": ".join(filter(None, (stop.get("reason"), stop.get("message"))))
        if because:
            facts.append(("because", because))
        if stop.get("durationSeconds") is not None:
            facts.append(("took", spell(float(stop["durationSeconds"]))))
    elif spec.get("stopRequested"):
        facts.append(("stop", "requested, and not taken up by an operator yet"))
    if (frozen := frozen_words(task, now)) is not None:
        facts.append(("frozen by", frozen))
    facts.append(("age", ago(moment(task["metadata"].get("creationTimestamp")), now)))
    facts += _usage_facts(task, now)
    for name, value in facts:
        root.add(Text.assemble((f"{name}  ", "dim"), clean(value)))


def _usage_facts(task: Object, now: datetime) -> list[tuple[str, str]]:
    usage, limits = usage_of(task), limits_of(task, now)
    facts = [("used", used_words(usage)), ("with its family", used_words(usage.get("family") or {}))]
    found = [(name, used) for name, used in facts if used]
    found += [(f"limit of {each.what}", f"{each.said} ({each.percent}%)") for each in limits]
    told = standing(task)
    return found + ([("budget", told)] if told else [])


def _add_workload(root: Tree, task: Object, now: datetime) -> None:
    workload: dict[str, Any] = cleaned(status_of(task).get("workload") or {})
    if not workload:
        reference = spec_of(task).get("workloadRef")
        kind = f"{reference['kind']} {reference['name']}" if reference else "none yet"
        root.add(Text.assemble(("workload  ", "dim"), clean(kind)))
        return
    owner = root.add(Text.assemble((f"{workload['kind']} ", "dim"), (workload["name"], "bold")))
    bound = workload.get("boundTo")
    if bound:
        owner = owner.add(Text.assemble((f"{bound['kind']} ", "dim"), bound["name"]))
    pods = workload.get("pods") or ()
    for pod in pods:
        own = workload["kind"] == "Pod" and pod["name"] == workload["name"]
        node = f"on node {pod['node']}" if pod.get("node") else "on no node"
        if own:
            place = owner
            place.label = Text.assemble(owner.label, (f"  {node}", "dim"))  # type: ignore[arg-type]  # a Text, made above
        else:
            place = owner.add(Text.assemble(("Pod ", "dim"), pod["name"], (f"  {node}", "dim")))
        for container in pod.get("containers") or ():
            place.add(_container_label(container, moment(pod.get("frozenAt")), now))
    hidden = int(workload.get("podCount") or 0) - len(pods)
    if hidden > 0:
        owner.add(Text(f"... and {hidden} more pods", "dim"))


def _container_label(container: dict[str, Any], frozen: datetime | None, now: datetime) -> Text:
    text = Text.assemble(("container ", "dim"), container["name"], "  ")
    says, mood = container_state(container, now, frozen)
    text.append(says, _MOODS[mood])
    if mood in {"runs", "frozen", "waits"}:
        return text
    if container.get("signal"):
        text.append(f", signal {container['signal']}")
    if container.get("reason"):
        text.append(f"  {container['reason']}", "dim")
    return text


def _add_children(root: Tree, story: Story) -> None:
    counted = status_of(story.task).get("children") or {}
    if not counted.get("total"):
        return
    label = f"{counted['total']} below it, {counted.get('active', 0)} of them active"
    places = {name_of(story.task): root.add(Text.assemble(("family  ", "dim"), label))}
    for parent, child in story.children:
        if parent in places:
            places[name_of(child)] = places[parent].add(_task_label(child, bold=False))
    hidden = int(counted["total"]) - len(story.children)
    if hidden > 0:
        places[name_of(story.task)].add(Text(f"... and {hidden} more", "dim"))


def _add_conditions(root: Tree, task: Object) -> None:
    conditions = status_of(task).get("conditions") or ()
    if not conditions:
        return
    place = root.add(Text("conditions", "bold"))
    for each in map(cleaned, conditions):
        says = {"True": "", "False": "not "}.get(each["status"], "perhaps ")
        colour = CONDITION_COLOURS.get((each["type"], each["status"]), "dim")
        text = Text.assemble((f"{says}{each['type']}", colour))
        if each["status"] == "True" or each["type"] in {"Stopped", "BudgetExceeded"}:
            text.append(f"  {each.get('reason', '')}: {each.get('message', '')}")
        place.add(text)


def _add_remains(root: Tree, task: Object, now: datetime) -> None:
    left = left_behind(task, now)
    place = root.add(Text("leaves behind", "bold")) if left else root
    for each in left:
        place.add(Text(each, "yellow"))


def _moment_label(each: Moment, before: Moment | None, now: datetime) -> Text:
    mark, colour = MARKS[each.kind]
    text = Text.assemble((f"{clock(each.at)} ", "dim"), (f"{mark} ", colour), each.what)
    if each.at > now:
        return text.append(f"  in {spell((each.at - now).total_seconds())}", "dim")
    if before is not None:
        apart = (each.at - before.at).total_seconds()
        if apart >= 0.001:
            text.append(f"  +{spell(apart)}", "dim")
    return text
