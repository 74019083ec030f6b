"""A stop, and then the next sync of a Git tool: no stop is undone, and the sync ends as `docs/gitops.md` has it."""

import re
from collections.abc import Awaitable, Callable, Mapping

import pytest

from tests.docs.documents import table_below
from tests.gitops import tools
from tests.gitops.test_health import DOCUMENT
from tests.gitops.tools import Repository, SyncError
from tests.support.laws import kstatus

pytestmark = [
    pytest.mark.usefixtures("launch"),
    pytest.mark.skipif(tools.kubectl() is None, reason="no kubectl in $KUBEBUILDER_ASSETS or on PATH"),
]
"""No operator runs here: what is refused is refused by the API server alone."""

Act = Callable[[Repository], Awaitable[None]]

FINAL = re.compile(r"spec\.stopRequested cannot be taken back")


async def reverted(repository: Repository) -> None:
    await tools.by_commit(repository)


STOPS: Mapping[str, Act] = {
    "`kubectl agentstop stop`": tools.by_plugin,
    "`kubectl patch --field-manager=agentstop`": tools.by_kubectl_as_agentstop,
    "`kubectl patch`": tools.by_kubectl,
    "the action `stop` in Argo CD": tools.by_action,
    "`stopRequested: true` in Git": tools.by_commit,
    "the same, reverted": reverted,
}

SYNCS: tuple[Act, ...] = (
    tools.argo,
    tools.argo_client_side,
    tools.argo_replace,
    tools.flux,
    tools.flux_merging,
)
"""In the order of the document's columns."""

TABLE = table_below(DOCUMENT, "<!-- syncs -->")

CASES = [
    pytest.param(STOPS[label], sync, cell, id=f"{STOPS[label].__name__} {sync.__name__}")
    for label, *cells in TABLE
    for sync, cell in zip(SYNCS, cells, strict=True)
]


def test_every_stop_is_documented() -> None:
    assert [label for label, *_ in TABLE] == list(STOPS)


@pytest.mark.parametrize(("stop", "sync", "outcome"), CASES)
async def test_no_sync_undoes_a_stop(repository: Repository, stop: Act, sync: Act, outcome: str) -> None:
    await sync(repository)
    first = await repository.live()
    await stop(repository)
    if stop is reverted:
        await sync(repository)
        repository.commit(stopRequested=None, stop=None)
    for _ in range(2):
        if outcome == "succeeds":
            await sync(repository)
        else:
            with pytest.raises(SyncError, match=FINAL):
                await sync(repository)
        live = await repository.live()
        assert live["spec"]["stopRequested"] is True
        assert live["spec"]["stop"]["podPolicy"] == "Keep"
        assert live["metadata"]["uid"] == first["metadata"]["uid"]


async def test_what_flux_has_taken_over_is_left_to_git(repository: Repository) -> None:
    await tools.flux(repository)
    await tools.by_kubectl(repository)
    for sync in (tools.flux, tools.flux_merging):
        with pytest.raises(SyncError, match=FINAL):
            await sync(repository)
    repository.commit(stopRequested=True)
    await tools.flux_merging(repository)
    assert (await repository.live())["spec"]["stopRequested"] is True


async def test_a_clean_sync_after_a_stop_changes_nothing(repository: Repository) -> None:
    await tools.flux(repository)
    await tools.by_plugin(repository)
    before = await repository.live()
    await tools.flux(repository)
    assert (await repository.live())["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert before["spec"]["stop"]["reason"] == "RunawayCost"


async def test_other_changes_in_git_still_arrive(repository: Repository) -> None:
    for sync in (tools.argo, tools.flux):
        await sync(repository)
        await tools.by_plugin(repository)
        seconds = 600 if sync is tools.argo else 60
        repository.commit(ttlSecondsAfterFinished=seconds)
        await sync(repository)
        spec = (await repository.live())["spec"]
        assert (spec["ttlSecondsAfterFinished"], spec["stopRequested"]) == (seconds, True)


async def test_argo_takes_over_what_client_side_apply_made(repository: Repository) -> None:
    await tools.by_client_side_apply(repository)
    await tools.by_kubectl(repository)
    await tools.argo(repository)
    live = await repository.live()
    assert live["spec"]["stopRequested"] is True
    managers = {(each["manager"], each["operation"]) for each in live["metadata"]["managedFields"]}
    assert managers == {("argocd-controller", "Apply"), ("kubectl-patch", "Update")}


async def test_a_false_in_git_is_asked_for_again_and_again(repository: Repository) -> None:
    repository.commit(stopRequested=False)
    await tools.argo(repository)
    await tools.by_plugin(repository)
    with pytest.raises(SyncError, match=FINAL):
        await tools.argo(repository)


@pytest.mark.parametrize("stop", [tools.by_plugin, tools.by_kubectl, tools.by_action])
async def test_argo_leaves_it_alone_where_differences_are_respected(repository: Repository, stop: Act) -> None:
    repository.commit(stopRequested=False)
    await tools.argo(repository)
    await stop(repository)
    await tools.argo_respecting(repository)
    assert (await repository.live())["spec"]["stopRequested"] is True


async def test_a_stop_by_commit_gets_through_where_differences_are_respected(repository: Repository) -> None:
    await tools.argo(repository)
    await tools.by_action(repository, "pause")
    await tools.by_commit(repository)
    await tools.argo_respecting(repository)
    spec = (await repository.live())["spec"]
    assert (spec["stopRequested"], spec["paused"]) == (True, True)


async def test_argo_does_not_resume_what_was_paused_in_the_cluster(repository: Repository) -> None:
    repository.commit(paused=False)
    await tools.argo(repository)
    await tools.by_action(repository, "pause")
    await tools.argo_respecting(repository)
    assert (await repository.live())["spec"]["paused"] is True
    await tools.by_action(repository, "resume")
    assert (await repository.live())["spec"]["paused"] is False


@pytest.mark.parametrize("sync", [tools.flux_forcing, tools.argo_force, tools.argo_replace_force])
async def test_a_forced_sync_makes_the_task_anew(repository: Repository, sync: Act) -> None:
    """What the document warns of."""
    await sync(repository)
    first = await repository.live()
    await tools.by_commit(repository)
    await sync(repository)
    repository.commit(stopRequested=None, stop=None)
    await sync(repository)
    live = await repository.live()
    assert live["metadata"]["uid"] != first["metadata"]["uid"]
    assert live["spec"]["stopRequested"] is False


async def test_what_nobody_has_looked_at_is_in_progress(repository: Repository) -> None:
    await tools.flux(repository)
    live = await repository.live()
    assert live["status"] == {"observedGeneration": 0}
    assert kstatus(live) == "InProgress"
