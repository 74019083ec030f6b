"""Saying so where the definitions in the cluster are not the operator's: what they lack is dropped without a word."""

import asyncio
import logging
from typing import Final

from agentstop.api.definitions import INSTALL, definitions, difference
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway

log = logging.getLogger(__name__)

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def warn_of_others(gateway: Gateway) -> None:
    """Log in one line which definitions are another version's, if any is. Where they may not be read, nothing is said.

    To make the own ones takes a quarter of a second of work, which must keep nothing else waiting.
    """
    found = []
    for name, wanted in (await asyncio.to_thread(definitions)).items():
        try:
            there = await gateway.call("GET", f"{DEFINITIONS}/{name}")
        except ApiError as error:
            log.debug("whether definition %s is this version's is not known: %s", name, error)
            continue
        how = await asyncio.to_thread(difference, there, wanted)
        if how is not None:
            found.append(f"{name} {how}")
    if found:
        log.warning(
            "not all definitions in this cluster are those of this operator: %s; what a definition lacks is dropped"
            " without a word from what is asked for and what is written; install them: %s",
            "; ".join(found),
            INSTALL,
        )
