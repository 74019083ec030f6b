"""Git tools, as the API server sees them: the requests of one sync of Argo CD or of Flux, one after the other."""

import asyncio
import copy
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.gitops import lua
from tests.gitops.files import ACTIONS, ARGO, TASK, customization
from tests.gitops.ownership import Entry, respecting, take_over
from tests.support import apiserver, marks
from tests.support.kube import APPLY, JSON_PATCH, TASKS, KubeError, Object
from tests.support.namespaces import Namespace
from tests.support.waiting import PATIENCE, until

ARGO_MANAGER = "argocd-controller"
FLUX_MANAGER = "kustomize-controller"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SSA = "kustomize.toolkit.fluxcd.io/ssa"

NAME = TASK["metadata"]["name"]


class SyncError(Exception):
    """A sync failed; the text is what the tool would show."""


def kubectl() -> str | None:
    """Return the kubectl to use: the one of the API server's own version, where there is one."""
    own = apiserver.assets() / "kubectl"
    return str(own) if own.exists() else shutil.which("kubectl")


@dataclass
class Repository:
    """A Git repository with one task, research-42."""

    ns: Namespace
    task: Object = field(default_factory=lambda: copy.deepcopy(TASK))

    def __post_init__(self) -> None:
        spec = self.task["spec"]["podTemplate"]["spec"]
        self.task["spec"]["podTemplate"]["spec"] = marks.put(spec, marks.for_pod(self.ns.name, NAME))
        self.task["metadata"]["annotations"] = {}

    def commit(self, **spec: object) -> None:
        """Change fields of the task's spec; None takes one away."""
        self.task["spec"] |= spec
        self.task["spec"] = {name: value for name, value in self.task["spec"].items() if value is not None}

    async def live(self) -> Object:
        """Return the task in the cluster."""
        return await self.ns.task(NAME)


# What people do


async def by_plugin(repository: Repository) -> None:
    """`kubectl agentstop stop`."""
    command = [sys.executable, "-m", "agentstop.cli.main", "stop", NAME, "--no-wait", "--reason", "RunawayCost"]
    await _run([*command, "-n", repository.ns.name], repository.ns.cluster.kubeconfig)


async def by_kubectl(repository: Repository, *options: str) -> None:
    """`kubectl patch`."""
    patch = '{"spec":{"stopRequested":true,"stop":{"reason":"RunawayCost"}}}'
    await _kubectl(repository, ["patch", "atask", NAME, "--type=merge", "-p", patch, *options])


async def by_kubectl_as_agentstop(repository: Repository) -> None:
    """`kubectl patch` with the field manager that the plugin has."""
    await by_kubectl(repository, "--field-manager=agentstop")


async def by_client_side_apply(repository: Repository) -> None:
    """`kubectl apply` of what is in Git, before there was a tool."""
    await _kubectl(repository, ["apply", "-f", "-"], repository.task)


async def by_action(repository: Repository, action: str = "stop") -> None:
    """An action in Argo CD."""
    live = await repository.live()
    changed = lua.act((customization("AgentTask") / ACTIONS / action / "action.lua").read_text(), live)
    query = {"fieldManager": "argocd-server"}
    path, patch = TASKS.path(repository.ns.name, NAME), lua.merge_patch(live, changed)
    await repository.ns.kube.call("PATCH", path, patch, content_type="application/merge-patch+json", query=query)


async def by_commit(repository: Repository) -> None:
    """A commit; the next sync carries it out."""
    repository.commit(stopRequested=True, stop={"reason": "RunawayCost"})


# What Argo CD does


async def argo(repository: Repository) -> None:
    """Sync with server-side apply, after what client-side apply owned was taken over."""
    await _migrate(repository)
    options = ["--server-side", "--force-conflicts", f"--field-manager={ARGO_MANAGER}"]
    await _kubectl(repository, ["apply", *options, "-f", "-"], repository.task)


async def argo_respecting(repository: Repository) -> None:
    """Sync as `application.yaml` has it, with the differences that it ignores."""
    ignored = yaml.safe_load((ARGO / "application.yaml").read_text())["spec"]["ignoreDifferences"]
    managers = [name for each in ignored for name in each["managedFieldsManagers"]]
    other = copy.copy(repository)
    other.task = respecting(repository.task, await repository.live(), managers)
    await argo(other)


async def argo_client_side(repository: Repository) -> None:
    """Sync with client-side apply, Argo CD's default."""
    await _kubectl(repository, ["apply", f"--field-manager={ARGO_MANAGER}", "-f", "-"], repository.task)


async def argo_replace(repository: Repository) -> None:
    """Sync with Replace=true: what is there is replaced, what is not is created."""
    there = await _exists(repository)
    await _kubectl(repository, ["replace" if there else "create", "-f", "-"], repository.task)


async def argo_replace_force(repository: Repository) -> None:
    """Sync with Replace=true and Force=true."""
    there = await _exists(repository)
    await _kubectl(repository, [*(["replace", "--force"] if there else ["create"]), "-f", "-"], repository.task)


