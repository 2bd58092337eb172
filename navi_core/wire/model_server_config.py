"""TensorFlow Serving's ``ModelServerConfig``: what it says of each model, checked by that server's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from navi_core.errors import ErrorCode, InvalidRequestError, NaviError

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import (
        FileSystemStoragePathSourceConfig,
        ModelConfig,
        ModelServerConfig,
    )

__all__ = ["ListedModel", "check_labels", "listed_models", "version_choice"]

_PLATFORM: Final = "tensorflow"
"""The only one there is; the files tell which runtime loads them."""
_TENSORFLOW: Final = 1
"""The same, in the enumeration that was there before."""
_EXPECTED: Final = f"expected '{_PLATFORM}', whatever its files are"

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of a list.

    Parameters
    ----------
    name, base_path
        Its name, and the directory of its versions.
    versions
        ``latest``, ``all`` or ``specific`` and its value; empty: nothing is said, which means the newest one.
    labels
        Version label -> version.
    """

    name: str
    base_path: str
    versions: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """Return it as ``[[models]]`` takes it."""
        return {
            "name": self.name,
            "path": self.base_path,
            "versions": self.versions,
            "labels": self.labels,
        }


def version_choice(model: ModelConfig) -> dict[str, Any]:
    """Return which versions of a model are wanted: ``latest``, ``all`` or ``specific``; empty: it does not say."""
    if not model.HasField("model_version_policy"):
        return {}
    policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy = model.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "latest":
            return {"latest": policy.latest.num_versions or 1}
        case "all":
            return {"all": True}
        case "specific":
            return {"specific": list(policy.specific.versions)}
        case _:
            return {}


def listed_models(config: ModelServerConfig) -> list[ListedModel]:
    """Return the models of a configuration.

    Raises
    ------
    InvalidRequestError
        It is no list of models, or one that TensorFlow Serving refuses as a whole.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InvalidRequestError(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    seen: set[str] = set()
    models = []
    for model in config.model_config_list.config:
        if not model.name:
            raise InvalidRequestError("expected a name for every model of the config list, got none")
        if model.name in seen:
            raise InvalidRequestError(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
        if not _ABSOLUTE.match(model.base_path):
            raise InvalidRequestError(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
        _check_platform(model)
        models.append(
            ListedModel(model.name, model.base_path, version_choice(model), dict(model.version_labels))
        )
    return models


def _check_platform(model: ModelConfig) -> None:
    type_field, platform_field = "ModelServerConfig::model_type", "ModelServerConfig::model_platform"
    if model.model_type:
        if model.model_platform:
            raise InvalidRequestError(
                f"Illegal setting both {type_field} (deprecated) and {platform_field}, "
                f"model name is {model.name}"
            )
        if model.model_type != _TENSORFLOW:
            raise InvalidRequestError(f"{type_field} choice {model.model_type} not supported.")
        return
    if not model.model_platform:
        raise InvalidRequestError(
            f"Illegal setting neither {type_field} (deprecated) nor {platform_field}, "
            f"model name is {model.name} ({_EXPECTED})"
        )
    if model.model_platform != _PLATFORM:
        raise InvalidRequestError(
            f"Model {model.name} requests unsupported platform {model.model_platform} ({_EXPECTED})"
        )


def check_labels(
    model: ListedModel,
    available: Mapping[int, bool],
    current: Mapping[str, int],
    *,
    allow_unavailable: bool,
) -> None:
    """Check that every label points to a version that can answer.

    Parameters
    ----------
    model
        What is wanted.
    available
        Version -> whether it can answer now.
    current
        The labels that the model has now.
    allow_unavailable
        Take a label that is new, or that points where it does already, in any case.

    Raises
    ------
    NaviError
        FAILED_PRECONDITION: one does not.
    """
    for label, version in model.labels.items():
        if available.get(version):
            continue
        if allow_unavailable and current.get(label, version) == version:
            continue
        raise NaviError(
            f"Request to assign label to version {version} of model {model.name}, "
            f"which is not currently available for inference (label '{label}')",
            code=ErrorCode.FAILED_PRECONDITION,
        )
