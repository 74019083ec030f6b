"""Objects that somebody makes as large as the API server can store."""

from tests.support.kube import Kind, Kube, KubeError, Object

MANY = 12_000
"""So many labels make about 1.4 of the 1.5 MiB."""

PRECISION = 4
"""In bytes."""


async def burden(kube: Kube, kind: Kind, namespace: str, name: str, count: int = MANY, mark: str = "p") -> bool:
    """Put so many labels on an object; return whether they fit."""
    labels = {f"{mark}-{each:05d}" + "x" * 40: "v" * 63 for each in range(count)}
    return await _fits(kube, kind, namespace, name, {"labels": labels})


async def fill(kube: Kube, kind: Kind, namespace: str, name: str) -> None:
    """Put labels and an annotation on an object until hardly a byte more can be stored with it: not even a deadline."""
    assert await burden(kube, kind, namespace, name)
    low, high = 0, 240_000
    while low + PRECISION < high:
        middle = (low + high) // 2
        if await _fits(kube, kind, namespace, name, {"annotations": {"z": "a" * middle}}):
            low = middle
        else:
            high = middle


async def _fits(kube: Kube, kind: Kind, namespace: str, name: str, metadata: Object) -> bool:
    try:
        await kube.merge(kind, namespace, name, {"metadata": metadata})
    except KubeError as error:
        if "too large" not in error.message and "larger than max" not in error.message:
            raise
        return False
    return True
