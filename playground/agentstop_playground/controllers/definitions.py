"""Custom kinds as the playground serves them: the names of agent-sandbox v1beta1 and of KubeRay, and less of them.

What the controllers here do not look at (services, volume claims, network policies, lifecycles of claims, all of Ray)
is left out, so that nobody is told that it works. https://agent-sandbox.sigs.k8s.io, https://docs.ray.io
"""

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.kinds import (
    RAY_CLUSTER,
    SANDBOX,
    SANDBOX_CLAIM,
    SANDBOX_TEMPLATE,
    SANDBOX_WARM_POOL,
    Kind,
)


def sandbox_crds() -> list[Object]:
    """CustomResourceDefinitions of Sandbox, SandboxClaim, SandboxTemplate and SandboxWarmPool."""
    return [
        _definition(
            SANDBOX,
            "sandbox",
            "A place for one agent: a pod that is made again when it is lost, and that can be put to sleep.",
            spec=_object({**_TEMPLATE, **_LIFECYCLE}, required=["podTemplate"]),
            status=_object(
                {
                    "conditions": _CONDITIONS,
                    "selector": _text("Label selector of its pod."),
                    "nodeName": _text("Node of its pod, while there is one."),
                    "podIPs": _list(_text("An address.")),
                }
            ),
            columns=[_READY, _REASON, _AGE],
        ),
        _definition(
            SANDBOX_CLAIM,
            "sandboxclaim",
            "Asks a warm pool for a Sandbox, which is made anew when the pool has none.",
            spec=_object({"warmPoolRef": _reference("The SandboxWarmPool to take from.")}, required=["warmPoolRef"]),
            status=_object(
                {
                    "conditions": _CONDITIONS,
                    "sandbox": _object(
                        {"name": _text("The Sandbox that was given."), "podIPs": _list(_text("An address."))}
                    ),
                }
            ),
            columns=[_READY, _column("Sandbox", ".status.sandbox.name"), _REASON, _AGE],
        ),
        _definition(
            SANDBOX_TEMPLATE,
            "sandboxtemplate",
            "What the Sandboxes of warm pools are made from.",
            spec=_object(_TEMPLATE, required=["podTemplate"]),
            columns=[_AGE],
        ),
        _definition(
            SANDBOX_WARM_POOL,
            "swp",
            "Keeps Sandboxes ready for claims.",
            spec=_object(
                {
                    "replicas": {
                        "type": "integer",
                        "format": "int32",
                        "minimum": 0,
                        "default": 1,
                        "description": "How many unclaimed Sandboxes to keep.",
                    },
                    "sandboxTemplateRef": _reference("The SandboxTemplate to make them from."),
                },
                required=["sandboxTemplateRef"],
            ),
            status=_object(
                {
                    "replicas": _count("Unclaimed Sandboxes."),
                    "readyReplicas": _count("Those of them that are ready."),
                    "selector": _text("Label selector of their pods."),
                    "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                }
            ),
            columns=[
                _column("Ready", ".status.readyReplicas", "integer"),
                _column("Desired", ".spec.replicas", "integer"),
                _AGE,
            ],
            scale={
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        ),
    ]


def ray_crds() -> list[Object]:
    """CustomResourceDefinition of RayCluster."""
    worker = {"groupName": _text("Its name."), "replicas": {**_count("How many pods."), "default": 0}, **_RAY_TEMPLATE}
    return [
        _definition(
            RAY_CLUSTER,
            "",
            "A head and its workers.",
            spec=_object(
                {
                    "headGroupSpec": _object(_RAY_TEMPLATE, required=["template"]),
                    "workerGroupSpecs": _list(_object(worker, required=["groupName", "template"])),
                    "suspend": {"type": "boolean", "description": "Whether it is to have no pods."},
                    "managedBy": _text(
                        "Who makes its pods.", enum=["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"]
                    ),
                },
                required=["headGroupSpec"],
            ),
            status=_object({"conditions": _CONDITIONS, "state": _text("ready, or suspended.")}),
            columns=[_column("Status", ".status.state"), _AGE],
        )
    ]


def _object(properties: Object, required: list[str] | None = None) -> Object:
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _text(description: str, **more: object) -> Object:
    return {"type": "string", "description": description, **more}


def _count(description: str) -> Object:
    return {"type": "integer", "format": "int32", "description": description}


def _list(items: Object) -> Object:
    return {"type": "array", "items": items}


def _reference(description: str) -> Object:
    return {**_object({"name": _text("Its name.")}, required=["name"]), "description": description}


def _column(name: str, path: str, kind: str = "string") -> Object:
    return {"name": name, "type": kind, "jsonPath": path}


def _definition(
    kind: Kind,
    short_name: str,
    description: str,
    *,
    spec: Object,
    status: Object | None = None,
    columns: list[Object],
    scale: Object | None = None,
) -> Object:
    properties: Object = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    }
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {**_object(properties, required=["spec"]), "description": description}},
    }
    if status is not None:
        properties["status"] = status
        version["subresources"] = {"status": {}, **({"scale": scale} if scale else {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                **({"shortNames": [short_name]} if short_name else {}),
            },
            "versions": [version],
        },
    }


_STRINGS: Object = {"type": "object", "additionalProperties": {"type": "string"}}
_POD: Object = {
    **_object(
        {
            "metadata": _object({"labels": _STRINGS, "annotations": _STRINGS}),
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "description": "The pod's specification.",
            },
        },
        required=["spec"],
    ),
    "description": "The pod to make.",
}
_TEMPLATE: Object = {"podTemplate": _POD}
_RAY_TEMPLATE: Object = {"template": _POD}
_LIFECYCLE: Object = {
    "operatingMode": _text(
        "Running: there is a pod. Suspended: there is none, and the Sandbox stays.",
        enum=["Running", "Suspended"],
        default="Running",
    ),
    "shutdownTime": _text("When the Sandbox expires: from then on it has no pod.", format="date-time"),
    "shutdownPolicy": _text(
        "Whether the Sandbox itself goes when it expires.", enum=["Delete", "Retain"], default="Retain"
    ),
}
_CONDITIONS: Object = _list(
    _object(
        {
            "type": _text("What it is about."),
            "status": _text("Whether it holds.", enum=["True", "False", "Unknown"]),
            "reason": _text("Why, in one word."),
            "message": _text("Why, in words."),
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "lastTransitionTime": _text("Since when.", format="date-time"),
        },
        required=["type", "status", "reason", "message", "lastTransitionTime"],
    )
)
_READY: Object = _column("Ready", ".status.conditions[?(@.type=='Ready')].status")
_REASON: Object = _column("Reason", ".status.conditions[?(@.type=='Ready')].reason")
_AGE: Object = _column("Age", ".metadata.creationTimestamp", "date")
