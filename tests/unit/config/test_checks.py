"""What is checked of configurations that no parser has seen."""

from __future__ import annotations

import pytest

from navi_core import Host, HostConfig, ModelConfig
from navi_core.errors import ConfigError


@pytest.mark.parametrize(
    ("models", "text"),
    [
        (("models/web_click",), 'models[0]: expected a ModelConfig, got "models/web_click"'),
        ((ModelConfig(path="m"), {"path": "n"}), "models[1]: expected a ModelConfig, got a table"),
    ],
)
def test_host__models_are_records(models, text):
    with pytest.raises(ConfigError) as caught:
        Host(HostConfig(models=models))
    assert caught.value.message == text
