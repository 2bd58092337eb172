"""An environment of its own for each peer: their requirements clash with ours and with each other's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".nox"
PEERS = {
    "litserve": ("litserve", "onnxruntime", "uvloop"),
    "mlserver": ("mlserver", "onnxruntime"),
    "kserve": ("kserve", "onnxruntime"),
    "pytriton": ("nvidia-pytriton", "onnxruntime"),
}
INSTALL_LIMIT_S = 900
VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class MissingError(Exception):
    """An environment is not there."""


def python_of(peer: str) -> Path:
    return ENVIRONMENTS / f"serving-{peer}" / "bin" / "python"


def install(peer: str) -> None:
    """Make a peer's environment, in the newest versions that go together.

    Raises
    ------
    MissingError
        The packages could not be installed.
    """
    folder = python_of(peer).parent.parent
    done = folder / "installed"
    if done.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # Ours constrain nothing here: a peer is to have what its users get.
    environ = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    command = [str(python_of(peer)), "-m", "pip", "install", "--quiet", "--no-compile", *PEERS[peer]]
    try:
        pip = subprocess.run(
            command, capture_output=True, text=True, env=environ, timeout=INSTALL_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"pip did not install {PEERS[peer][0]} within {INSTALL_LIMIT_S} s") from None
    if pip.returncode:
        errors = [line for line in pip.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
        raise MissingError(f"{PEERS[peer][0]} cannot be installed: {errors[0][:200]}")
    done.touch()


def require(peer: str) -> Path:
    """Return the Python of a peer's environment.

    Raises
    ------
    MissingError
        It is not installed.
    """
    python = python_of(peer)
    if not (python.parent.parent / "installed").exists():
        raise MissingError(f"{PEERS[peer][0]} is not installed here: --install does it")
    return python


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the versions of some distributions in an environment; those that are not there are left out."""
    command = [str(python), "-c", VERSIONS, *names]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
