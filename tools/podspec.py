"""Prints the PodSpec of a Kubernetes version as a schema that a CustomResourceDefinition takes.

It is made from the API server's own description of its core API:

    kubectl get --raw /openapi/v3/api/v1 | python -m tools.podspec > operator/agentstop/api/podspec.json

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema

What is kept is the shape: fields, their types, and which are required. A pod's API checks the values, and fills in the
defaults, when the pod is made; whoever does that here too refuses what a newer API server takes. Lists are atomic,
as a template never changes: so no key needs a default, and what a pod may name twice (an environment variable) may be
named twice.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

Node = Mapping[str, Any]

ROOT: Final = "io.k8s.api.core.v1.PodSpec"
QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

KEPT_FORMATS: Final = frozenset({"int32", "int64", "date-time"})

CUT: Final = {OBJECT_META: frozenset({"labels", "annotations"})}
"""Fields that a template has: of the metadata of a volume claim's template the API server refuses all others.

Source: https://kubernetes.io/docs/reference/kubernetes-api/core/pod-v1/ (ephemeral.volumeClaimTemplate.metadata)
"""

YEAR: Final = 31_536_000

GRACE: Final = "terminationGracePeriodSeconds"
"""The one number that says how long a stop takes, of a pod and of a probe: bounded as all durations of a task are."""

TEXTS: Final = {"command": 32_768, "args": 32_768, "env": 32_768}
"""Longest text, in characters, below a field of this name."""

MAX_TEXT: Final = 4_096
MAX_KEY: Final = 317
"""A prefix of 253 characters, a slash, and a name of 63."""

ITEMS: Final = {"command": 1_024, "args": 1_024, "env": 1_024, "items": 1_024}
"""Most items of a list of this name."""

MAX_ITEMS: Final = 256
MAX_KEYS: Final = 64


class UnknownShapeError(Exception):
    """The document has something that has no translation; the message says where."""


def podspec(document: Node) -> dict[str, Any]:
    """Return the version of Kubernetes and the schema of its PodSpec. Raises UnknownShapeError."""
    schemas = document.get("components", {}).get("schemas", {})
    if ROOT not in schemas:
        raise UnknownShapeError(f"the document has no {ROOT}; it must be what GET /openapi/v3/api/v1 answers")
    return {"kubernetes": document["info"]["version"], "schema": _Translation(schemas).named(ROOT, "spec", ())}


class _Translation:
    def __init__(self, schemas: Mapping[str, Node]) -> None:
        self._schemas = schemas

    def named(self, name: str, path: str, above: tuple[str, ...]) -> dict[str, Any]:
        if name in above:
            raise UnknownShapeError(f"{path}: {name} contains itself, so its depth has no bound")
        if name in {INT_OR_STRING, QUANTITY}:
            return {"x-kubernetes-int-or-string": True, "maxLength": MAX_TEXT}
        node = self._schemas[name]
        if name in CUT:
            node = {**node, "properties": {key: node["properties"][key] for key in sorted(CUT[name])}}
        return self.node(node, path, (*above, name))

    def node(self, node: Node, path: str, above: tuple[str, ...]) -> dict[str, Any]:
        reference = node.get("$ref") or (node["allOf"][0].get("$ref") if len(node.get("allOf", ())) == 1 else None)
        if reference:
            return self.named(reference.rsplit("/", 1)[-1], path, above)
        kind = node.get("type")
        if kind == "object":
            return self._object(node, path, above)
        if kind == "array":
            items = self.node(node["items"], f"{path}[]", above)
            return {"type": kind, "maxItems": ITEMS.get(_last(path), MAX_ITEMS), "items": items}
        if kind not in {"string", "boolean", "integer", "number"}:
            raise UnknownShapeError(f"{path}: no translation of {sorted(node)}")
        out: dict[str, Any] = {"type": kind}
        if node.get("format") in KEPT_FORMATS:
            out["format"] = node["format"]
        if kind == "string":
            out["maxLength"] = next((TEXTS[part] for part in _parts(path) if part in TEXTS), MAX_TEXT)
        if _last(path) == GRACE:
            out["maximum"] = YEAR
        return out

    def _object(self, node: Node, path: str, above: tuple[str, ...]) -> dict[str, Any]:
        extra, properties = node.get("additionalProperties"), node.get("properties", {})
        if extra and properties:
            raise UnknownShapeError(f"{path}: has named fields and others too")
        if isinstance(extra, Mapping):
            return {
                "type": "object",
                "maxProperties": MAX_KEYS,
                "additionalProperties": self.node(extra, f"{path}{{}}", above),
            }
        if extra:
            raise UnknownShapeError(f"{path}: takes fields of any type")
        out: dict[str, Any] = {"type": "object"}
        if properties:
            out["properties"] = {
                name: self.node(child, f"{path}.{name}", above) for name, child in sorted(properties.items())
            }
        required = sorted(name for name in node.get("required", ()) if name in properties)
        if required:
            out["required"] = required
        return out


def _parts(path: str) -> list[str]:
    return [part.rstrip("[]{}") for part in path.split(".")]


def _last(path: str) -> str:
    return _parts(path)[-1]


def main() -> int:
    """Read a document, print the schema."""
    try:
        found = podspec(json.load(sys.stdin))
    except (UnknownShapeError, ValueError) as error:
        print(f"podspec: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
