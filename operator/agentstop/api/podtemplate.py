"""The schema of a pod template: the PodSpec of the newest Kubernetes that this version knows.

A field that the schema does not name is not stored. So nothing is nested deeper than a pod is, whoever writes it: an
object of any depth would blind whoever reads it. `tools/podspec.py` makes `podspec.json`; see there what is kept.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from agentstop.api.meta import rule, schema

MAX_ENTRIES: Final = 64
"""So many labels, and so many annotations, a template may give its pod."""

MAX_KEY: Final = 317
"""Characters of the name of a label or an annotation: a prefix of 253, a slash, and a name of 63.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

MAX_LABEL: Final = 63
MAX_ANNOTATION: Final = 4_096

MAX_TEMPLATE: Final = 131_072
"""Characters of a whole template: what is larger belongs into a ConfigMap or an image."""

_KEYS: Final = rule(f"self.all(key, key.size() <= {MAX_KEY})", f"a key must have at most {MAX_KEY} characters")

# The only function that takes a value whole. `dyn` since it is checked for text and numbers where types are known.
_LENGTH: Final = "'%s'.format([dyn(self)]).size()"

_RULE: Final = rule(
    # One rule and not two, and the length of a new template only: every patch of a task, a stop's too, waits for these.
    f"oldSelf.hasValue() ? self == oldSelf.value() : {_LENGTH} <= {MAX_TEMPLATE}",
    "podTemplate is immutable",
    messageExpression=f"{_LENGTH} > {MAX_TEMPLATE}"
    f" ? 'podTemplate must have at most {MAX_TEMPLATE} characters as a whole: put what is large into a ConfigMap'"
    " : 'podTemplate is immutable: create a new task instead'",
    optionalOldSelf=True,
)


@cache
def _podspec() -> dict[str, Any]:
    return dict(json.loads(files("agentstop.api").joinpath("podspec.json").read_text(encoding="utf-8")))


def kubernetes_version() -> str:
    """Return the version of Kubernetes that the schema is of, such as 1.36."""
    return str(_podspec()["kubernetes"])


def pod_template_schema() -> dict[str, Any]:
    """Return the schema of `spec.podTemplate`, all but its description."""
    return {
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "description": "Labels and annotations for the pod. Its name is the name of the task.",
                "properties": {
                    "labels": _map("Labels of the pod.", MAX_LABEL),
                    "annotations": _map("Annotations of the pod.", MAX_ANNOTATION),
                },
            },
            "spec": {
                **_podspec()["schema"],
                "description": f"The pod's spec, as in core/v1 of Kubernetes {kubernetes_version()}: see `kubectl"
                " explain pod.spec`. restartPolicy is Never where it is not given. A field that is not known here is"
                " refused by kubectl, and dropped where a client does not ask the API server to refuse it.",
            },
        },
        **schema(_RULE),
    }


def _map(description: str, longest: int) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": {"type": "string", "maxLength": longest},
        **schema(_KEYS),
    }
