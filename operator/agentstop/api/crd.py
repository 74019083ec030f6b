"""The CustomResourceDefinitions, generated from the models."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from agentstop.api.fence import FENCE_KIND, FENCE_PLURAL, Fence
from agentstop.api.meta import GROUP, VERSION, Model, rule
from agentstop.api.order import (
    CLUSTER_ORDER_KIND,
    CLUSTER_ORDER_PLURAL,
    ORDER_KIND,
    ORDER_PLURAL,
    ClusterStopOrder,
    StopOrder,
)
from agentstop.api.pod_control import CONTROL_KIND, CONTROL_PLURAL, PodControl
from agentstop.api.task import KIND, PLURAL, TERMINAL_PHASES, AgentTask
from agentstop.api.usage import USAGE_KIND, USAGE_PLURAL, TaskUsage, only_up

UNSEEN: Final = {"observedGeneration": 0}
"""Status of an object that no operator has looked at. Generations begin with 1, so kstatus reads it as InProgress; an
object without any status it would take for Current.

Source: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

_DROPPED_KEYWORDS: Final = frozenset({"title", "additionalProperties", "const"})

TASK_RULES: Final = (
    rule(
        "!oldSelf.?spec.?stopRequested.orValue(false) || self.?spec.?stopRequested.orValue(false)",
        "spec.stopRequested cannot be taken back: a stop is final. Create a new task to run the agent again",
    ),
    rule(
        "self.?spec.?podTemplate.hasValue() != self.?spec.?workloadRef.hasValue()",
        "spec must have exactly one of podTemplate (a pod to run) and workloadRef (a workload to adopt)",
    ),
    rule(
        "oldSelf.?spec.?podTemplate.hasValue() == self.?spec.?podTemplate.hasValue()"
        " && oldSelf.?spec.?workloadRef.hasValue() == self.?spec.?workloadRef.hasValue()",
        "spec.podTemplate and spec.workloadRef are immutable: create a new task instead",
    ),
    rule(
        "oldSelf.?spec.?parentRef.hasValue() == self.?spec.?parentRef.hasValue()",
        "spec.parentRef is immutable: create a new task instead",
    ),
    rule(
        "oldSelf.?spec.?externalID.hasValue() == self.?spec.?externalID.hasValue()",
        "spec.externalID is immutable: create a new task instead",
    ),
    rule(
        "!oldSelf.?spec.?tether.hasValue() || self.?spec.?tether.hasValue()",
        "spec.tether cannot be taken off: create a new task instead",
    ),
    rule(
        "!self.?spec.?paused.orValue(false) || self.?spec.?workloadRef.?kind.orValue('') != 'Pod'"
        " || self.?spec.?pausePolicy.orValue('') == 'Freeze'",
        "spec.paused ends a Pod that was adopted, and nothing would make it again. Freeze it (spec.pausePolicy), or"
        " point workloadRef at what makes"
        " it, or use podTemplate",
    ),
    rule(
        "!self.?spec.?mainContainer.hasValue() || self.?spec.?workloadRef.?kind.orValue('Pod') == 'Pod'",
        "spec.mainContainer is for tasks of one pod: podTemplate, or a workloadRef of kind Pod",
    ),
    rule(
        "!oldSelf.?spec.?stopRequested.orValue(false)"
        " || self.?spec.?stop.?gracePeriodSeconds.orValue(2147483647)"
        " <= oldSelf.?spec.?stop.?gracePeriodSeconds.orValue(2147483647)",
        "spec.stop.gracePeriodSeconds can be lowered once the stop is requested, but not raised or removed",
    ),
    rule(
        # One comparison a phase, each with a literal: the cost of comparing two unknown strings is beyond the budget.
        " && ".join(
            f"(oldSelf.?status.?phase.orValue('') != '{phase}' || self.?status.?phase.orValue('') == '{phase}')"
            for phase in sorted(TERMINAL_PHASES)
        ),
        "status.phase is final: a task that has ended stays as it ended",
    ),
    rule(
        "!oldSelf.?status.?manuallyStopped.orValue(false) || self.?status.?manuallyStopped.orValue(false)",
        "status.manuallyStopped cannot go back to false",
    ),
    rule(
        "self.metadata.name.size() <= 63",
        "metadata.name must have at most 63 characters: it is used as a label of the task's pod",
    ),
)
"""Rules of AgentTask at the schema's root, so that removing `spec` or `status` does not get past them."""


