"""The files of examples/gitops."""

from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples/gitops"
ARGO: Final = EXAMPLES / "argocd"
FLUX: Final = EXAMPLES / "flux"
GROUP: Final = "agentstop.dev"
KINDS: Final = ("AgentTask", "StopOrder", "ClusterStopOrder")
ACTIONS: Final = "actions"


def customization(kind: str) -> Path:
    """Return the folder of a kind among Argo CD's resource customizations."""
    return ARGO / "resource_customizations" / GROUP / kind


def load(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


TASK: Final[dict[str, Any]] = load(EXAMPLES / "tasks/research-42.yaml")
