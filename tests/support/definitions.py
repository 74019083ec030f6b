"""CustomResourceDefinitions: what the clusters of the tests are given, and how."""

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from agentstop_playground.controllers import ray_crds, sandbox_crds
from tests.support.kube import CRDS, Kind, Kube, KubeError, Object
from tests.support.waiting import PATIENCE, until

PUBLISHED = "AGENTSTOP_SANDBOX_CRDS"
"""Environment variable with a folder of the definitions that kubernetes-sigs/agent-sandbox publishes."""


def published(folder: Path) -> list[Object]:
    """Read the definitions in a folder's YAML files, fit for a cluster without their conversion webhook."""
    found = [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text("utf-8"))]
    definitions = [each for each in found if each and each.get("kind") == "CustomResourceDefinition"]
    if not definitions:
        raise RuntimeError(f"${PUBLISHED}: no CustomResourceDefinition in a *.yaml file of {folder}")
    for each in definitions:
        each["spec"].pop("conversion", None)
    return definitions


def sandboxes() -> list[Object]:
    """Return the definitions of the sandbox kinds: the published ones where they are given, or the playground's."""
    folder = os.environ.get(PUBLISHED)
    return published(Path(folder)) if folder else sandbox_crds()


def custom() -> list[Object]:
    """Return the definitions of all kinds that the playground's controllers look after besides Kubernetes' own."""
    return [*sandboxes(), *ray_crds()]


async def belong_to_others(kube: Kube) -> bool:
    """Whether agent-sandbox itself is installed: its definitions name its webhook, which ours do not have."""
    installed = await kube.list(CRDS)
    ours = {each["metadata"]["name"] for each in sandboxes()}
    strategies = [each["spec"]["conversion"]["strategy"] for each in installed if each["metadata"]["name"] in ours]
    return "Webhook" in strategies


async def install(kube: Kube, definitions: Iterable[Object]) -> None:
    """Install definitions where they are missing, and wait until their kinds are served."""
    definitions = list(definitions)
    for definition in definitions:
        try:
            await kube.create(CRDS, "", definition)
        except KubeError as error:
            if error.code != 409:
                raise

    async def served() -> bool:
        try:
            for definition in definitions:
                await kube.list(_stored(definition), limit="1")
        except KubeError:
            return False
        return True

    await until(served, PATIENCE, f"{', '.join(each['metadata']['name'] for each in definitions)} served")


def _stored(definition: Object) -> Kind:
    spec = definition["spec"]
    version = next(each["name"] for each in spec["versions"] if each["storage"])
    return Kind(f"/apis/{spec['group']}/{version}", spec["names"]["plural"])
