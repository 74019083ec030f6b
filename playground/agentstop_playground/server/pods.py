"""Pods: what the API server fills in, what it refuses, and how it deletes them.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and the server's ``pkg/apis/core/validation``.
"""

from __future__ import annotations

from typing import Any, Final

from .errors import FieldError, duplicate, forbidden_field, invalid, not_supported, required
from .names import check_label
from .resources import BuiltinStrategy
from .restart_rules import check_rules, may_come_back
from .wire import Json, dumps

_MAX_INT32: Final = 2**31 - 1
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_POLICIES: Final = ("Always", "OnFailure", "Never")
_PULL: Final = ("Always", "IfNotPresent", "Never")
_MUTABLE: Final = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_TOLERATIONS: Final = tuple(
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
)
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "sleep")


def containers_of(spec: Json, place: str = "spec") -> list[tuple[str, Json]]:
    """All containers of a pod with their paths below ``place``, init containers first."""
    return [
        (f"{place}.{group}[{index}]", container)
        for group in ("initContainers", "containers")
        for index, container in enumerate(spec.get(group) or ())
    ]


class PodStrategy(BuiltinStrategy):
    """The rules for pods."""

    def __init__(self) -> None:
        super().__init__("V1Pod", has_status=True, counts_generations=True)

    def default(self, obj: Json) -> None:
        """Fill in what the real server fills in."""
        spec = obj.setdefault("spec", {})
        default_spec(spec)
        spec.setdefault("enableServiceLinks", True)
        for _, container in containers_of(spec):
            _default_requests(container["resources"])
        for container in spec.get("ephemeralContainers") or ():
            _default_container(container)
        for condition in (obj.get("status") or {}).get("conditions") or ():
            condition.setdefault("lastProbeTime", None)
            condition.setdefault("lastTransitionTime", None)

    def prepare_create(self, obj: Json) -> None:
        """A new pod is pending, whatever its manifest says."""
        obj["status"] = {"phase": "Pending", "qosClass": _qos(obj.get("spec") or {})}
        spec = obj.setdefault("spec", {})
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("priority", 0)
        tolerations = spec.setdefault("tolerations", [])
        known = {item.get("key") for item in tolerations}
        tolerations.extend(dict(item) for item in _TOLERATIONS if item["key"] not in known)

    def prepare_update(self, new: Json, old: Json) -> None:
        """The status is the node's to write."""
        if "status" in old:
            new["status"] = old["status"]

    def validate_create(self, obj: Json) -> list[FieldError]:
        """What is wrong with a new pod."""
        return check_spec(obj["spec"])

    def validate_update(self, new: Json, old: Json, subresource: str) -> list[FieldError]:
        """What is wrong with a change: next to nothing in a pod's specification may change."""
        if subresource == "status":
            return _check_status(new, old)
        if subresource == "ephemeralcontainers":
            return _check_ephemeral(new["spec"], old["spec"])
        if new["spec"] == old["spec"]:
            return []
        return check_spec(new["spec"]) + _check_immutable(new["spec"], old["spec"])

    def grace(self, obj: Json, asked: int | None) -> int | None:
        """Seconds to wait for the node; none for a pod that no node runs."""
        spec, status = obj["spec"], obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in _FINISHED:
            return 0
        period: int = spec.get("terminationGracePeriodSeconds", 0) if asked is None else asked
        return 1 if period < 0 else period


def default_spec(spec: Json) -> None:
    """Fill in, in place, what is the same for a pod and for the template of one."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", 30),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
    ):
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for _, container in containers_of(spec):
        _default_container(container)


def _default_container(container: Json) -> None:
    image = container.get("image") or ""
    tag = image.rpartition("/")[2].partition(":")[2]
    always = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if always else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe:
            for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1)):
                probe.setdefault(key, value)
            probe.setdefault("failureThreshold", 3)


def _default_requests(resources: Json) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _qos(spec: Json) -> str:
    resources = [container.get("resources") or {} for _, container in containers_of(spec)]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(item.get("limits") or {}) and item.get("requests", item["limits"]) == item["limits"]
        for item in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def check_spec(spec: Json, root: str = "spec") -> list[FieldError]:
    """What is wrong with a pod's specification, which is found at the path ``root``."""
    errors: list[FieldError] = []
    if not spec.get("containers"):
        errors.append(required(f"{root}.containers"))
    names: set[str] = set()
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for place, container in containers_of(spec, root):
        errors += _check_container(place, container, names, volumes)
    policy = spec.get("restartPolicy")
    if not policy:
        errors.append(required(f"{root}.restartPolicy"))
    elif policy not in _POLICIES:
        errors.append(not_supported(f"{root}.restartPolicy", policy, _POLICIES))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        detail = f"must be between 1 and {_MAX_INT32}, inclusive"
        errors.append(invalid(f"{root}.activeDeadlineSeconds", deadline, detail))
    return errors


