"""As whom the server of the private cluster runs: never as root."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cop.embedded.processes import call
from layers.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user the server runs as; never root. `switch` is for subprocess."""

    name: str
    uid: int
    gid: int
    switch: bool

    @property
    def popen(self) -> dict[str, Any]:
        """Keyword arguments that make a subprocess run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def own(self, path: Path) -> None:
        """Give *path* to the account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, folder: Path) -> bool:
        """Whether the account may pass through *folder* and all folders above it."""
        return not self.switch or call(["test", "-x", str(folder)], **self.popen).returncode == 0


def server_account() -> Account:
    """Who the server runs as: we ourselves, or for root `postgres` if it exists, else `nobody`."""
    if os.geteuid() != 0:
        try:
            return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
        except KeyError:
            raise Unavailable(
                f"User {os.geteuid()} has no name on this machine, which PostgreSQL needs; set COP_DATABASE_URL."
            ) from None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no user “postgres” or “nobody” to run it as."
    )
