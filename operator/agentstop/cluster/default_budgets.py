"""The budgets that namespaces give to tasks that have none: an annotation, as JSON or YAML."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import yaml
from pydantic import ValidationError

from agentstop.api.budget import DEFAULT_BUDGET_ANNOTATION, LIMITED, Budget
from agentstop.lifecycle.observation import Reason

MAX_CHARACTERS: Final = 4096
"""So long may the annotation be: a budget takes a few hundred."""

MAX_BRACKETS: Final = 16
"""So many may be opened: a budget in JSON has one, and reading thousands takes seconds."""

MAX_SHOWN: Final = 100
"""Of so many characters of a name that is none the task's condition tells."""

_KNOWN: Final = frozenset(field.alias or name for name, field in Budget.model_fields.items())


class _Loader(yaml.SafeLoader):
    """Reads no aliases: each may stand for several of those before it, and merged they would fill any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node. Raises ConstructorError where it is an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(problem_mark=self.get_mark())
        return super().compose_node(parent, index)


class DefaultBudgets:
    """What the namespaces that are known say."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._budgets: dict[str, Budget] = {}
        self._problems: dict[str, Reason] = {}

    def put(self, namespace: str, annotations: Mapping[str, Any]) -> bool:
        """Take in what a namespace says; return whether that is news."""
        text = annotations.get(DEFAULT_BUDGET_ANNOTATION)
        if not isinstance(text, str):
            return self.drop(namespace)
        if self._texts.get(namespace) == text:
            return False
        self.drop(namespace)
        self._texts[namespace] = text
        try:
            self._budgets[namespace] = read_budget(text)
        except ValueError as error:
            said = f"annotation {DEFAULT_BUDGET_ANNOTATION} of namespace {namespace} has no effect: {error}"
            self._problems[namespace] = Reason("DefaultBudgetInvalid", said)
        return True

    def drop(self, namespace: str) -> bool:
        """Forget what a namespace said; return whether it said anything."""
        self._budgets.pop(namespace, None)
        self._problems.pop(namespace, None)
        return self._texts.pop(namespace, None) is not None

    def budget(self, namespace: str) -> Budget | None:
        """Return the budget of tasks in a namespace that have none of their own."""
        return self._budgets.get(namespace)

    def problem(self, namespace: str) -> Reason | None:
        """Return why what the namespace says has no effect, if so."""
        return self._problems.get(namespace)


def read_budget(text: str) -> Budget:
    """Return the budget that a text says. Raises ValueError, in one line, where it is none."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, and {MAX_CHARACTERS} at most are read")
    if sum(map(text.count, "[{")) > MAX_BRACKETS:
        raise ValueError("it is no object with fields such as maxCost, but nested")
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506  (it is a safe one)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        at = f" in line {where.line + 1}" if where is not None else ""
        raise ValueError(f"it is neither JSON nor YAML without aliases{at}") from None
    if not isinstance(raw, dict):
        raise ValueError("it is no object with fields such as maxCost")
    unknown = sorted(str(name) for name in raw.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"there is no field {json.dumps(unknown[0][:MAX_SHOWN])} in a budget")
    try:
        budget = Budget.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}") from None
    if budget.max_cost is not None and Decimal(budget.max_cost) == 0:
        raise ValueError("maxCost must be more than 0; leave it out for no limit")
    if not any((budget.max_cost, budget.max_tokens, budget.max_turns, budget.max_idle_seconds)):
        raise ValueError(str(LIMITED["message"]))
    return budget
