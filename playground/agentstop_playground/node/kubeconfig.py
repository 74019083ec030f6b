"""Reading what the node needs from a kubeconfig file.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(Exception):
    """The file cannot be used; one line that says why."""


@dataclass(frozen=True)
class Connection:
    """How to reach an API server."""

    url: str
    token: str | None
    ssl: ssl.SSLContext | None


def load(path: Path) -> Connection:
    """Read the current context; tokens and client certificates are understood. Raises KubeconfigError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        contexts = {item["name"]: item["context"] for item in content["contexts"]}
        context = contexts[content["current-context"]]
        cluster = {item["name"]: item["cluster"] for item in content["clusters"]}[context["cluster"]]
        users = {item["name"]: item.get("user") or {} for item in content.get("users") or []}
        user = users.get(context.get("user"), {})
        url = str(cluster["server"])
        return Connection(url, _token(user), _tls(cluster, user) if url.startswith("https") else None)
    except OSError as error:
        raise KubeconfigError(f"cannot read kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise KubeconfigError(f"kubeconfig {path} is not usable ({type(error).__name__}: {error})") from error


def _token(user: Mapping[str, Any]) -> str | None:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return Path(user["tokenFile"]).read_text(encoding="utf-8").strip()
    return None


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif "certificate-authority-data" in cluster:
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        context.load_verify_locations(cafile=cluster["certificate-authority"])
    if "client-certificate-data" in user:
        # The ssl module reads certificates of its own side from files only.
        with tempfile.NamedTemporaryFile() as certificate, tempfile.NamedTemporaryFile() as key:
            certificate.write(base64.b64decode(user["client-certificate-data"]))
            certificate.flush()
            key.write(base64.b64decode(user["client-key-data"]))
            key.flush()
            context.load_cert_chain(certificate.name, key.name)
    elif "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context
