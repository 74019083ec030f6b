"""What the chart's hooks share: the API server as seen from a pod, and its errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agentstop.api.meta import API_VERSION
from agentstop.cli.errors import UserError
from agentstop.client.client import Api
from agentstop.client.config import Settings
from agentstop.client.errors import ApiError, ConfigError, UnreachableError

MANAGER: Final = "agentstop"
"""Field manager of what the hooks write."""

PAUSE_SECONDS: Final = 0.5
"""Between two looks."""


def path(plural: str, namespace: str = "", name: str = "") -> str:
    """Return the path of one of our objects, of all of its kind in a namespace, or of all there are."""
    where = ("namespaces", namespace) if namespace else ()
    return "/".join(part for part in (f"/apis/{API_VERSION}", *where, plural, name) if part)


@contextmanager
def api() -> Iterator[Api]:
    """Yield a client for KUBECONFIG, or for the pod's service account; raises UserError for what goes wrong with it."""
    try:
        yield (client := Api.open(Settings(), interactive=False))
    except ConfigError as error:
        raise UserError(str(error)) from error
    except UnreachableError as error:
        raise UserError(f"cannot reach the API server {client.target.server}: {error}") from error
    except ApiError as error:
        raise UserError(f"the API server refused: {error.message}; {_advice(error)}") from error


def _advice(error: ApiError) -> str:
    if error.code == 404:
        return "install the CustomResourceDefinitions, for example with the chart's crds.enabled"
    if error.code in {401, 403}:
        return "grant that to the service account, or see which policy refuses it"
    return "mend that and try again"
