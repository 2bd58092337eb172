"""TensorFlow Serving's ``--model_config_file``: a ModelServerConfig in protobuf's text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from navi_core.cli.importers.imported import Imported
from navi_core.config.wording import item_path, key_path
from navi_core.errors import ConfigError, InvalidRequestError
from navi_core.wire import tf_serving
from navi_core.wire.model_server_config import version_choice
from navi_core.wire.text_config import parse_text

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelConfig

__all__ = ["read_tf_serving"]


def read_tf_serving(text: str) -> Imported:
    """Read a configuration.

    Raises
    ------
    ConfigError
        It is no such text (with line and column), or configures something else than a list of models.
    """
    try:
        config = parse_text(tf_serving.ModelServerConfig, text)
    except InvalidRequestError as error:
        raise ConfigError(error.message) from None
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError(
            "expected model_config_list, got a configuration of the server's own plugins",
            path="custom_model_config",
        )
    found = Imported(table={})
    found.table["models"] = [
        _model(found, model, item_path("model_config_list.config", index))
        for index, model in enumerate(config.model_config_list.config)
    ]
    return found


def _model(found: Imported, model: ModelConfig, path: str) -> dict[str, Any]:
    for key in ("name", "base_path"):
        if not getattr(model, key):
            raise ConfigError("missing", path=key_path(path, key))
    table: dict[str, Any] = {"name": model.name, "path": model.base_path}
    if model.model_platform not in ("", "tensorflow"):
        found.notes.append(
            f"{path}.model_platform '{model.model_platform}' is left out: the files tell which runtime loads them"
        )
    if model.HasField("logging_config"):
        found.notes.append(f"{path}.logging_config is left out: requests are not logged here")
    versions = version_choice(model)
    if versions:
        table["versions"] = versions
    if model.version_labels:
        table["labels"] = dict(sorted(model.version_labels.items()))
    return table
