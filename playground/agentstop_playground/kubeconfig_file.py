"""The playground's kubeconfig on disk: never over somebody else's file, gone when the playground is."""

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

MARK: Final = "# Written by `agentstop playground`, which removes it when it ends.\n"
"""First line of every file of ours: what does not begin with it belongs to somebody else."""

CONNECT_TIMEOUT_SECONDS: Final = 1.0


class KubeconfigTakenError(Exception):
    """The file cannot be written; one line that says why and what to do."""


class KubeconfigFile:
    """A kubeconfig with a token in it, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._text: str | None = None

    def check(self) -> None:
        """Raise KubeconfigTakenError if the file is not ours to write."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if not self.path.parent.is_dir():
                raise self._taken(f"there is no folder {self.path.parent}") from None
            return
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise self._taken(reason or str(error)) from error
        if not text.startswith(MARK):
            raise self._taken("it exists and is not a playground's")
        if _is_served(text):
            raise self._taken("another playground that still runs wrote it")

    def write(self, kubeconfig: Mapping[str, Any]) -> None:
        """Write the file, in place of one that an earlier playground left behind.

        Raises KubeconfigTakenError where that is not possible.
        """
        self.check()
        text = MARK + yaml.safe_dump(dict(kubeconfig), sort_keys=False)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            # Whoever waits for the file never sees half of it, and the link fails where somebody was quicker.
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            self.path.unlink(missing_ok=True)
            os.link(unfinished, self.path, follow_symlinks=False)
        except OSError as error:
            raise self._taken(error.strerror or str(error)) from error
        finally:
            unfinished.unlink(missing_ok=True)
        self._text = text

    def remove(self) -> None:
        """Remove the file, if it still is what was written."""
        if self._text is None:
            return
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if self.path.read_text(encoding="utf-8") == self._text:
                self.path.unlink()
        self._text = None

    def _taken(self, reason: str) -> KubeconfigTakenError:
        return KubeconfigTakenError(
            f"cannot write the kubeconfig {self.path}: {reason}; choose another with --kubeconfig"
        )


def _is_served(text: str) -> bool:
    """Whether something answers where this kubeconfig leads to."""
    try:
        server = urlsplit(yaml.safe_load(text)["clusters"][0]["cluster"]["server"])
        with socket.create_connection((server.hostname or "", server.port or 0), CONNECT_TIMEOUT_SECONDS):
            return True
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError):
        return False
