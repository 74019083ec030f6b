"""What names, labels and annotations may look like.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from .errors import FieldError, invalid, required, too_long

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_BASE: Final = 58
_MAX_ANNOTATIONS: Final = 256 * 1024

_OWNER_PARTS: Final = {
    "apiVersion": "version must not be empty",
    "kind": "must not be empty",
    "name": "must not be empty",
    "uid": "must not be empty",
}
_LABEL_HELP: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_HELP: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_HELP: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_HELP: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def generated(prefix: str) -> str:
    """A name from ``metadata.generateName``: the prefix and five random characters."""
    return prefix[:_MAX_BASE] + "".join(secrets.choice(_SUFFIX) for _ in range(5))


def check_label(name: str, field: str) -> list[FieldError]:
    """What is wrong with a DNS-1123 label, the form of container and namespace names."""
    if _LABEL.fullmatch(name) is None:
        return [invalid(field, name, _LABEL_HELP)]
    return [too_long(field, 63)] if len(name) > 63 else []


def check_subdomain(name: str, field: str) -> list[FieldError]:
    """What is wrong with a DNS-1123 subdomain, the form of most objects' names."""
    if _SUBDOMAIN.fullmatch(name) is None:
        return [invalid(field, name, _SUBDOMAIN_HELP)]
    return [invalid(field, name, "must be no more than 253 bytes")] if len(name) > 253 else []


def check_metadata(metadata: Mapping[str, Any], *, namespace: bool) -> list[FieldError]:
    """What is wrong with an object's metadata; ``namespace``: the object is itself a namespace."""
    errors: list[FieldError] = []
    name = metadata.get("name")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += check_label(name, "metadata.name") if namespace else check_subdomain(name, "metadata.name")
    errors += check_labels(metadata.get("labels") or {}, "metadata.labels")
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    errors += [error for key in annotations for error in _check_key(key.lower(), key, "metadata.annotations")]
    if sum(len(key) + len(value) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        errors.append(too_long("metadata.annotations", _MAX_ANNOTATIONS))
    for index, item in enumerate(metadata.get("finalizers") or ()):
        errors += _check_key(item, item, f"metadata.finalizers[{index}]")
    errors += _check_owners(metadata.get("ownerReferences") or ())
    return errors


def check_labels(labels: Mapping[str, str], field: str) -> list[FieldError]:
    """What is wrong with a map of labels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += _check_key(key, key, field)
        if len(value) > 63:
            errors.append(invalid(field, value, "must be no more than 63 bytes"))
        elif value and _QUALIFIED.fullmatch(value) is None:
            errors.append(invalid(field, value, _VALUE_HELP))
    return errors


def _check_key(key: str, shown: str, field: str) -> list[FieldError]:
    prefix, slash, name = key.rpartition("/")
    if not name:
        return [invalid(field, shown, "name part must be non-empty")]
    if len(name) > 63:
        return [invalid(field, shown, "name part must be no more than 63 bytes")]
    if _QUALIFIED.fullmatch(name) is None:
        return [invalid(field, shown, _KEY_HELP)]
    if slash and _SUBDOMAIN.fullmatch(prefix) is None:
        return [invalid(field, shown, f"prefix part {_SUBDOMAIN_HELP}")]
    return []


def _check_owners(owners: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers = 0
    for owner in owners:
        errors += [
            invalid(f"metadata.ownerReferences.{key}", "", detail)
            for key, detail in _OWNER_PARTS.items()
            if not owner.get(key)
        ]
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        detail = "Only one reference can have Controller set to true"
        errors.append(invalid("metadata.ownerReferences", owners, detail))
    return errors
