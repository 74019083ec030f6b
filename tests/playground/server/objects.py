"""The objects that the tests work with."""

from typing import Any

GROUP = "tests.agentstop.dev"
WIDGETS = f"{GROUP}/v1/widgets"
FLEETS = f"{GROUP}/v1/fleets"
DEPLOYMENTS = "apps/v1/deployments"
REPLICA_SETS = "apps/v1/replicasets"
STATEFUL_SETS = "apps/v1/statefulsets"
JOBS = "batch/v1/jobs"
CRON_JOBS = "batch/v1/cronjobs"

DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"widgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wdg"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": ".status.phase"}],
                "additionalPrinterColumns": [
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A thing for tests.",
                        "x-kubernetes-validations": [
                            {
                                "rule": "!oldSelf.?spec.?locked.orValue(false) || self.?spec.?locked.orValue(false)",
                                "message": "a lock can't be taken off",
                            }
                        ],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "color": {"type": "string", "enum": ["red", "green"], "description": "Its color."},
                                    "size": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
                                    "locked": {"type": "boolean", "default": False},
                                    "title": {"type": "string", "minLength": 1, "maxLength": 8},
                                    "fixed": {
                                        "type": "string",
                                        "maxLength": 16,
                                        "x-kubernetes-validations": [
                                            {"rule": "self == oldSelf", "message": "fixed is immutable"}
                                        ],
                                    },
                                    "note": {"type": "string", "nullable": True},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "tags": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "set",
                                        "maxItems": 3,
                                        "items": {"type": "string"},
                                    },
                                    "limits": {
                                        "type": "object",
                                        "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                                        "x-kubernetes-validations": [
                                            {
                                                "rule": "!has(self.low) || !has(self.high) || self.low <= self.high",
                                                "messageExpression": "self.low == 2 ? 'low is two' : 'low is too high'",
                                                "reason": "FieldValueForbidden",
                                                "fieldPath": ".low",
                                            }
                                        ],
                                    },
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "count": {"type": "integer", "default": 1},
                                            },
                                        },
                                    },
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"phase": {"type": "string"}, "message": {"type": "string"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}

SCALED: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"fleets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.ships",
                        "statusReplicasPath": ".status.afloat",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A thing that scales.",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "ships": {"type": "integer", "minimum": 0, "maximum": 5},
                                    "flag": {"type": "string"},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"afloat": {"type": "integer"}, "selector": {"type": "string"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "image:1"}], **spec},
    }


def binding(name: str, node: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}}


def fleet(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Fleet", "metadata": {"name": name}, "spec": spec}


def template(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "main", "image": "image:1"}], **spec},
    }


def replicated(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A Deployment, ReplicaSet or StatefulSet."""
    selector = {"matchLabels": {"app": "x"}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template(), **spec},
    }


def job(name: str, **spec: Any) -> dict[str, Any]:
    pods = {"template": template(restartPolicy="Never")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**pods, **spec}}
