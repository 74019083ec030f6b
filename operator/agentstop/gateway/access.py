"""Requests to the API server in the name of a caller, and what a caller may see."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from agentstop.api.meta import GROUP
from agentstop.api.task import PLURAL
from agentstop.cluster import access_reviews
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Transport
from agentstop.gateway.callers import Caller
from agentstop.gateway.errors import error_of

MERGE: Final = "application/merge-patch+json"

ALLOWED_SECONDS: Final = 5.0
DENIED_SECONDS: Final = 1.0
"""For so long an answer about a caller's rights counts."""

MAX_ANSWERS: Final = 20_000

AT_ONCE: Final = 16
"""So many namespaces are asked about at once for one caller."""

GATEWAYS_OWN: Final = "the gateway's own credentials"

REQUEST_SECONDS: Final = 8.0
"""So long may one request take: less than the gateway has to end in, so that what has begun is answered."""

Question = tuple[str, str, str, str]
"""Identity, verb, namespace, resource."""


class CallerAccess:
    """The API server, as whoever is asking.

    A token is passed on over connections that carry nothing of ours. An API key's user is impersonated.
    """

    def __init__(
        self, own: Transport, bare: Transport, clock: Callable[[], float], *, whose: str = GATEWAYS_OWN
    ) -> None:
        """`whose` is what the credentials of `own` are called where the API server does not take them."""
        self._own = own
        self._whose = whose
        self._bare = bare
        self._clock = clock
        self._answers: OrderedDict[Question, tuple[bool, float]] = OrderedDict()
        self._asking: dict[Question, asyncio.Task[bool]] = {}

    async def keep_warm(self) -> None:
        """Keep connections open, so that no caller waits for one; until cancelled."""
        await asyncio.gather(*(each.keep_warm() for each in {self._own, self._bare}))

    async def call(
        self,
        caller: Caller,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """Make one request as the caller, and return the API server's answer. Raises GatewayError."""
        transport = self._own if caller.own else self._bare
        try:
            return await transport.call(
                method, where, query, body, content_type, timeout=REQUEST_SECONDS, headers=caller.headers
            )
        except ApiError as error:
            raise error_of(error, whose=self._whose if caller.own else None) from error

    async def may(self, caller: Caller, verb: str, namespace: str, resource: str = PLURAL) -> bool:
        """Whether the caller may do this to all tasks, or orders, of a namespace (empty: of all).

        Raises GatewayError.

        Tasks are answered from the index, which the gateway's own rights have filled, so the caller's are asked for: by
        a SelfSubjectAccessReview, since that is one small request for any number of tasks, it works for tokens as well
        as for impersonated users, and it needs no right of the gateway's. A read of each task as the caller would cost
        the API server a whole object for each poll of each client. The answer is kept for a few seconds only; a key
        that is revoked counts no more at once, and whatever changes a task is sent as the caller each time.
        """
        question = (caller.identity, verb, namespace, resource)
        allowed, until = self._answers.get(question, (False, 0.0))
        if self._clock() < until:
            return allowed
        asking = self._asking.get(question)
        if asking is None:
            asking = self._asking[question] = asyncio.create_task(self._ask(caller, question))
            asking.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(asking)

    async def allowed_in(
        self, caller: Caller, verb: str, namespaces: Iterable[str], resource: str = PLURAL
    ) -> list[str]:
        """Return those of these namespaces in which the caller may do this, in their order. Raises GatewayError."""
        asked = list(namespaces)
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(namespace: str) -> bool:
            async with at_once:
                return await self.may(caller, verb, namespace, resource)

        allowed = await asyncio.gather(*map(one, asked))
        return [namespace for namespace, may in zip(asked, allowed, strict=True) if may]

    def forget(self, caller: Caller) -> None:
        """Ask anew for the caller's rights the next time."""
        for question in [each for each in self._answers if each[0] == caller.identity]:
            del self._answers[question]

    async def _ask(self, caller: Caller, question: Question) -> bool:
        _, verb, namespace, resource = question
        review = access_reviews.self_review(verb, resource, group=GROUP, namespace=namespace)
        answer = await self.call(caller, "POST", access_reviews.PATH, body=review)
        allowed = access_reviews.allowed(answer) is True
        self._answers.pop(question, None)
        self._answers[question] = allowed, self._clock() + (ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return allowed
