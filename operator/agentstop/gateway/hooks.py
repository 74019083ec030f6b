"""The file of hooks: who may press the brake by a webhook, and what of its body says what is to be stopped."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from agentstop.api.meta import MAX_SECONDS, Model
from agentstop.api.task import PodPolicy
from agentstop.gateway.problems import of_file

KEPT_SECONDS: Final = 604_800
"""Orders that hooks make are kept for a week after their end, where nothing else is said."""

NAME: Final = "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"
NAMESPACE: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

_POINTER: Final = re.compile(r"(/([^~/]|~[01])*)*")
"""A JSON pointer.

Source: https://www.rfc-editor.org/rfc/rfc6901#section-3
"""

Text = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class HookKind(StrEnum):
    """Who sends it."""

    ALERTMANAGER = "Alertmanager"
    LITELLM = "LiteLLM"
    GENERIC = "Generic"


class Fields(Model):
    """Where it stands what is to be stopped: names of labels for Alertmanager, else JSON pointers into the body."""

    model_config = ConfigDict(extra="forbid")

    namespace: Text | None = None
    task: Text | None = None
    agent: Text | None = None
    selector: Text | None = None
    id: Text | None = None
    """What is the same in all repeats of one event."""
    message: Text | None = None


_DEFAULTS: Final[Mapping[HookKind, Fields]] = {
    HookKind.ALERTMANAGER: Fields(namespace="namespace", task="task", agent="agent", selector="selector"),
    HookKind.LITELLM: Fields(
        namespace="/namespace", task="/task", agent="/agent", selector="/selector", message="/reason"
    ),
    HookKind.GENERIC: Fields(),
}


class Order(Model):
    """How it is stopped."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(pattern="^[A-Z][A-Za-z0-9]{0,63}$")] = "Alert"
    grace_period_seconds: int | None = Field(None, ge=1, le=MAX_SECONDS)
    pod_policy: PodPolicy | None = None
    hold: bool = False
    ttl_seconds_after_finished: int = Field(KEPT_SECONDS, ge=0, le=MAX_SECONDS)


class Hook(Model):
    """One hook."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(pattern=NAME)]
    """What stands after /hooks/ in its path, and what its orders' names begin with."""
    kind: HookKind
    key: Text
    """Name of the one API key that it takes, in the file of keys."""
    namespace: Annotated[str, StringConstraints(pattern=NAMESPACE)] | None = None
    """The namespace of its orders, where the body names none."""
    whole_namespace: bool = False
    """Whether a body that names no task, agent or selector stops everything in its namespace."""
    fields: Fields = Fields()
    """What is not said here is as it is for the kind."""
    when: dict[str, str | bool | int] = {}  # noqa: RUF012  (pydantic copies it)
    """What has to stand in the body, by JSON pointers; otherwise nothing is done."""
    order: Order = Order()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        pointers = [*self.when]
        if self.kind is not HookKind.ALERTMANAGER:
            pointers += self.fields.model_dump(exclude_none=True).values()
        for each in pointers:
            if not _POINTER.fullmatch(each):
                raise ValueError(f"{each!r} is no JSON pointer, such as /run/name")
        if self.kind is HookKind.ALERTMANAGER and (self.fields.id or self.fields.message):
            raise ValueError("alerts have an id and a message of their own")
        return self

    @property
    def places(self) -> Fields:
        """Where everything stands."""
        return _DEFAULTS[self.kind].model_copy(update=self.fields.model_dump(exclude_none=True))


class HooksFile(Model):
    """The file of hooks."""

    model_config = ConfigDict(extra="forbid")

    hooks: tuple[Hook, ...] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for what in ("name", "key"):
            if len({getattr(each, what) for each in self.hooks}) < len(self.hooks):
                raise ValueError(f"two hooks have the same {what}")
        return self

    def named(self, name: str) -> Hook | None:
        """Return the hook of this name."""
        return next((each for each in self.hooks if each.name == name), None)


NO_HOOKS: Final = HooksFile()


def read_hooks(text: str) -> HooksFile:
    """Return what a file of hooks says. Raises ValueError, with a message for people, where it is none."""
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    try:
        return HooksFile.model_validate({} if found is None else found)
    except ValidationError as error:
        raise ValueError(of_file(error)) from None