def _column(name: str, kind: str, path: str, description: str, *, wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


TASK_COLUMNS: Final = (
    _column("Phase", "string", ".status.phase", "Where the task is in its life."),
    _column("Manual", "boolean", ".status.manuallyStopped", "Whether a person stopped it."),
    _column("Reason", "string", ".status.reason", "Why it is in its phase."),
    _column("Workload", "string", ".status.workload.name", "The workload it stands for.", wide=True),
    _column("Verdict", "string", ".status.stop.verdict", "How the stop ended.", wide=True),
    _column("Stopped-By", "string", ".status.stop.requestedBy", "Who asked for the stop.", wide=True),
    _column("Stop-Seconds", "number", ".status.stop.durationSeconds", "How long the stop took.", wide=True),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the task was created."),
)


ORDER_COLUMNS: Final = (
    _column("Phase", "string", ".status.phase", "Where the order is in its life."),
    _column("Hold", "boolean", ".spec.hold", "Whether nothing that matches may start."),
    _column("Matched", "integer", ".status.matched", "How many tasks it stops."),
    _column("Frozen", "integer", ".status.frozen", "How many of them are frozen now."),
    _column("Stopping", "integer", ".status.stopping", "How many of them have not ended yet."),
    _column("Stalled", "integer", ".status.stalledCount", "How many of them are held up."),
    _column("Reason", "string", ".spec.reason", "Why the order was made."),
    _column("Requested-By", "string", ".status.requestedBy", "Who made the order.", wide=True),
    _column("Freeze-Seconds", "number", ".status.freezeSeconds", "How long the last freeze took.", wide=True),
    _column("Signal-Seconds", "number", ".status.signalSeconds", "How long the last SIGTERM took.", wide=True),
    _column("Halt-Seconds", "number", ".status.haltSeconds", "How long the last proof took.", wide=True),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the order was made."),
)

_OPTIONAL: Final = ("reason", "message", "gracePeriodSeconds", "podPolicy", "ttlSecondsAfterFinished")


def order_rules(*optional: str) -> tuple[dict[str, str | bool], ...]:
    """Return the rules of an order at the schema's root; `optional` are the fields that may not come or go."""
    return (
        *(
            rule(
                f"oldSelf.spec.?{name}.hasValue() == self.spec.?{name}.hasValue()",
                f"spec.{name} is immutable: create a new order instead",
            )
            for name in optional
        ),
        rule(
            "!(self.spec.?drill.orValue(false) && self.spec.?hold.orValue(false))",
            "spec.drill and spec.hold exclude each other: a drill changes nothing",
        ),
        rule(
            "!(self.spec.?drill.orValue(false) && self.spec.?freeze.orValue(false))",
            "spec.drill and spec.freeze exclude each other: a drill changes nothing",
        ),
        rule(
            "!self.spec.?then.hasValue() || self.spec.?freeze.orValue(false)",
            "spec.then says what becomes of what was frozen: it goes with spec.freeze",
        ),
        rule(
            "!oldSelf.spec.?then.hasValue() || self.spec.?then.hasValue()",
            "spec.then is said once: create a new order instead",
        ),
        rule("self.metadata.name.size() <= 63", "metadata.name must have at most 63 characters"),
    )


def _grows(name: str) -> dict[str, str | bool]:
    now, before = (f"{which}.spec.?{name}.orValue(0)" for which in ("self", "oldSelf"))
    return rule(f"{now} >= {before}", only_up(name))


USAGE_RULES: Final = (
    *(_grows(name) for name in ("promptTokens", "completionTokens", "totalTokens", "turns")),
    # That it does not go down is said at the field: here the API server reckons with text of any length.
    rule("!oldSelf.spec.?cost.hasValue() || self.spec.?cost.hasValue()", only_up("cost")),
    rule(
        "!oldSelf.spec.?lastActivityAt.hasValue() || (self.spec.?lastActivityAt.hasValue()"
        " && timestamp(self.spec.lastActivityAt) >= timestamp(oldSelf.spec.lastActivityAt))",
        "spec.lastActivityAt cannot go back or be removed",
    ),
    rule("self.metadata.name.size() <= 63", "metadata.name must be the name of a task, of at most 63 characters"),
)
"""Rules of TaskUsage at the schema's root."""

USAGE_COLUMNS: Final = (
    _column("Cost", "string", ".spec.cost", "What the task has cost so far."),
    _column("Currency", "string", ".spec.currency", "The currency of it."),
    _column("Tokens", "integer", ".spec.totalTokens", "How many tokens it has used."),
    _column("Turns", "integer", ".spec.turns", "How many times it has asked a model."),
    _column("Active", "date", ".spec.lastActivityAt", "When it last did something that was counted."),
    _column("Reported-By", "string", ".spec.reportedBy", "Who counts.", wide=True),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the first report."),
)


def structural(model: type[Model]) -> dict[str, Any]:
    """Return the model's schema in the form that a CRD takes: no references, no null alternatives, no titles.

    Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
    """
    whole = model.model_json_schema(by_alias=True, mode="serialization")
    definitions = whole.pop("$defs", {})

    def convert(node: Mapping[str, Any]) -> dict[str, Any]:
        node = dict(node)
        if "anyOf" in node:
            kept = [option for option in node.pop("anyOf") if option.get("type") != "null"]
            node = {**kept[0], **node}
        if "$ref" in node:
            # A copy: what YAML finds twice it writes once, with an anchor.
            return convert({**deepcopy(definitions[node.pop("$ref").rsplit("/", 1)[-1]]), **node})
        out = {key: value for key, value in node.items() if key not in _DROPPED_KEYWORDS and key != "default"}
        if isinstance(node.get("additionalProperties"), Mapping):
            out["additionalProperties"] = convert(node["additionalProperties"])
        if "properties" in node:
            out["properties"] = {name: convert(child) for name, child in node["properties"].items()}
            required = [name for name in node.get("required", ()) if "default" not in node["properties"][name]]
            out.pop("required", None)
            if required:
                out["required"] = required
        if "items" in node:
            out["items"] = convert(node["items"])
        if "description" in out:
            out["description"] = " ".join(out["description"].split())
        if "default" in node and node["default"] is not None and not isinstance(node["default"], list | dict):
            out["default"] = node["default"]
        return out

    return convert(whole)


def _without_defaults(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {
            key: _without_defaults(value)
            for key, value in schema.items()
            if not (key == "default" and not isinstance(value, Mapping))
        }
    return schema


def _status(properties: Mapping[str, Any]) -> dict[str, Any]:
    if "status" not in properties:
        return {}
    return {"status": _without_defaults(properties["status"]) | {"default": dict(UNSEEN)}}


def _crd(model: type[Model], kind: str, plural: str, short_name: str, version: dict[str, Any]) -> dict[str, Any]:
    """Return a CRD; `version` has what is particular to the kind, and `scope`, which goes to the top."""
    root = structural(model)
    properties = root["properties"]
    selectable = version["selectable"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": ["agents"],
            },
            "scope": version.pop("scope"),
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if "status" in properties else {}),
                    "additionalPrinterColumns": list(version["columns"]),
                    **({"selectableFields": [{"jsonPath": each} for each in selectable]} if selectable else {}),
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": root["description"],
                            **({"required": list(version["required"])} if version["required"] else {}),
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": properties["spec"],
                                **_status(properties),
                            },
                            "x-kubernetes-validations": list(version["rules"]),
                        }
                    },
                }
            ],
        },
    }


