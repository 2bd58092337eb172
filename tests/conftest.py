"""For every test: released buffers are filled with NaN, and toy plugins can be had as if installed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

# Whoever still reads a buffer that was given back is found out.
os.environ.setdefault("NAVI_DEBUG_BUFFERS", "1")

TOYS = Path(__file__).parent / "plugins"


class ToySite:
    """A site directory with distributions of ``tests/plugins`` in it, made without pip.

    Each is laid out as an installer leaves it: the package, and a ``dist-info`` with its requirements
    and entry points.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, *packages: str) -> Path:
        """Lay packages (``toy_runtime``...) out and return the site directory."""
        for package in packages:
            project = tomllib.loads((TOYS / package / "pyproject.toml").read_text())["project"]
            shutil.copytree(
                TOYS / package / "src" / package,
                self.folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
            info = self.folder / f"{package}-{project['version']}.dist-info"
            info.mkdir()
            requires = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
            )
            points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["navi"].items())
            (info / "entry_points.txt").write_text(f"[navi]\n{points}")
        return self.folder

    def entry_points(self) -> Sequence[EntryPoint]:
        """Return navi's entry points of what is laid out: what discovery finds in an environment of it alone."""
        return [
            point
            for distribution in importlib.metadata.distributions(path=[str(self.folder)])
            for point in distribution.entry_points
            if point.group == "navi"
        ]

    def environ(self, **extra: str) -> dict[str, str]:
        """Return an environment for a process that finds what is laid out beside what is installed."""
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


@pytest.fixture
def toy_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToySite]:
    """An empty site directory on this process's path, for toy plugins."""
    folder = tmp_path / "toy-site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in _loaded_toys():  # of other tests, which get them back
        monkeypatch.delitem(sys.modules, name)
    yield ToySite(folder)
    for name in _loaded_toys():
        del sys.modules[name]


def _loaded_toys() -> list[str]:
    return [name for name in sys.modules if name.startswith(("toy_", "broken_"))]
