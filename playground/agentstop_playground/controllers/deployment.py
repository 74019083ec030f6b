"""The Deployment controller."""

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers import deployment_status
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import DEPLOYMENT, REPLICA_SET
from agentstop_playground.controllers.objects import deleting, owner_reference
from agentstop_playground.controllers.pods import together


class DeploymentController(Controller):
    """Keeps one ReplicaSet for each template that a Deployment has had; that of the present one has the pods."""

    kind = DEPLOYMENT

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, REPLICA_SET)
        self._replica_sets = hub.cache(REPLICA_SET)

    async def reconcile(self, key: str) -> float | None:
        """Make and scale ReplicaSets."""
        deployment = self.objects.get(key)
        if deployment is None or deleting(deployment):
            return None
        wanted = deployment_status.plan(deployment, self._owned(key))
        if wanted.create is not None:
            await self._create(deployment, wanted.create)
        await together(self._scale(deployment, item, replicas) for item, replicas in wanted.scale)
        deployment = self.objects.get(key) or deployment
        status = deployment_status.status(deployment, self._owned(key), times.now())
        await self.hub.write_status(DEPLOYMENT, deployment, status)
        return None

    def _owned(self, key: str) -> list[Object]:
        owned = self._replica_sets.controlled_by(key)
        return sorted(
            (item for item in owned if not deleting(item)),
            key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]),
        )

    async def _create(self, deployment: Object, replica_set: Object) -> None:
        metadata = {**replica_set["metadata"], "ownerReferences": [owner_reference(DEPLOYMENT, deployment)]}
        await self.hub.create(REPLICA_SET, deployment["metadata"]["namespace"], {**replica_set, "metadata": metadata})
        self._tell(deployment, metadata["name"], 0, replica_set["spec"]["replicas"])

    async def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        metadata = replica_set["metadata"]
        version = {"resourceVersion": metadata["resourceVersion"]}
        await self.hub.patch(REPLICA_SET, replica_set, {"metadata": version, "spec": {"replicas": replicas}})
        self._tell(deployment, metadata["name"], replica_set["spec"]["replicas"], replicas)

    def _tell(self, deployment: Object, name: str, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        message = f"Scaled {way} replica set {name} from {before} to {after}"
        self.record(deployment, "ScalingReplicaSet", message)