def task_crd() -> dict[str, Any]:
    """Return the CRD of AgentTask."""
    selectable = (".spec.agent", ".spec.externalID", ".spec.parentRef.name", ".status.phase")
    parts = {"scope": "Namespaced", "columns": TASK_COLUMNS, "selectable": selectable, "rules": TASK_RULES}
    return _crd(AgentTask, KIND, PLURAL, "atask", parts | {"required": ()})


def order_crd() -> dict[str, Any]:
    """Return the CRD of StopOrder."""
    parts = {"scope": "Namespaced", "columns": ORDER_COLUMNS, "selectable": (".status.phase",)}
    rules = order_rules("agents", "taskNames", *_OPTIONAL)
    return _crd(StopOrder, ORDER_KIND, ORDER_PLURAL, "sorder", parts | {"rules": rules, "required": ("spec",)})


def cluster_order_crd() -> dict[str, Any]:
    """Return the CRD of ClusterStopOrder."""
    parts = {"scope": "Cluster", "columns": ORDER_COLUMNS, "selectable": (".status.phase",)}
    rules = order_rules("agents", "namespaceSelector", *_OPTIONAL)
    parts |= {"rules": rules, "required": ("spec",)}
    return _crd(ClusterStopOrder, CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, "csorder", parts)


def usage_crd() -> dict[str, Any]:
    """Return the CRD of TaskUsage. It has no status: nobody answers to what was counted."""
    parts = {"scope": "Namespaced", "columns": USAGE_COLUMNS, "selectable": (), "rules": USAGE_RULES}
    return _crd(TaskUsage, USAGE_KIND, USAGE_PLURAL, "tusage", parts | {"required": ("spec",)})


