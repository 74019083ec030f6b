"""Who is asking. The gateway acts as the caller, never as itself: rights and policies hold as with kubectl."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from agentstop.cluster.transport import Headers
from agentstop.gateway import cookies
from agentstop.gateway.errors import TooManyRequestsError, UnauthorizedError
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.keys import PREFIX, KeyEntry, KeysFile, find_key
from agentstop.gateway.throttle import Throttle

API_KEY_HEADER: Final = "x-api-key"

TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a bearer token looks like.

Source: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
"""

KNOWN_SECONDS: Final = 60.0
"""For so long a token that the API server took is let through where its address is slowed down."""

MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who the API server is told of, or who tells it himself."""

    name: str
    """For the log: the key's name, or that it was a token."""
    headers: Headers = field(repr=False)
    """What tells the API server who asks."""
    own: bool
    """Whether the gateway's own credentials go with it, for impersonation."""
    identity: str = field(repr=False)
    """The same for the same caller, and nothing of the token in it."""


def impersonated(name: str, user: str, groups: tuple[str, ...]) -> Caller:
    """Return the caller who is a user of these groups.

    Headers of impersonation that a request brings are never sent on: the API server hears these alone.
    Source: https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
    """
    headers = (("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups))
    return Caller(name, headers, own=True, identity="\n".join(("user", user, *groups)))


def of_entry(entry: KeyEntry) -> Caller:
    """Return the caller whom a key stands for."""
    return impersonated(entry.name, entry.user, entry.groups)


def of_token(token: str) -> Caller:
    """Return the caller who has this token of the API server's."""
    identity = f"token\n{hashlib.sha256(token.encode()).hexdigest()}"
    return Caller("token", (("Authorization", f"Bearer {token}"),), own=False, identity=identity)


class Callers(Protocol):
    """Tells who sent a request."""

    def identify(self, request: web.BaseRequest, *, browsers: bool) -> Caller:
        """Return the caller; where `browsers` are served, a session counts too.

        Raises UnauthorizedError, TooManyRequestsError, ForbiddenError.
        """

    def by_credential(self, credential: str, address: str) -> Caller:
        """Return the caller whom a credential stands for; raises as `identify` does."""

    def known(self, caller: Caller) -> bool:
        """Whether it is settled who that is."""

    def accepted(self, caller: Caller) -> None:
        """Take in that the API server knows who it is."""

    def refused(self, caller: Caller, address: str) -> None:
        """Take in that the API server does not know the caller."""


class CredentialCallers:
    """Tells callers by their API keys and tokens."""

    def __init__(self, keys: WatchedFile[KeysFile] | None, throttle: Throttle, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._throttle = throttle
        self._clock = clock
        self._known: OrderedDict[str, float] = OrderedDict()

    def identify(self, request: web.BaseRequest, *, browsers: bool) -> Caller:
        """Return the caller: an API key in `x-api-key` or as Bearer, or a token of the API server's as Bearer.

        Where `browsers` are served, either may be in the cookie of a session too.
        Raises UnauthorizedError without any, TooManyRequestsError for one that nobody knows from an address that sent
        many such, ForbiddenError where a session counts and another site's page sent the request. Whether a token is
        one is up to the API server, on the first request that is sent with it.
        """
        address = request.remote or ""
        key = request.headers.get(API_KEY_HEADER, "").strip()
        if key:
            return self.by_key(key, address)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            return self.by_credential(token, address)
        session = cookies.credential_of(request) if browsers else None
        if session is None:
            raise UnauthorizedError(
                f"send an API key in the header {API_KEY_HEADER}, or a token as Authorization: Bearer"
            )
        if request.method not in cookies.SAFE_METHODS:
            cookies.check_origin(request)
        return self.by_credential(session, address)

    def by_credential(self, credential: str, address: str) -> Caller:
        """Return the caller whom an API key or a token stands for; raises as `identify` does."""
        entry = self._entry(credential)
        if entry is not None:
            return of_entry(entry)
        if credential.startswith(PREFIX) or not TOKEN.fullmatch(credential):
            raise self._unknown(address, "this API key is not known")
        caller = of_token(credential)
        if not self.known(caller):
            self._hold_up(address)
        return caller

    def known(self, caller: Caller) -> bool:
        """Whether it is settled who that is: a key was found, or the API server took the token not long ago."""
        return caller.own or self._known.get(caller.identity, 0.0) > self._clock()

    def by_key(self, key: str, address: str) -> Caller:
        """Return the caller whom an API key stands for; raises as `identify` does."""
        entry = self._entry(key)
        if entry is None:
            raise self._unknown(address, "this API key is not known")
        return of_entry(entry)

    def accepted(self, caller: Caller) -> None:
        """Take in that the API server knows who it is."""
        if not caller.own:
            self._known.pop(caller.identity, None)
            self._known[caller.identity] = self._clock() + KNOWN_SECONDS
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def refused(self, caller: Caller, address: str) -> None:
        """Take in that the API server does not know the caller's token."""
        if not caller.own:
            self._known.pop(caller.identity, None)
            self._throttle.wrong(address)

    def _entry(self, key: str) -> KeyEntry | None:
        return find_key(self._keys.current().keys, key) if self._keys is not None else None

    def _unknown(self, address: str, message: str) -> UnauthorizedError:
        self._hold_up(address)
        self._throttle.wrong(address)
        return UnauthorizedError(message)

    def _hold_up(self, address: str) -> None:
        seconds = self._throttle.seconds_left(address)
        if seconds:
            raise TooManyRequestsError("too many wrong keys or tokens came from this address", retry_after=seconds)
