"""Which tasks a verb is about."""

from dataclasses import dataclass
from typing import Any

import click

from agentstop.cli.plugin.names import ACTIVE_ONLY, MAX_TASK_NAMES
from agentstop.words.tasks import Object


@dataclass(frozen=True, slots=True)
class Selection:
    """Names, or what has to be true of the tasks."""

    names: tuple[str, ...] = ()
    labels: str | None = None
    agents: tuple[str, ...] = ()
    everything: bool = False
    all_namespaces: bool = False

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "Selection":
        """Take it out of what a verb was given. Raises click.UsageError unless it says clearly what is meant."""
        selection = cls(
            tuple(dict.fromkeys(given.pop("names"))),
            given.pop("labels"),
            given.pop("agents"),
            given.pop("everything"),
            given.pop("all_namespaces"),
        )
        selection.check()
        return selection

    def check(self) -> None:
        """Raise click.UsageError unless it says clearly what is meant."""
        narrowed = self.labels is not None or bool(self.agents)
        if self.names and (narrowed or self.everything):
            raise click.UsageError("give names, or -l, --agent and --all, not both")
        if self.names and self.all_namespaces:
            raise click.UsageError("names are those of one namespace: give -n NAMESPACE instead of -A")
        if self.everything and narrowed:
            raise click.UsageError("--all is every task: leave out -l and --agent, or leave out --all")
        if not (self.names or narrowed or self.everything):
            raise click.UsageError("say which tasks: NAME..., -l SELECTOR, --agent AGENT, or --all")
        if len(self.names) > MAX_TASK_NAMES:
            raise click.UsageError(f"at most {MAX_TASK_NAMES} names at a time: use -l, --agent or --all")

    @property
    def single(self) -> str | None:
        """The name, where it is just one."""
        return self.names[0] if len(self.names) == 1 else None

    def query(self, *, active_only: bool = False) -> dict[str, str]:
        """Return the selectors for a list; what they cannot say, `matches` does."""
        fields = [f"spec.agent={self.agents[0]}"] if len(self.agents) == 1 else []
        if active_only:
            fields.append(ACTIVE_ONLY)
        return ({"labelSelector": self.labels} if self.labels else {}) | (
            {"fieldSelector": ",".join(fields)} if fields else {}
        )

    def matches(self, task: Object) -> bool:
        """Whether a task of a list with `query` is meant."""
        if self.names and task["metadata"]["name"] not in self.names:
            return False
        return not self.agents or (task.get("spec") or {}).get("agent") in self.agents

    def order_spec(self) -> dict[str, Any]:
        """Return the part of an order's spec that selects the same tasks."""
        from agentstop.words.labels import parse_selector

        return (
            {"selector": parse_selector(self.labels) if self.labels else {}}
            | ({"agents": sorted(set(self.agents))} if self.agents else {})
            | ({"taskNames": sorted(set(self.names))} if self.names else {})
        )

    def words(self, namespace: str) -> str:
        """Return the selection for people, without a number: `tasks of agent researcher in namespace default`."""
        where = "in all namespaces" if self.all_namespaces else f"in namespace {namespace}"
        if self.names:
            return f"{_listed(self.names)} {where}"
        of = f" of agent {_listed(self.agents)}" if self.agents else ""
        with_labels = f" with {self.labels}" if self.labels else ""
        return f"tasks{of}{with_labels} {where}"


def _listed(names: tuple[str, ...]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:4])} and {len(names) - 4} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
