"""Lists, page by page and object by object: how many objects a page has follows from how large they are."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

from agentstop.cluster.decoding import JsonObject, Listing, UnreadableError
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import MAX_BYTES, TOO_LARGE, UNREADABLE, Transport
from agentstop.workloads.lightening import HEAVY, IS_HEAVY

FIRST_PAGE: Final = 20
PAGE: Final = 200
"""So many objects are listed at once, first and at most: to read a page holds up everything else only for a moment."""

WANTED_BYTES: Final = 4 * 2**20
MAX_PAGE_BYTES: Final = 16 * 2**20
"""How large a page is meant to be, and from what size on one of several objects is given up for a smaller one: an
object may have 1.5 MB and more, and some hundreds of them would be all the memory that there is."""


class Page:
    """A part of a list, to be gone through once and to its end."""

    def __init__(self, where: str, listing: Listing) -> None:
        self._where = where
        self._listing = listing
        self.size = listing.size
        """In bytes."""

    def items(self) -> Iterator[JsonObject]:
        """Yield the objects, each as it is read; those that cannot be are left out."""
        try:
            for item in self._listing.items():
                if self._listing.item_size > HEAVY:
                    item[IS_HEAVY] = True
                yield item
        except UnreadableError as error:
            raise unreadable(self._where, error) from None

    @property
    def unread(self) -> int:
        """How many objects could not be read so far."""
        return self._listing.unread

    @property
    def metadata(self) -> JsonObject:
        """The list's own, once all objects were gone through."""
        metadata = self._listing.head.get("metadata")
        if not isinstance(metadata, dict):
            raise unreadable(self._where, "it is no list")
        return metadata

    def all_items(self) -> Iterator[JsonObject]:
        """Yield the objects. Raises ApiError where one cannot be read: that there are no others could not be said."""
        yield from self.items()
        if self.unread:
            raise unreadable(self._where, f"{self.unread} objects are not of the API")


async def pages(
    transport: Transport, where: str, selector: Mapping[str, str], accept: str = "application/json"
) -> AsyncIterator[Page]:
    """Yield a list's pages, read from storage rather than from a cache that may be behind."""
    query, limit = dict(selector), FIRST_PAGE
    while True:
        query["limit"] = str(limit)
        most = MAX_PAGE_BYTES if limit > 1 else MAX_BYTES
        try:
            page = Page(where, await transport.listing(where, query, accept, most))
        except ApiError as error:
            if error.reason != TOO_LARGE or limit == 1:
                raise
            limit = max(1, limit // 10)
            continue
        yield page
        query["continue"] = page.metadata.get("continue") or ""
        if not query["continue"]:
            return
        limit = max(1, min(PAGE, limit * WANTED_BYTES // max(page.size, 1)))
        del page


async def read_all(
    transport: Transport, where: str, selector: Mapping[str, str], read: Callable[[JsonObject], Any] = lambda raw: raw
) -> JsonObject:
    """Return what is read of all objects of a list, and the list's metadata.

    Raises ApiError where one of them cannot be read.
    """
    found: JsonObject = {"items": []}
    async for page in pages(transport, where, selector):
        try:
            found["items"] += map(read, page.all_items())
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise unreadable(where, f"an object is not of its kind: {error!r}") from error
        found["metadata"] = page.metadata
    return found


def unreadable(where: str, problem: object) -> ApiError:
    """Return the error of a list that is none."""
    return ApiError(0, UNREADABLE, f"the list at {where} cannot be read: {problem}")