async def argo_force(repository: Repository) -> None:
    """Sync with Force=true."""
    await _kubectl(repository, ["apply", "--force", f"--field-manager={ARGO_MANAGER}", "-f", "-"], repository.task)


async def _migrate(repository: Repository) -> None:
    if not await _exists(repository):
        return
    live = await repository.live()

    def client_side(entry: Entry) -> bool:
        return (entry["manager"], entry["operation"]) == ("kubectl-client-side-apply", "Update")

    entries = take_over(live, client_side, ARGO_MANAGER)
    if entries is not None:
        await _rewrite(repository, [{"op": "replace", "path": "/metadata/managedFields", "value": entries}], "argocd")


# What Flux does


async def flux(repository: Repository, *, force: bool = False) -> None:
    """Sync: apply as a trial, take over what kubectl owns, apply if anything differs.

    Source: Apply in https://github.com/fluxcd/pkg/blob/main/ssa/manager_apply.go, with the options of
    https://github.com/fluxcd/kustomize-controller/blob/main/internal/controller/kustomization_controller.go
    """
    there = await _exists(repository)
    live = await repository.live() if there else {}
    try:
        trial = await _apply(repository, dryRun="All")
    except KubeError as error:
        # To Flux, every "Invalid" is about a field that may not change.
        if not (there and force and error.code in {409, 422}):
            raise SyncError(f"dry-run failed ({error.reason}): {error.message}") from error
        await _delete(repository)
        trial = await _apply(repository, dryRun="All")
        live = {}
    patched = bool(live) and await _clean_up(repository, live)
    if patched or not live or _drifted(live, trial):
        try:
            await _apply(repository)
        except KubeError as error:
            raise SyncError(f"apply failed: {error.message}") from error


async def flux_merging(repository: Repository) -> None:
    """Sync of a task that has the annotation `kustomize.toolkit.fluxcd.io/ssa: Merge`."""
    repository.task["metadata"]["annotations"] = {SSA: "Merge"}
    await flux(repository)


async def flux_forcing(repository: Repository) -> None:
    """Sync with `force: true`."""
    await flux(repository, force=True)


async def _clean_up(repository: Repository, live: Object) -> bool:
    annotations = live["metadata"].get("annotations") or {}
    if "Merge" in {annotations.get(SSA), repository.task["metadata"]["annotations"].get(SSA)}:
        return False

    def taken(entry: Entry) -> bool:
        manager, updates = str(entry["manager"]), entry["operation"] == "Update"
        return manager.startswith("kubectl") or (updates and manager.startswith(("before-first-apply", FLUX_MANAGER)))

    patches: list[Object] = []
    if LAST_APPLIED in annotations:
        patches.append({"op": "remove", "path": f"/metadata/annotations/{LAST_APPLIED.replace('/', '~1')}"})
    if (entries := take_over(live, taken, FLUX_MANAGER)) is not None:
        patches.append({"op": "replace", "path": "/metadata/managedFields", "value": entries})
    if patches:
        await _rewrite(repository, patches, FLUX_MANAGER)
    return bool(patches)


def _drifted(live: Object, trial: Object) -> bool:
    def compared(item: Object) -> tuple[object, ...]:
        metadata = item["metadata"]
        return metadata.get("labels"), metadata.get("annotations"), item["spec"]

    return compared(live) != compared(trial)


async def _apply(repository: Repository, **query: str) -> Object:
    query = {"fieldManager": FLUX_MANAGER, "force": "true", **query}
    path = TASKS.path(repository.ns.name, NAME)
    return await repository.ns.kube.call("PATCH", path, repository.task, content_type=APPLY, query=query)


async def _delete(repository: Repository) -> None:
    await repository.ns.kube.delete(TASKS, repository.ns.name, NAME)

    async def gone() -> bool:
        return not await _exists(repository)

    await until(gone, PATIENCE, f"{NAME} gone")


async def _rewrite(repository: Repository, patches: Sequence[Object], manager: str) -> None:
    path, query = TASKS.path(repository.ns.name, NAME), {"fieldManager": manager}
    await repository.ns.kube.call("PATCH", path, patches, content_type=JSON_PATCH, query=query)


async def _exists(repository: Repository) -> bool:
    return any(each["metadata"]["name"] == NAME for each in await repository.ns.kube.list(TASKS, repository.ns.name))


async def _kubectl(repository: Repository, arguments: Sequence[str], manifest: Object | None = None) -> None:
    program = kubectl()
    assert program is not None
    text = None if manifest is None else yaml.safe_dump(manifest)
    await _run([program, "-n", repository.ns.name, *arguments], repository.ns.cluster.kubeconfig, text)


async def _run(command: Sequence[str], kubeconfig: Path, text: str | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)},
    )
    _, said = await process.communicate(None if text is None else text.encode())
    if process.returncode != 0:
        raise SyncError(said.decode())
