"""Which dialect is spoken at which host: for clients whose host is a literal that nobody can change."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.functional_validators import AfterValidator

from agentstop.gateway.problems import of_file

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def host_of(header: str) -> str:
    """Return the name in a Host header, without its port."""
    name = header.strip().lower().rstrip(".")
    if name.startswith("["):
        return name.partition("]")[0].removeprefix("[")
    return name.partition(":")[0].rstrip(".")


def _host(text: str) -> str:
    name = host_of(text)
    if not _HOST.fullmatch(name):
        raise ValueError(f"{text!r} is no host name")
    return name


class HostsFile(BaseModel):
    """The file of hosts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: dict[Annotated[str, AfterValidator(_host)], str] = {}


def read_hosts(text: str, dialects: Collection[str]) -> Mapping[str, str]:
    """Return each host's dialect. Raises ValueError, with a message for people, where the file does not say that."""
    try:
        found = HostsFile.model_validate(yaml.safe_load(text) or {}).hosts
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    except ValidationError as error:
        raise ValueError(of_file(error)) from None
    for host, dialect in found.items():
        if dialect not in dialects:
            raise ValueError(f"hosts.{host}: there is no dialect {dialect}, only {', '.join(sorted(dialects))}")
    return found
