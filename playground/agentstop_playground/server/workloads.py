"""Deployments, ReplicaSets and StatefulSets: what the server fills in and what it refuses.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/ and the server's ``pkg/apis/apps``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from .errors import FieldError, invalid, not_supported, required
from .pods import check_spec, default_spec
from .resources import BuiltinStrategy
from .selectors import of_object
from .wire import Json

_ROLLING: Final = "RollingUpdate"


class ReplicasStrategy(BuiltinStrategy):
    """What the kinds that keep a number of pods have in common."""

    default_status: ClassVar[Json] = {}
    """What a new object's status says."""

    def __init__(self, model: str) -> None:
        super().__init__(model, has_status=True, counts_generations=True)

    def default(self, obj: Json) -> None:
        """Fill in what the real server fills in."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        template = spec.setdefault("template", {})
        default_spec(template.setdefault("spec", {}))
        self.default_own(spec)

    def default_own(self, spec: Json) -> None:
        """Fill in the fields of this kind alone, in place."""

    def prepare_create(self, obj: Json) -> None:
        """A new object has nothing yet."""
        obj["status"] = dict(self.default_status)

    def prepare_update(self, new: Json, old: Json) -> None:
        """The status has its own subresource."""
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)

    def validate_create(self, obj: Json) -> list[FieldError]:
        """What is wrong with a new object."""
        spec = obj["spec"]
        errors: list[FieldError] = []
        if spec["replicas"] < 0:
            errors.append(invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
        return errors + check_selector(spec) + check_template(spec, ("Always",))

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:
        """What is wrong with a changed object."""
        if subresource == "status":
            return []
        errors = self.validate_create(new)
        return errors + unchanged(new["spec"], old["spec"], ("selector",))


class DeploymentStrategy(ReplicasStrategy):
    """Deployments."""

    def __init__(self) -> None:
        super().__init__("V1Deployment")

    def default_own(self, spec: Json) -> None:
        """The strategy and the limits of its history."""
        strategy = spec.setdefault("strategy", {})
        strategy.setdefault("type", _ROLLING)
        if strategy["type"] == _ROLLING:
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)


class ReplicaSetStrategy(ReplicasStrategy):
    """ReplicaSets."""

    default_status: ClassVar[Json] = {"replicas": 0}

    def __init__(self) -> None:
        super().__init__("V1ReplicaSet")


class StatefulSetStrategy(ReplicasStrategy):
    """StatefulSets."""

    default_status: ClassVar[Json] = {"replicas": 0, "availableReplicas": 0}

    def __init__(self) -> None:
        super().__init__("V1StatefulSet")

    def default_own(self, spec: Json) -> None:
        """The order of pods, and the strategy."""
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", _ROLLING)
        if strategy["type"] == _ROLLING:
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        spec.setdefault("revisionHistoryLimit", 10)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        retention.setdefault("whenDeleted", "Retain")
        retention.setdefault("whenScaled", "Retain")
        spec.setdefault("serviceName", "")


def check_selector(spec: Json) -> list[FieldError]:
    """What is wrong with a selector that has to select the pods of the template beside it."""
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    terms = of_object(selector)
    if not terms:
        return [invalid("spec.selector", selector, "empty selector is invalid for deployment")]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if all(term.matches(labels) for term in terms):
        return []
    return [invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")]


def check_template(spec: Json, policies: Sequence[str]) -> list[FieldError]:
    """What is wrong with the pod template, whose restart policy is to be one of ``policies``."""
    template = spec["template"]["spec"]
    errors = check_spec(template, "spec.template.spec")
    policy = template.get("restartPolicy")
    if policy not in policies:
        errors.append(not_supported("spec.template.spec.restartPolicy", policy, policies))
    return errors


def unchanged(new: Json, old: Json, fields: Sequence[str]) -> list[FieldError]:
    """An error for each of these fields of the specification that is not as it was."""

    def problem(name: str, value: Any) -> FieldError:
        return invalid(f"spec.{name}", value, "field is immutable")

    return [problem(name, new.get(name)) for name in fields if new.get(name) != old.get(name)]
