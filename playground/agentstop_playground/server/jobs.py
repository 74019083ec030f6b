"""Jobs and CronJobs: what the server fills in, the labels that it gives Jobs' pods, and what it refuses.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/ and the server's ``pkg/apis/batch``.
"""

from __future__ import annotations

from typing import Final

from .errors import FieldError, invalid, not_supported, required
from .pods import default_spec
from .resources import BuiltinStrategy
from .wire import Json
from .workloads import check_selector, check_template, unchanged

_UID: Final = "batch.kubernetes.io/controller-uid"
_NAME: Final = "batch.kubernetes.io/job-name"
_OLD_UID: Final = "controller-uid"
_OLD_NAME: Final = "job-name"
_NOT_NEGATIVE: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
)
_IMMUTABLE: Final = ("completions", "selector", "template", "completionMode", "podFailurePolicy", "managedBy")
_MODES: Final = ("NonIndexed",)
"""What the playground's Job controller can do."""

_CONCURRENCY: Final = ("Allow", "Forbid", "Replace")


class JobStrategy(BuiltinStrategy):
    """The rules for Jobs."""

    default_propagation = "Orphan"

    def __init__(self) -> None:
        super().__init__("V1Job", has_status=True, counts_generations=True)

    def default(self, obj: Json) -> None:
        """Fill in what the real server fills in; completions stay open when only the parallelism is given."""
        spec = obj.setdefault("spec", {})
        if "parallelism" not in spec:
            spec.setdefault("completions", 1)
            spec["parallelism"] = 1
        policy = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
        for name, value in (
            ("completionMode", "NonIndexed"),
            ("suspend", False),
            ("backoffLimit", 6),
            ("manualSelector", False),
            ("podReplacementPolicy", policy),
        ):
            spec.setdefault(name, value)
        template = spec.setdefault("template", {})
        default_spec(template.setdefault("spec", {}))
        labels = (template.get("metadata") or {}).get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, obj: Json) -> None:
        """A new Job has no status; its pods are told from all others by its UID."""
        obj["status"] = {}
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        uid, name = obj["metadata"]["uid"], obj["metadata"].get("name", "")
        own = {_OLD_UID: uid, _OLD_NAME: name, _UID: uid, _NAME: name}
        template = spec["template"].setdefault("metadata", {})
        template["labels"] = {**(template.get("labels") or {}), **own}
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **own}
        matched = (spec.get("selector") or {}).get("matchLabels") or {}
        spec["selector"] = {**(spec.get("selector") or {}), "matchLabels": {**matched, _UID: uid}}

    def prepare_update(self, new: Json, old: Json) -> None:
        """The status has its own subresource."""
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)

    def validate_create(self, obj: Json) -> list[FieldError]:
        """What is wrong with a new Job."""
        spec = obj["spec"]
        errors = [
            invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")
            for name in _NOT_NEGATIVE
            if spec.get(name, 0) < 0
        ]
        if spec["completionMode"] not in _MODES:
            errors.append(not_supported("spec.completionMode", spec["completionMode"], _MODES))
        return errors + check_selector(spec) + check_template(spec, ("OnFailure", "Never"))

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:
        """What is wrong with a changed Job."""
        if subresource == "status":
            return []
        return self.validate_create(new) + unchanged(new["spec"], old["spec"], _IMMUTABLE)


class CronJobStrategy(BuiltinStrategy):
    """The rules for CronJobs, of which nobody makes Jobs here."""

    def __init__(self) -> None:
        super().__init__("V1CronJob", has_status=True, counts_generations=True)

    def default(self, obj: Json) -> None:
        """Fill in what the real server fills in."""
        spec = obj.setdefault("spec", {})
        for name, value in (
            ("concurrencyPolicy", "Allow"),
            ("suspend", False),
            ("successfulJobsHistoryLimit", 3),
            ("failedJobsHistoryLimit", 1),
        ):
            spec.setdefault(name, value)
        template = spec.setdefault("jobTemplate", {}).setdefault("spec", {}).setdefault("template", {})
        default_spec(template.setdefault("spec", {}))

    def prepare_create(self, obj: Json) -> None:
        """A new CronJob has no status."""
        obj["status"] = {}

    def prepare_update(self, new: Json, old: Json) -> None:
        """The status has its own subresource."""
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)

    def validate_create(self, obj: Json) -> list[FieldError]:
        """What is wrong with a new CronJob."""
        spec = obj["spec"]
        errors = [] if spec.get("schedule") else [required("spec.schedule")]
        if spec["concurrencyPolicy"] not in _CONCURRENCY:
            errors.append(not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], _CONCURRENCY))
        return errors + check_template(spec["jobTemplate"]["spec"], ("OnFailure", "Never"))

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:  # noqa: ARG002
        """What is wrong with a changed CronJob."""
        return [] if subresource == "status" else self.validate_create(new)
