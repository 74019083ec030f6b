"""The playground's controllers: just enough of Kubernetes' own and of agent-sandbox, for any API server."""

from agentstop_playground.controllers.controllers import ALL, SANDBOXES, Controllers
from agentstop_playground.controllers.sandbox_definitions import sandbox_crds

__all__ = ["ALL", "SANDBOXES", "Controllers", "sandbox_crds"]
