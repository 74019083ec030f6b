"""A Kubernetes API server in memory, good enough for kubectl, kopf and the official client."""

from .app import ApiServer

__all__ = ["ApiServer"]
