"""Built-in kinds with a few rules of their own: namespaces, nodes, events, secrets and leases."""

from __future__ import annotations

import base64

from .errors import FieldError, invalid, required
from .resources import BuiltinStrategy
from .wire import Json


class NamespaceStrategy(BuiltinStrategy):
    """Namespaces: active until deleted, then terminating until empty."""

    def __init__(self) -> None:
        super().__init__("V1Namespace", has_status=True)

    def prepare_create(self, obj: Json) -> None:
        """Every namespace carries the finalizer that empties it."""
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def default(self, obj: Json) -> None:
        """Every namespace carries its name as a label."""
        labels = obj["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")

    def prepare_update(self, new: Json, old: Json) -> None:
        """Neither status nor the finalizer changes through the main resource."""
        new["spec"], new["status"] = old["spec"], old["status"]

    def mark_deleting(self, obj: Json) -> None:
        """A namespace that is being deleted takes nothing new."""
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def holds_deletion(self, obj: Json) -> bool:
        """A namespace goes once what is in it has gone."""
        return bool((obj.get("spec") or {}).get("finalizers"))


class NodeStrategy(BuiltinStrategy):
    """Nodes: the kubelet sets the status on create too, as real ones do."""

    def prepare_update(self, new: Json, old: Json) -> None:
        """The status has its own subresource."""
        if "status" in old:
            new["status"] = old["status"]


class EventStrategy(BuiltinStrategy):
    """Events in either form."""

    def default(self, obj: Json) -> None:
        """Fields that the stored form has even when they are empty."""
        for name in ("eventTime", "firstTimestamp", "lastTimestamp"):
            obj.setdefault(name, None)
        obj.setdefault("source", {})
        obj.setdefault("reportingComponent", "")
        obj.setdefault("reportingInstance", "")

    def validate_create(self, obj: Json) -> list[FieldError]:
        """The rules of events.k8s.io/v1; ``obj`` is in the stored, core/v1 form."""
        if self.model == "CoreV1Event":
            return []
        errors = []
        if not obj.get("eventTime"):
            errors.append(required("eventTime"))
        errors += [
            required(field)
            for field, core in (
                ("reportingController", "reportingComponent"),
                ("reportingInstance", "reportingInstance"),
                ("action", "action"),
                ("reason", "reason"),
            )
            if not obj.get(core)
        ]
        if obj.get("type") not in ("Normal", "Warning"):
            errors.append(invalid("type", obj.get("type", ""), "has invalid value: " + str(obj.get("type", ""))))
        namespace = (obj.get("involvedObject") or {}).get("namespace") or "default"
        if namespace != obj["metadata"].get("namespace"):
            errors.append(invalid("involvedObject.namespace", namespace, "does not match event.namespace"))
        if len(obj.get("message") or "") > 1024:
            errors.append(invalid("message", "", "can have at most 1024 characters"))
        return errors


class SecretStrategy(BuiltinStrategy):
    """Secrets: what is written as plain text is stored as base64."""

    def default(self, obj: Json) -> None:
        """Take over ``stringData``, which is only ever written."""
        for name, text in (obj.pop("stringData", None) or {}).items():
            obj.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
        obj.setdefault("type", "Opaque")

    def validate_create(self, obj: Json) -> list[FieldError]:
        """The data has to be base64."""
        errors = []
        for name, text in (obj.get("data") or {}).items():
            try:
                base64.b64decode(text, validate=True)
            except ValueError:
                errors.append(invalid(f"data[{name}]", "<secret contents redacted>", "illegal base64 data"))
        return errors

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:  # noqa: ARG002
        """The type can't be changed."""
        errors = self.validate_create(new)
        if new.get("type") != old.get("type"):
            errors.append(invalid("type", new.get("type"), "field is immutable"))
        return errors


class LeaseStrategy(BuiltinStrategy):
    """Leases: every update names the version it was made from, so that only one of two holders wins."""

    unconditional_update = False

    def validate_create(self, obj: Json) -> list[FieldError]:
        """Durations are positive."""
        spec = obj.get("spec") or {}
        errors = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            errors.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        transitions = spec.get("leaseTransitions")
        if transitions is not None and transitions < 0:
            errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return errors

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:  # noqa: ARG002
        """The same as for new ones."""
        return self.validate_create(new)
