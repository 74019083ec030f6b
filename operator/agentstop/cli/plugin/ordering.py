"""Making orders, and following them to their end."""

import time
from typing import Any, Final

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import API_VERSION, CLUSTER_ORDER, FIELD_MANAGER, ORDER, TASK, Kind
from agentstop.cli.plugin.results import counted
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session
from agentstop.cli.plugin.waiting.aims import OrderAim
from agentstop.cli.plugin.waiting.display import make_display
from agentstop.cli.plugin.waiting.loop import wait_for
from agentstop.client.client import Api
from agentstop.client.errors import ApiError
from agentstop.client.follow import Follower
from agentstop.words.durations import now
from agentstop.words.tasks import Object, longer_kill, name_of, spec_of, status_of, stop_of

KEPT_SECONDS: Final = 604_800
"""Orders that a verb makes by itself are kept for a week after their end."""

DRILL_KEPT_SECONDS: Final = 3600

LOOKED_AT: Final = 50
LOOK_SECONDS: Final = 1.0
"""So many tasks that are stopping are looked at, and so often: for the table of what still runs."""


def kind_of(order: Object) -> Kind:
    """Return which of the two kinds an order is."""
    return CLUSTER_ORDER if order["kind"] == CLUSTER_ORDER.kind else ORDER


def order_body(selection: Selection, *, name: str | None, **spec: Any) -> Object:
    """Return an order for a selection; what is None of the spec is left out."""
    kind = CLUSTER_ORDER if selection.all_namespaces else ORDER
    prefix = "drill-" if spec.get("drill") else "freeze-" if spec.get("freeze") else "stop-"
    return {
        "apiVersion": API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": name} if name else {"generateName": prefix},
        "spec": selection.order_spec() | {key: value for key, value in spec.items() if value not in (None, False)},
    }


def make_order(session: Session, body: Object, *, dry_run: bool = False) -> Object:
    """Create an order."""
    kind = kind_of(body)
    return session.api.create(kind.path(session.namespace), body, manager=FIELD_MANAGER, dry_run=dry_run)


def follow_order(session: Session, order: Object, timeout: float | None) -> Object:
    """Wait until an order is carried out, and return it. Raises PluginError."""
    kind = kind_of(order)
    follower = Follower(session.api, kind.path(session.namespace), name=name_of(order))
    follower.start(order)
    aim = OrderAim(now(), _Sample(session.api, kind, session.namespace, order))
    try:
        wait_for(follower, aim, make_display(), timeout)
    except KeyboardInterrupt:
        where = "-A" if kind is CLUSTER_ORDER else f"-n {session.namespace}"
        follow = f"agentstop order get -w {name_of(order)} {where}"
        raise PluginError(f"stopped waiting; the stop goes on. Follow it: {follow}", Exit.INTERRUPTED) from None
    finally:
        follower.stop()
    return next(iter(follower.objects.values()), order)


class _Sample:
    """Some of the tasks that an order is stopping; looked up now and then.

    Those that were stopping before have another's record. They are among them if they run out a longer grace period
    than was asked for, which people want to know of, and the order certainly means them.
    """

    def __init__(self, api: Api, kind: Kind, namespace: str, order: Object) -> None:
        self._api = api
        self._path = TASK.path(None if kind is CLUSTER_ORDER else namespace)
        self._uid = order["metadata"]["uid"]
        self._spec = spec_of(order)
        self._tasks: list[Object] = []
        self._asked_at = 0.0

    def __call__(self) -> list[Object]:
        """Return the tasks; those of a moment ago, or none where the user may not look."""
        if time.monotonic() - self._asked_at < LOOK_SECONDS:
            return self._tasks
        self._asked_at = time.monotonic()
        query = {"fieldSelector": "status.phase=Stopping", "limit": str(LOOKED_AT)}
        try:
            items = self._api.page(self._path, query).get("items") or ()
        except ApiError:
            return []
        self._tasks = [item for item in items if self._stops(item)]
        return self._tasks

    def _stops(self, task: Object) -> bool:
        if (stop_of(task).get("order") or {}).get("uid") == self._uid:
            return True
        return longer_kill(task) is not None and certainly_means(self._spec, task)


def certainly_means(spec: dict[str, Any], task: Object) -> bool:
    """Whether an order means a task of its namespaces, as far as that can be told without more questions."""
    selector = spec.get("selector") or {}
    if spec.get("namespaceSelector") or selector.get("matchExpressions"):
        return False
    names, agents = spec.get("taskNames"), spec.get("agents")
    labels = task["metadata"].get("labels") or {}
    return (
        (not names or task["metadata"]["name"] in names)
        and (not agents or spec_of(task).get("agent") in agents)
        and all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    )


def drill_lines(order: Object) -> list[str]:
    """Return the report of a drill, for people."""
    from agentstop.cli.plugin.output import table_lines

    report: dict[str, Any] = status_of(order).get("drill") or {}
    running, waiting = int(report.get("running") or 0), int(report.get("waiting") or 0)
    lines = [
        f"it would stop {counted(running + waiting)}: {running} that {'runs' if running == 1 else 'run'}"
        + (f", {waiting} that wait to start, or are paused" if waiting else ""),
    ]
    if report.get("longestGraceSeconds"):
        lines.append(f"the last process would be killed after {report['longestGraceSeconds']}s at the latest")
    groups = report.get("groups") or ()
    if groups:
        rows = [(each["namespace"], each.get("agent") or "-", str(each["tasks"])) for each in groups]
        lines += ["", *table_lines(("NAMESPACE", "AGENT", "TASKS"), rows)]
        more = int(report.get("groupCount") or len(groups)) - len(groups)
        if more > 0:
            lines.append(f"... and {more} more groups")
    problems = report.get("problems") or ()
    if problems:
        lines += ["", f"{report.get('problemCount') or len(problems)} could not be stopped as things are:"]
        held = [(each["namespace"], each["name"], each["reason"], each.get("message") or "") for each in problems]
        lines += table_lines(("NAMESPACE", "NAME", "REASON", "MESSAGE"), held)
    lines += ["", "nothing was stopped"]
    return lines
