"""Where the files of the private cluster lie, each the property of its account alone, and their locks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from cop.embedded.account import Account
from layers.errors import Unavailable

PORT = 5432
"""No port is opened: the name of the socket holds it."""
SOCKET_NAME = f".s.PGSQL.{PORT}"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
MAX_SOCKET_PATH = 103
# Not tempfile.gettempdir(), which is long on macOS; `make_folder` refuses what somebody else put there.
SHORT_FOLDER = Path("/tmp")  # noqa: S108


def home_of(data_dir: Path, account: Account) -> Path:
    """The folder that belongs to the server: `data_dir`/postgres.

    When root starts us below a folder that is root's alone (as /root is), the server could not get there:
    then it lives in /var/lib/cop, and `data_dir`/postgres is a link to it.
    """
    home = data_dir / "postgres"
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o711 if account.switch else 0o700)
        if not home.exists() and not account.reaches(data_dir):
            home.unlink(missing_ok=True)
            home.symlink_to(_home_elsewhere())
        home = home.resolve()
        make_folder(home, account)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Unavailable(
            f"The data directory {data_dir} cannot be used ({error.strerror}); choose another with COP_DATA_DIR."
        ) from error
    return home


def _home_elsewhere() -> Path:
    shelter = Path("/var/lib/cop")
    shelter.mkdir(mode=0o711, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=shelter))
    home.rmdir()
    return home


def socket_folder(home: Path) -> Path:
    """Beside the data where the path fits into a socket address, else a short one that only its owner enters."""
    folder = home / "run"
    fits = len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH
    # A comma separates hosts and a quote ends a setting: both would need an escape that clients disagree on.
    if fits and not set(str(folder)) & set(",\"'\\"):
        return folder
    return SHORT_FOLDER / f"cop-{sha256(os.fsencode(home)).hexdigest()[:16]}"


def make_folder(folder: Path, account: Account) -> None:
    """A folder that belongs to the account alone; refuses one that somebody else put in its place."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.own(folder)
    status = folder.lstat()
    if status.st_uid != account.uid or not folder.is_dir() or folder.is_symlink():
        raise Unavailable(f"{folder} belongs to another user; remove it or choose another COP_DATA_DIR.")


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """The open file at *path*, made if need be, for `flock`; what is locked is free again when it closes."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def sync(folder: Path) -> None:
    """Make a rename inside *folder* survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
