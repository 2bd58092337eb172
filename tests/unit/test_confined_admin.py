from __future__ import annotations

import pytest

from navi_core import ModelConfig, NaviError
from navi_core.confined_admin import ConfinedAdmin
from navi_core.errors import ErrorCode, ModelNotFoundError


class Recording:
    """An admin that notes what it is asked for, and serves one model."""

    def __init__(self, served=()):
        self.calls = []
        self.served = {config.model_name: config for config in served}

    async def load(self, config):
        self.calls.append(("load", config.path))

    async def apply_config(self, models):
        self.calls.append(("apply", [config.path for config in models]))

    def config_of(self, model):
        if model not in self.served:
            raise ModelNotFoundError(model)
        return self.served[model]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "outside" / "b").mkdir(parents=True)
    (tmp_path / "models" / "link").symlink_to(tmp_path / "outside" / "b")
    return tmp_path


async def test_what_lies_within_a_root_passes(root):
    admin = Recording()
    confined = ConfinedAdmin(admin, [str(root / "models"), "gs://bucket/models/"])
    paths = [str(root / "models" / "a"), str(root / "models" / "x" / ".." / "a"), "gs://bucket/models/m"]
    for path in paths:
        await confined.load(ModelConfig(path=path, name="m"))
    assert admin.calls == [("load", path) for path in paths]


@pytest.mark.parametrize(
    "path",
    [
        "{root}/outside/b",
        "{root}/models/../outside/b",
        "{root}/models/link",
        "{root}/models-of-others/a",
        "/",
        "gs://bucket/models-of-others/m",
        "gs://bucket/models/../secret/m",
        "s3://bucket/models/m",
    ],
)
async def test_what_lies_outside_is_refused_as_a_whole(root, path):
    admin = Recording()
    confined = ConfinedAdmin(admin, [str(root / "models"), "gs://bucket/models"])
    good = ModelConfig(path=str(root / "models" / "a"))
    bad = ModelConfig(path=path.format(root=root), name="m")
    for call in (confined.load(bad), confined.apply_config([good, bad])):
        with pytest.raises(
            NaviError, match="model 'm': expected a path within the host's model_roots"
        ) as caught:
            await call
        assert caught.value.code is ErrorCode.PERMISSION_DENIED
    assert admin.calls == []


async def test_what_is_served_already_stays(root):
    elsewhere = ModelConfig(path=str(root / "outside" / "b"))
    admin = Recording([elsewhere])
    await ConfinedAdmin(admin, [str(root / "models")]).apply_config([elsewhere])
    assert admin.calls == [("apply", [elsewhere.path])]


async def test_without_roots_everything_passes():
    admin = Recording()
    await ConfinedAdmin(admin, []).load(ModelConfig(path="/anywhere/m"))
    assert admin.calls == [("load", "/anywhere/m")]
