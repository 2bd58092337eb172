"""What a model says to services: in its navi.toml, checked when it loads."""

from __future__ import annotations

import pytest

from navi_core import Artifact, ConfigError, ModelConfig, PluginNotFoundError
from navi_core.models.loading import load_version
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of


def load(folder, **said):
    config = ModelConfig(path=str(folder.parent), **said)
    artifact = Artifact(name="m", version=1, path=folder)
    return load_version(registry_of(runtimes=[AffineRuntime]), artifact, config)


def test_it_is_read_and_checked(tmp_path):
    folder = write_affine(tmp_path / "m", 1)
    assert load(folder).service_options == {}
    (folder / "navi.toml").write_text('[service_options.tf_serving]\nresponse_tensors = "as_requested"\n')
    loaded = load(folder)
    assert loaded.service_options["tf_serving"].response_tensors == "as_requested"
    loaded = load(folder, service_options={"tf_serving": {"response_tensors": "values"}})
    assert loaded.service_options["tf_serving"].response_tensors == "values"


@pytest.mark.parametrize(
    ("table", "error", "match"),
    [
        ({"tf_serving": {"response_tensors": "text"}}, ConfigError, r"service_options\.tf_serving"),
        ({"tf_serving": {"unknown": 1}}, ConfigError, r"service_options\.tf_serving"),
        ({"health": {"unknown": 1}}, ConfigError, r"service_options\.health"),
        ({"nobody": {}}, PluginNotFoundError, "nobody"),
    ],
)
def test_what_is_wrong_fails_the_load(tmp_path, table, error, match):
    with pytest.raises(error, match=match):
        load(write_affine(tmp_path / "m", 1), service_options=table)
