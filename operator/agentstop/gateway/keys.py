"""API keys: whom each of them stands for. Of a key only its SHA-256 is known here."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from agentstop.gateway.problems import of_file

PREFIX: Final = "agentstop_"
"""What our keys begin with: so that scanners find one that was lost, and none is ever sent on as a token."""

KEY_BYTES: Final = 32
"""So much of a key is random: nobody guesses it, and its digest needs no salt."""

_Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[!-~]([ -~]*[!-~])?$")]
"""Printable ASCII, as it goes into a header."""


class KeyEntry(BaseModel):
    """One key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: _Name
    """What the key is called in logs."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    """The SHA-256 of the key, in hexadecimal."""
    user: _Name
    """The user of Kubernetes that whoever has the key is."""
    groups: tuple[_Name, ...] = ()
    """The user's groups."""


class KeysFile(BaseModel):
    """The file of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: tuple[KeyEntry, ...] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> "KeysFile":
        for what in ("name", "sha256"):
            if len({getattr(each, what) for each in self.keys}) < len(self.keys):
                raise ValueError(f"two keys have the same {what}")
        return self


NO_KEYS: Final = KeysFile()


def read_keys(text: str) -> KeysFile:
    """Return what a file of keys says. Raises ValueError, with a message for people, where it is none."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    try:
        return KeysFile.model_validate({} if found is None else found)
    except ValidationError as error:
        raise ValueError(of_file(error)) from None


def digest_of(key: str) -> str:
    """Return a key's SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def find_key(keys: Sequence[KeyEntry], key: str) -> KeyEntry | None:
    """Return the entry of a key. All are compared, each in constant time: how long it takes tells nothing of them."""
    digest = digest_of(key)
    found = None
    for each in keys:
        if hmac.compare_digest(each.sha256, digest):
            found = each
    return found


def make_key(name: str, user: str, groups: Sequence[str] = ()) -> tuple[str, KeyEntry]:
    """Return a new key and its entry. Raises ValueError where the name, the user or a group can be none."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    try:
        return key, KeyEntry(name=name, sha256=digest_of(key), user=user, groups=tuple(groups))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}") from None
