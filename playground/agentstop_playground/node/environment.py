"""A container's environment: literal values, references and $(NAME) expansion.

Sources: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ and
https://kubernetes.io/docs/concepts/workloads/pods/downward-api/.
"""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")

Reader = Callable[[str, str], Awaitable[dict[str, Any] | None]]
"""Reads ``("configmaps" | "secrets", name)`` in the pod's namespace; None if there is none."""

KINDS = {"configmaps": "configmap", "secrets": "secret"}


class ConfigError(Exception):
    """The environment cannot be made as things are (waiting reason CreateContainerConfigError)."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; ``$$`` is a literal ``$``, and an unknown name stays as it is written."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replacement, text)


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """The value of a ``fieldRef``; raises ConfigError for a path that Kubernetes does not offer."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed:
        return str((metadata.get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    values: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": status.get("podIP", ""),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(values[path])


def decoded(source: str, value: str) -> str:
    """A value of a ConfigMap as it is, one of a Secret out of its base64."""
    if source == "configmaps":
        return value
    try:
        return base64.b64decode(value, validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise ConfigError(f"a secret's value is not base64: {error}") from error


async def resolve(pod: Mapping[str, Any], container: Mapping[str, Any], read: Reader) -> dict[str, str]:
    """All variables that a container declares, in Kubernetes' order of precedence; raises ConfigError."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        kind, reference = (
            ("configmaps", source.get("configMapRef"))
            if "configMapRef" in source
            else ("secrets", source.get("secretRef"))
        )
        if not reference:
            continue
        holder = await read(kind, reference["name"])
        if holder is None:
            if reference.get("optional"):
                continue
            raise ConfigError(f'{KINDS[kind]} "{reference["name"]}" not found')
        for key, value in (holder.get("data") or {}).items():
            variables[f"{source.get('prefix') or ''}{key}"] = decoded(kind, value)
    for item in container.get("env") or []:
        value = await _value(pod, item, variables, read)
        if value is not None:
            variables[item["name"]] = value
    return variables


async def _value(
    pod: Mapping[str, Any], item: Mapping[str, Any], variables: Mapping[str, str], read: Reader
) -> str | None:
    source = item.get("valueFrom")
    if not source:
        return expand(item.get("value") or "", variables)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"])
    for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if field in source:
            return await _keyed(kind, source[field], pod["metadata"]["namespace"], read)
    raise ConfigError(f"variable {item['name']}: the playground's node does not support {', '.join(source)}")


async def _keyed(kind: str, reference: Mapping[str, Any], namespace: str, read: Reader) -> str | None:
    holder = await read(kind, reference["name"])
    data = (holder or {}).get("data") or {}
    if reference["key"] in data:
        return decoded(kind, data[reference["key"]])
    if reference.get("optional"):
        return None
    if holder is None:
        raise ConfigError(f'{KINDS[kind]} "{reference["name"]}" not found')
    raise ConfigError(f"couldn't find key {reference['key']} in {KINDS[kind]} {namespace}/{reference['name']}")


def command_line(container: Mapping[str, Any], variables: Mapping[str, str]) -> Sequence[str]:
    """``command`` and ``args`` with their references expanded; empty if the container has neither."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return [expand(word, variables) for word in words]
