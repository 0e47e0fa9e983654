"""The container files and the scripts, read by the linters that are installed and by an engine where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COP_DB_PASSWORD": "not-a-real-one", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed (`make setup-dev` installs the linters)")
    return found


def test_dockerfile_has_no_lint() -> None:
    checked = _run(_tool("hadolint"), "--failure-threshold", "style", "Dockerfile")
    assert (checked.returncode, checked.stdout) == (0, "")


def test_compose_file_has_no_serious_weakness() -> None:
    checked = _run(_tool("compose-lint"), "check", "docker-compose.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("script", [".ci/run", ".ci/packages"])
def test_shell_scripts_have_no_lint(script: str) -> None:
    checked = _run(_tool("shellcheck"), script)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_compose_file_is_one_that_compose_takes() -> None:
    if _run(_tool("docker"), "compose", "version").returncode != 0:
        pytest.skip("docker has no compose plugin on this machine")
    checked = _run("docker", "compose", "--file", "docker-compose.yml", "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def test_every_file_that_the_image_copies_is_sent_to_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert source.split("/")[0] in allowed, source


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock", "requirements-dev.lock"])
def test_lock_file_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for requirement in text.replace("\\\n", " ").splitlines():
        assert re.match(r"\S+==\S+ .*--hash=sha256:", requirement), requirement


def test_page_lock_file_has_hashes_and_no_address() -> None:
    packages = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert not [name for name, entry in packages.items() if name and "integrity" not in entry]
