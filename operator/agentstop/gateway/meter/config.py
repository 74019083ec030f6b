"""The meter's file: by which prices it counts, from whom, and how much it takes."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from agentstop.api.meta import Model
from agentstop.api.money import DEFAULT_CURRENCY, Currency
from agentstop.gateway.problems import of_file

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class Limits(Model):
    """How much is taken. What is beyond it is answered with 429, and to be sent again."""

    model_config = ConfigDict(extra="forbid")

    points_per_second: int = Field(10_000, ge=1, le=1_000_000)
    """Points, spans and reports of all senders together; as many may come at once."""
    tasks: int = Field(10_000, ge=1, le=1_000_000)
    """Tasks that wait at one time to have something written."""


class MeterFile(Model):
    """What the file says."""

    model_config = ConfigDict(extra="forbid")

    prices: Name | None = None
    """A file in the form of LiteLLM's map of prices, found from this one's folder. Without it all that has no cost of
    its own costs nothing."""
    currency: Currency = DEFAULT_CURRENCY
    """What the prices are in."""
    keys: tuple[Name, ...] | None = None
    """Names of the API keys that may send signals; where it is absent, whoever may change the usage of a task."""
    trust_requests: bool = False
    """Whether a request through LiteLLM may say itself which task it is of: whoever sends it may say any."""
    write_seconds: float = Field(5.0, ge=0.1, le=60.0)
    """So long what comes in for one task is added up before it is written."""
    limits: Limits = Limits()

    def prices_beside(self, file: Path) -> Path | None:
        """Return where the prices are; None for nowhere."""
        return file.parent / self.prices if self.prices is not None else None


def read_meter(text: str) -> MeterFile:
    """Return what a meter's file says. Raises ValueError, with a message for people, where it is none."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    try:
        return MeterFile.model_validate({} if found is None else found)
    except ValidationError as error:
        raise ValueError(of_file(error)) from None
