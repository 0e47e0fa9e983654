"""Which PostgreSQL the private cluster runs on: the newest installed with PostGIS that can serve its data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cop.embedded.processes import call
from layers.errors import Unavailable

OLDEST_MAJOR = 14
PROGRAMS = ("initdb", "postgres", "pg_config", "psql")

INSTALL_HINT = (
    "install PostgreSQL with PostGIS (Debian and Ubuntu: apt-get install postgresql postgresql-postgis; "
    "macOS: brew install postgis) or set COP_DATABASE_URL"
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The server programs of one PostgreSQL installation, all from one folder."""

    folder: Path
    major: int
    postgis: bool

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def find_programs(folders: Iterable[Path] | None = None) -> list[Programs]:
    """Every whole PostgreSQL server installation in *folders*, or in the usual places, PATH first."""
    found: dict[Path, Programs] = {}
    for folder in _usual_folders() if folders is None else folders:
        # /usr/local/bin often holds links to single programs: the folder they live in is the installation.
        if (real := (folder / "postgres").resolve().parent) in found:
            continue
        if all(os.access(real / program, os.X_OK) for program in PROGRAMS) and (major := _major(real)):
            found[real] = Programs(real, major, _has_postgis(real))
    return list(found.values())


def choose_programs(found: list[Programs], made_by: int | None, data: Path) -> Programs:
    """The newest installation with PostGIS that can serve *data*, which version *made_by* made (None: new)."""
    if not found:
        raise Unavailable(f"No PostgreSQL server was found; {INSTALL_HINT}.")
    if made_by is not None and all(programs.major != made_by for programs in found):
        have = ", ".join(str(major) for major in sorted({programs.major for programs in found}))
        raise Unavailable(
            f"{data} was made by PostgreSQL {made_by}, but the version installed is {have}; "
            f"install {made_by} with PostGIS, or choose another COP_DATA_DIR."
        )
    fitting = [programs for programs in found if made_by in (None, programs.major)]
    newest = max(programs.major for programs in fitting)
    if newest < OLDEST_MAJOR:
        raise Unavailable(
            f"PostgreSQL {newest} is too old, {OLDEST_MAJOR} or newer is needed; {INSTALL_HINT}."
        )
    usable = [programs for programs in fitting if programs.postgis and programs.major >= OLDEST_MAJOR]
    if not usable:
        raise Unavailable(f"PostgreSQL {newest} is installed without PostGIS; {INSTALL_HINT}.")
    return max(usable, key=lambda programs: programs.major)


def _usual_folders() -> Iterator[Path]:
    yield from (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry)
    for root, pattern in (
        ("/usr/lib/postgresql", "*/bin"),
        ("/usr", "pgsql-*/bin"),
        ("/opt/homebrew/opt", "postgresql*/bin"),
        ("/usr/local/opt", "postgresql*/bin"),
        ("/opt/homebrew", "bin"),
    ):
        yield from sorted(Path(root).glob(pattern))


def _major(folder: Path) -> int | None:
    said = call([str(folder / "postgres"), "--version"]).stdout
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match[1]) if match else None


def _has_postgis(folder: Path) -> bool:
    share = call([str(folder / "pg_config"), "--sharedir"]).stdout.strip()
    return bool(share) and (Path(share) / "extension" / "postgis.control").exists()
