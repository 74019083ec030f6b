"""The playground's controllers: just enough of Kubernetes' own, of agent-sandbox and of KubeRay, for any API server."""

from agentstop_playground.controllers.controllers import ALL, CUSTOM, Controllers
from agentstop_playground.controllers.definitions import ray_crds, sandbox_crds

__all__ = ["ALL", "CUSTOM", "Controllers", "ray_crds", "sandbox_crds"]