def _check_container(place: str, container: Json, names: set[str], volumes: set[Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name")
    if not name:
        errors.append(required(f"{place}.name"))
    elif name in names:
        errors.append(duplicate(f"{place}.name", name))
    else:
        names.add(name)
        errors += check_label(name, f"{place}.name")
    image = container.get("image")
    if not image:
        errors.append(required(f"{place}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{place}.image", image, "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in _PULL:
        errors.append(not_supported(f"{place}.imagePullPolicy", container.get("imagePullPolicy"), _PULL))
    for index, variable in enumerate(container.get("env") or ()):
        spot = f"{place}.env[{index}]"
        if not variable.get("name"):
            errors.append(required(f"{spot}.name"))
        if variable.get("value") and variable.get("valueFrom"):
            detail = "may not be specified when `value` is not empty"
            errors.append(invalid(f"{spot}.valueFrom", "", detail))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort")
        if not number:
            errors.append(required(f"{place}.ports[{index}].containerPort"))
        elif not 0 < number < 65536:
            detail = "must be between 1 and 65535, inclusive"
            errors.append(invalid(f"{place}.ports[{index}].containerPort", number, detail))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        spot = f"{place}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            errors.append(FieldError("FieldValueNotFound", f"{spot}.name", mount.get("name", "")))
        if not mount.get("mountPath"):
            errors.append(required(f"{spot}.mountPath"))
    return errors + _check_handlers(place, container)


def _check_handlers(place: str, container: Json) -> list[FieldError]:
    errors = check_rules(place, container)
    is_init = ".initContainers" in place
    once = is_init and container.get("restartPolicy") != "Always"
    errors += [
        forbidden_field(f"{place}.{name}", "may not be set for init containers without restartPolicy=Always")
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        if once and container.get(name)
    ]
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        handler = lifecycle.get(name)
        if handler is None:
            continue
        if not any(kind in handler for kind in _HANDLERS):
            errors.append(required(f"{place}.lifecycle.{name}", "must specify a handler type"))
        elif "exec" in handler and not handler["exec"].get("command"):
            errors.append(required(f"{place}.lifecycle.{name}.exec.command"))
    return errors


def _check_ephemeral(new: Json, old: Json) -> list[FieldError]:
    """Debug containers may be added to a pod, and none that is there be changed."""
    field = "spec.ephemeralContainers"
    before, after = old.get("ephemeralContainers") or [], new.get("ephemeralContainers") or []
    errors: list[FieldError] = []
    if after[: len(before)] != before:
        errors.append(forbidden_field(field, "existing ephemeral containers may not be removed or changed"))
    names = {str(item["name"]) for _, item in containers_of(old)}
    volumes = {volume.get("name") for volume in old.get("volumes") or ()}
    for index, container in enumerate(after):
        errors += _check_container(f"{field}[{index}]", container, names, volumes)
    return errors


def _check_immutable(new: Json, old: Json) -> list[FieldError]:
    for group in ("containers", "initContainers"):
        if len(new.get(group) or ()) != len(old.get(group) or ()):
            return [forbidden_field(f"spec.{group}", "pod updates may not add or remove containers")]
    field = "spec.activeDeadlineSeconds"
    deadline, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if deadline is not None and before is not None and deadline > before:
        return [invalid(field, deadline, "must be less than or equal to previous value")]
    if deadline is None and before is not None:
        return [invalid(field, None, "must not update from a positive integer to nil value")]
    errors: list[FieldError] = []
    tolerations = new.get("tolerations") or []
    if any(item not in tolerations for item in old.get("tolerations") or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(forbidden_field("spec.tolerations", detail))
    munged = {**new, "tolerations": old.get("tolerations"), "activeDeadlineSeconds": before}
    for group in ("containers", "initContainers"):
        if group in new:
            munged[group] = [
                {**now, "image": was.get("image")} for now, was in zip(new[group], old[group], strict=True)
            ]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    differing = [name for name in sorted({*munged, *old}) if munged.get(name) != old.get(name)]
    if differing:
        lines = "\n".join(
            f"  {sign} {name}: {dumps(side.get(name)).decode()}"
            for name in differing
            for sign, side in (("-", old), ("+", munged))
        )
        detail = f"pod updates may not change fields other than {_MUTABLE}\n{lines}\n"
        errors.append(forbidden_field("spec", detail))
    return errors


def _check_status(new: Json, old: Json) -> list[FieldError]:
    """A container that ended for good does not come back in a status."""
    policy = new["spec"].get("restartPolicy")
    specs = {item["name"]: item for item in new["spec"]["containers"]}
    before = {item.get("name"): item for item in (old.get("status") or {}).get("containerStatuses") or ()}
    errors: list[FieldError] = []
    for index, item in enumerate((new.get("status") or {}).get("containerStatuses") or ()):
        was = (before.get(item.get("name")) or {}).get("state") or {}
        ended = was.get("terminated")
        if not ended or "terminated" in (item.get("state") or {}):
            continue
        if may_come_back(specs.get(item.get("name"), {}), policy, ended.get("exitCode") or 0):
            continue
        place = f"status.containerStatuses[{index}].state"
        errors.append(forbidden_field(place, "may not be transitioned to non-terminated state"))
    return errors
