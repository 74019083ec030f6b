"""What all pods of a node share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentstop_playground.api_client import ApiClient
from agentstop_playground.events import EventRecorder
from agentstop_playground.node.images import Images
from agentstop_playground.node.processes import ProcessHost


@dataclass(frozen=True)
class NodeContext:
    """One node's name and address, its folder and its connections to the outside."""

    name: str
    address: str
    data_dir: Path
    client: ApiClient
    host: ProcessHost
    events: EventRecorder
    images: Images
    acting: Callable[[], bool]
    """False while the node plays a dead kubelet: processes go on, but nobody acts on pods."""
