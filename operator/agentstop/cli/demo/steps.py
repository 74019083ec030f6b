"""The steps of the demo, each as a kubectl command and as the request that it stands for."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from agentstop.api.crd import crds
from agentstop.api.meta import GROUP
from agentstop.api.task import PLURAL
from agentstop.cli.demo.requests import CRDS, MANAGER, NAMESPACES, Requests
from agentstop.workloads.objects import ObjectRef

SHORT_NAME: Final = "atask"
USAGE_SHORT_NAME: Final = "tusage"
ORDER_SHORT_NAME: Final = "sorder"


@dataclass(frozen=True)
class Place:
    """Where the tasks are. `implied`: the kubeconfig says so already, and the commands need not."""

    namespace: str
    implied: bool = False

    def words(self, *words: str) -> Sequence[str]:
        """Return a command line that acts here."""
        return words if self.implied else ("-n", self.namespace, *words)


class Step(ABC):
    """One step."""

    prefix: str = ""
    """What stands before `kubectl` in the shell: where its input comes from."""

    @abstractmethod
    def words(self) -> Sequence[str]:
        """Return what comes after `kubectl` on the command line."""

    def stdin(self) -> str:
        """Return what the command reads."""
        return ""

    @abstractmethod
    async def request(self, requests: Requests) -> str:
        """Make the request that the command stands for, and return what is to be shown. Raises ApiError."""


@dataclass(frozen=True)
class InstallCrds(Step):
    """Install our CRDs."""

    prefix: str = field(default="agentstop crds | ", init=False)

    def words(self) -> Sequence[str]:
        """Return the command."""
        return ("apply", "-f", "-")

    def stdin(self) -> str:
        """Return the CRDs."""
        return yaml.safe_dump_all(crds().values(), explicit_start=True)

    async def request(self, requests: Requests) -> str:
        """Create them."""
        for crd in crds().values():
            await requests.gateway.call("POST", CRDS, {"fieldManager": MANAGER}, crd)
        return f"customresourcedefinition.apiextensions.k8s.io/{PLURAL}.{GROUP} created"


@dataclass(frozen=True)
class CreateNamespace(Step):
    """Make a namespace."""

    name: str

    def words(self) -> Sequence[str]:
        """Return the command."""
        return ("create", "namespace", self.name)

    async def request(self, requests: Requests) -> str:
        """Create it."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        await requests.gateway.call("POST", NAMESPACES, {"fieldManager": MANAGER}, body)
        return f"namespace/{self.name} created"


@dataclass(frozen=True)
class DeleteNamespace(Step):
    """Remove a namespace and everything in it; its pods end in their own time."""

    name: str

    def words(self) -> Sequence[str]:
        """Return the command."""
        return ("delete", "namespace", self.name, "--wait=false")

    async def request(self, requests: Requests) -> str:
        """Delete it."""
        await requests.gateway.call("DELETE", f"{NAMESPACES}/{self.name}")
        return f'namespace "{self.name}" deleted'


@dataclass(frozen=True)
class Apply(Step):
    """Create what manifests describe."""

    place: Place
    files: tuple[Path, ...]

    def words(self) -> Sequence[str]:
        """Return the command."""
        return self.place.words("apply", *(word for file in self.files for word in ("-f", str(file))))

    async def request(self, requests: Requests) -> str:
        """Apply them."""
        said = []
        for body in (body for file in self.files for body in yaml.safe_load_all(file.read_text(encoding="utf-8"))):
            await requests.apply(self.place.namespace, body)
            group = body["apiVersion"].partition("/")[0]
            said.append(f"{body['kind'].lower()}.{group}/{body['metadata']['name']} applied")
        return "\n".join(said)


@dataclass(frozen=True)
class Patch(Step):
    """Merge into an object. With our own field manager: what a plain patch sets, a GitOps tool may take away again."""

    place: Place
    ref: ObjectRef
    resource: str
    """What kubectl calls the kind."""
    body: Mapping[str, Any]

    def words(self) -> Sequence[str]:
        """Return the command."""
        text = json.dumps(self.body, separators=(",", ":"))
        options = (f"--field-manager={MANAGER}", "--type=merge", "-p", text)
        return self.place.words("patch", self.resource, self.ref.name, *options)

    async def request(self, requests: Requests) -> str:
        """Patch it."""
        changed = await requests.patch(self.ref, dict(self.body))
        what = f"{self.ref.kind.lower()}.{self.ref.api_version.partition('/')[0]}/{self.ref.name}"
        return f"{what} patched{'' if changed else ' (no change)'}"


@dataclass(frozen=True)
class Show(Step):
    """Show one field of an object."""

    place: Place
    ref: ObjectRef
    resource: str
    """What kubectl calls the kind."""
    fields: tuple[str, ...]
    """The names that lead to it."""

    def words(self) -> Sequence[str]:
        """Return the command."""
        where = f"jsonpath={{.{'.'.join(self.fields)}}}"
        return self.place.words("get", self.resource, self.ref.name, "-o", where)

    async def request(self, requests: Requests) -> str:
        """Read it."""
        found: Any = await requests.read(self.ref)
        for name in self.fields:
            found = found.get(name) or {}
        return found if isinstance(found, str) else json.dumps(found, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Logs(Step):
    """Read the last lines of what an agent printed."""

    place: Place
    pod: str
    lines: int

    def words(self) -> Sequence[str]:
        """Return the command."""
        return self.place.words("logs", self.pod, f"--tail={self.lines}")

    async def request(self, requests: Requests) -> str:
        """Read them."""
        return await requests.log(self.place.namespace, self.pod, self.lines)
