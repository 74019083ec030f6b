"""The playground's node: pods as local process groups, for any Kubernetes API server."""

from agentstop_playground.node.node import Node

__all__ = ["Node"]
