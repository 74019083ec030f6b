"""Access reviews: what the caller may do. It imports next to nothing, since the plugin has to start at once.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Mapping
from typing import Any, Final

PATH: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def self_review(
    verb: str, resource: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> dict[str, Any]:
    """Return the SelfSubjectAccessReview that asks for a right; an empty namespace means all of them."""
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "namespace": namespace,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def allowed(answer: Mapping[str, Any]) -> bool | None:
    """Return whether an answered review allows it; None where it does not say so."""
    status = answer.get("status")
    found = status.get("allowed") if isinstance(status, dict) else None
    return found if isinstance(found, bool) else None


def not_granted(verbs: str, what: str, namespace: str) -> str:
    """Return the words for what the operator may not do, and who can change that."""
    return f"the operator may not {verbs} {what} in namespace {namespace}; grant it that"
