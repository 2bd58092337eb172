"""What a version's directory says, and what of it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from navi_core.config.records import ModelSettings
from navi_core.contracts.artifact import Artifact
from navi_core.errors import ModelLoadError
from navi_core.models.loading import model_settings


def test_model_settings__a_directory_that_is_closed_to_us_is_told(tmp_path, monkeypatch):
    """It is nobody's bug, so no traceback: tests may run as root, whom no directory is closed to."""
    version = tmp_path / "m" / "1"
    version.mkdir(parents=True)
    is_file = Path.is_file

    def closed(path, *args, **kwargs):
        if path.parent == version:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path, *args, **kwargs)

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(ModelLoadError) as caught:
        model_settings(Artifact(name="m", version=1, path=version), ModelSettings())
    assert caught.value.message == f"{version}: Permission denied"
