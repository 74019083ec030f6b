"""What the server knows about a resource, and the hooks where kinds differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .builtin_types import WrongTypeError, prune
from .errors import FieldError, bad_request
from .selectors import FieldGetter, by_path
from .topology import Topology, builtin
from .wire import Json

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Strategy:
    """How objects of a kind are decoded, defaulted, validated and deleted. This one accepts whatever it is given."""

    has_status = False
    """Whether ``status`` is written through its own subresource only."""

    counts_generations = False
    """Whether ``metadata.generation`` starts at 1 and grows with the specification."""

    unconditional_update = True
    """Whether a PUT may leave out ``metadata.resourceVersion``."""

    status_may_label = True
    """Whether a write to the status may change labels and annotations too."""

    default_propagation: str | None = None
    """What a DELETE without a propagation policy means: ``Orphan``, or ``None`` for ``Background``."""

    topology: Topology = staticmethod(builtin)

    def decode(self, obj: Json) -> list[str]:  # noqa: ARG002
        """Drop what the kind does not know, in place; returns the paths of what was dropped.

        Raises:
            ApiError: 400, when a value has a type that can't be read.
        """
        return []

    def default(self, obj: Json) -> None:
        """Fill in defaults, in place."""

    def prepare_create(self, obj: Json) -> None:
        """Set or clear what a client may not choose on create, in place."""

    def prepare_update(self, new: Json, old: Json) -> None:
        """Restore what a client may not change through the main resource, in place."""

    def validate_create(self, obj: Json) -> list[FieldError]:  # noqa: ARG002
        """What is wrong with a new object."""
        return []

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:  # noqa: ARG002
        """What is wrong with a changed object."""
        return []

    def check_rules(
        self,
        new: Json,  # noqa: ARG002
        old: Json | None,  # noqa: ARG002
        problems: Sequence[FieldError],  # noqa: ARG002
    ) -> list[FieldError]:
        """What the kind's own rules say; ``problems`` are those found before."""
        return []

    def same_spec(self, new: Json, old: Json) -> bool:
        """Whether nothing changed that counts for ``metadata.generation``."""
        return bool(new.get("spec") == old.get("spec"))

    def grace(self, obj: Json, asked: int | None) -> int | None:  # noqa: ARG002
        """Seconds for a graceful deletion; ``None`` for kinds that have none."""
        return None

    def mark_deleting(self, obj: Json) -> None:
        """Note in the object that its deletion has begun, in place."""

    def holds_deletion(self, obj: Json) -> bool:  # noqa: ARG002
        """Whether the kind itself has something to do before a deleted object may go (besides finalizers)."""
        return False


class BuiltinStrategy(Strategy):
    """A built-in kind whose fields are those of one of the official client's models (``V1Pod``)."""

    def __init__(self, model: str, *, has_status: bool = False, counts_generations: bool = False) -> None:
        self.model = model
        self.has_status = has_status
        self.counts_generations = counts_generations

    def decode(self, obj: Json) -> list[str]:
        """Drop unknown fields and nulls."""
        try:
            return list(prune(obj, self.model))
        except WrongTypeError as error:
            version = str(obj.get("apiVersion", "")).rpartition("/")[2]
            kind = obj.get("kind", "")
            raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from error


@dataclass(frozen=True, slots=True)
class Column:
    """A table column; ``read`` makes the cell from an object, ``priority`` above 0 shows it with ``-o wide`` only."""

    name: str
    read: Callable[[Mapping[str, Any]], Any]
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScaleFields:
    """Where in an object the ``scale`` subresource finds its fields, as keys from the root.

    ``selector`` leads to a label selector, as an object or in its string form; ``None`` for kinds that state none.
    """

    replicas: tuple[str, ...] = ("spec", "replicas")
    observed: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] | None = ("spec", "selector")


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One version of one resource, as it is served."""

    group: str
    version: str
    kind: str
    plural: str
    strategy: Strategy
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    name_column: bool = True
    """Whether the table begins with the name."""
    selectable: Mapping[str, FieldGetter] = field(default_factory=dict)
    storage_name: str = ""
    schema: Mapping[str, Any] | None = None
    """The OpenAPI v3 schema of a custom resource; ``None`` for built-in kinds."""
    scale: ScaleFields | None = None
    """For resources with the subresource ``scale``."""
    to_storage: Callable[[Json], Json] | None = None
    """Makes the stored form of an object of this version (in place); ``None`` when they are the same."""
    from_storage: Callable[[Json], Json] | None = None
    """The inverse of ``to_storage``, on a copy."""

    @property
    def api_version(self) -> str:
        """``v1`` or ``agentstop.dev/v1alpha1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def collection(self) -> str:
        """The name of the store's collection; versions of the same resource share it."""
        return self.storage_name or (f"{self.plural}.{self.group}" if self.group else self.plural)

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        """The singular name that kubectl accepts."""
        return self.singular or self.kind.lower()

    @property
    def fields(self) -> Mapping[str, FieldGetter]:
        """All fields that can be selected on."""
        return {**COMMON_FIELDS, **self.selectable} if self.namespaced else {**CLUSTER_FIELDS, **self.selectable}


CLUSTER_FIELDS: Final[Mapping[str, FieldGetter]] = {"metadata.name": by_path("metadata.name")}
COMMON_FIELDS: Final[Mapping[str, FieldGetter]] = {
    **CLUSTER_FIELDS,
    "metadata.namespace": by_path("metadata.namespace"),
}
