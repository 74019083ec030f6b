"""Fence: the pods whose tokens the API server lets write nothing any more."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentstop.api.meta import API_VERSION, Model

FENCE_KIND: Final = "Fence"
FENCE_PLURAL: Final = "fences"

MAX_FENCED: Final = 10_000
"""So many pods are fenced at once; their object is far from the 1.5 MB then that an API server takes."""


class FenceSpec(Model):
    """What is fenced."""

    pods: dict[str, Annotated[str, Field(max_length=317)]] = Field({}, max_length=MAX_FENCED)
    """Which pods, by their UIDs, and the task that each belongs to, as NAMESPACE/NAME."""


class Fence(Model):
    """The pods of stopped agents: an admission policy refuses every write by a token that is bound to one of them. The operator keeps it; nobody else writes it."""  # noqa: E501

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["Fence"] = FENCE_KIND
    metadata: dict[str, Any]
    spec: FenceSpec = FenceSpec()
