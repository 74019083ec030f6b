"""Images: none is ever unpacked, but a registry on this machine is asked for them, as a runtime does.

A test or a demo so gets a pull that takes its time, or fails, from a registry of its own making.
https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy and
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

import re
from typing import NamedTuple

import aiohttp

_LOCAL = re.compile(
    r"(?P<registry>(?:127\.0\.0\.1|localhost):\d+)/(?P<name>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?"
)
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
CONNECT_TIMEOUT = 5.0
"""Seconds; the answer itself may take as long as it likes."""


class PullError(Exception):
    """The registry did not give the image (waiting reason ErrImagePull)."""


class Source(NamedTuple):
    """Where the manifest of an image is."""

    registry: str
    path: str


def source_of(image: str) -> Source | None:
    """Where an image is pulled from; None for every image but those of a registry on this machine."""
    found = _LOCAL.fullmatch(image)
    if found is None:
        return None
    reference = found["digest"] or found["tag"] or "latest"
    return Source(found["registry"], f"/v2/{found['name']}/manifests/{reference}")


class Images:
    """The images of one node."""

    def __init__(self) -> None:
        self._present: set[str] = set()

    def is_pulled(self, image: str) -> bool:
        """Whether an image is pulled at all."""
        return source_of(image) is not None

    def wanted(self, image: str, policy: str) -> bool:
        """Whether an image has to be pulled before a container of it is started."""
        if not self.is_pulled(image) or policy == "Never":
            return False
        return policy == "Always" or image not in self._present

    async def pull(self, image: str) -> None:
        """Ask the image's registry for it; takes as long as the registry does. Raises PullError."""
        source = source_of(image)
        if source is None:
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(f"http://{source.registry}{source.path}", headers={"Accept": _MANIFESTS}) as answer,
            ):
                problem = f"{answer.status} {answer.reason}" if answer.status >= 400 else ""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
        if problem:
            raise PullError(f'failed to pull image "{image}" from {source.registry}: {problem}')
        self._present.add(image)
