"""What the API server's refusals mean to people: one line that says what to do next, and an exit code."""

from typing import TYPE_CHECKING, Final

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import GROUP, TASK, Kind
from agentstop.client.errors import ApiError, UnreachableError

if TYPE_CHECKING:
    from agentstop.client.client import Api
    from agentstop.client.config import Target

LOOKED_AT: Final = 500
"""So many names are compared with one that is not there."""


def problem_of(api: "Api", error: ApiError) -> PluginError:
    """Return the problem that any refusal is, whatever was asked."""
    if error.code == 401:
        message = (
            f"the API server does not know you (context {api.target.context}): log in again, or choose a --context"
        )
        return PluginError(message, Exit.FORBIDDEN)
    if error.code == 403:
        return PluginError(f"{_shortened(error.message)}; see what you may do: agentstop check", Exit.FORBIDDEN)
    if is_unknown_kind(error):
        return PluginError(
            "this cluster does not know agentstop's kinds; install them: agentstop crds | kubectl apply -f -"
            f" (context {api.target.context})"
        )
    if error.code == 404:
        return PluginError(error.message, Exit.NOT_FOUND)
    if error.code == 409:
        return PluginError(f"{error.message}; try again")
    return PluginError(_shortened(error.message))


def unreachable(target: "Target", error: UnreachableError) -> PluginError:
    """Return the problem that no answer came."""
    return PluginError(
        f"cannot reach the API server {target.server} (context {target.context}): {error};"
        " is the cluster up, and is this the right context?"
    )


def is_unknown_kind(error: ApiError) -> bool:
    """Whether the API server does not serve the kind at all, as against having no such object."""
    return error.code == 404 and not error.details.get("name")


def no_such(api: "Api", kind: Kind, namespace: str, name: str) -> PluginError:
    """Return the problem that there is no object of this name, with what the user may have meant."""
    where = "" if kind.cluster_wide else f" in namespace {namespace}"
    return PluginError(f"there is no {kind.word} {name!r}{where}{_hint(api, kind, namespace, name)}", Exit.NOT_FOUND)


def _hint(api: "Api", kind: Kind, namespace: str, name: str) -> str:
    elsewhere = [] if kind.cluster_wide else _names(api, kind, None, {"fieldSelector": f"metadata.name={name}"})
    if elsewhere:
        places = sorted({place for place, _ in elsewhere})
        also = "" if len(places) == 1 else f" (and in {len(places) - 1} more)"
        return f"; but there is in {places[0]}{also}: add -n {places[0]}"
    from difflib import get_close_matches

    here = [known for _, known in _names(api, kind, namespace, {})]
    close = get_close_matches(name, here, 1, 0.6)
    if close:
        return f". Did you mean {close[0]}?"
    verb = "list" if kind is TASK else "order list"
    if kind.cluster_wide:
        return f": see agentstop {verb}"
    return f": see agentstop {verb} -n {namespace}, or agentstop {verb} -A"


def _names(api: "Api", kind: Kind, namespace: str | None, query: dict[str, str]) -> list[tuple[str, str]]:
    """Return (namespace, name) of what can be seen; nothing where the user may not look."""
    try:
        page = api.page(kind.path(namespace), {**query, "limit": str(LOOKED_AT)})
    except ApiError:
        return []
    found = [item["metadata"] for item in page.get("items") or ()]
    return [(each.get("namespace", ""), each["name"]) for each in found]


def _shortened(message: str) -> str:
    """Take away what the API server says around its point."""
    for kind in ("agenttasks", "stoporders", "clusterstoporders"):
        message = message.replace(f"{kind}.{GROUP}", kind)
    before, found, after = message.partition(" is invalid: ")
    return after if found and before else message