FENCE_RULE: Final = rule("self.metadata.name.size() <= 127", "metadata.name must have at most 127 characters")
"""The chart's names are no longer. A rule about each pod in it would cost more than an API server allows."""


def fence_crd() -> dict[str, Any]:
    """Return the CRD of Fence. It has no status: an admission policy reads it, and nobody else."""
    columns = (_column("Age", "date", ".metadata.creationTimestamp", "Time since it was made."),)
    parts = {"scope": "Cluster", "columns": columns, "selectable": (), "rules": (FENCE_RULE,), "required": ()}
    return _crd(Fence, FENCE_KIND, FENCE_PLURAL, "afence", parts)


CONTROL_RULES: Final = (
    rule("self.metadata.name == self.spec.podUID", "metadata.name must be the pod's UID, as in spec.podUID"),
    rule(
        "!oldSelf.?status.?empty.orValue(false) || self.?status.?empty.orValue(false)",
        "status.empty cannot go back to false",
    ),
)
"""Rules of PodControl at the schema's root."""

CONTROL_COLUMNS: Final = (
    _column("Task", "string", ".spec.taskName", "The task whose pod it is."),
    _column("Node", "string", ".spec.nodeName", "The node that is asked."),
    _column("Asked", "string", ".spec.state", "What is asked for."),
    _column("State", "string", ".status.state", "What the pod's processes are in."),
    _column("Processes", "integer", ".status.processes", "How many processes are left, or are frozen."),
    _column("Empty", "boolean", ".status.empty", "Whether the kernel said that none is left."),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the node was asked."),
)


def control_crd() -> dict[str, Any]:
    """Return the CRD of PodControl."""
    parts = {"scope": "Namespaced", "columns": CONTROL_COLUMNS, "selectable": (".spec.nodeName",)}
    return _crd(
        PodControl, CONTROL_KIND, CONTROL_PLURAL, "pctl", parts | {"rules": CONTROL_RULES, "required": ("spec",)}
    )


def crds() -> dict[str, dict[str, Any]]:
    """Return all CRDs by the name of the file that holds each in `crds/`."""
    made = (task_crd(), order_crd(), cluster_order_crd(), usage_crd(), fence_crd(), control_crd())
    return {f"{GROUP}_{crd['spec']['names']['plural']}.yaml": crd for crd in made}
