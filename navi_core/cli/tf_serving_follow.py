"""A file of models that is read again while the host runs (``--model-config-file-poll-wait-seconds``)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from navi_core.cli.tf_serving_files import read_models, read_text
from navi_core.errors import ConfigError, NaviError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from navi_core.cli.tf_serving_models import ModelConfigFile
    from navi_core.config.records import HostConfig, ModelConfig
    from navi_core.contracts.planes import Admin

__all__ = ["FOLLOW_FLAG", "Followed", "follow_model_config"]

log = structlog.get_logger(__name__)

FOLLOW_FLAG: Final = "--model-config-file-poll-wait-seconds"


class Followed(Protocol):
    """A running host, or the parent of several workers."""

    @property
    def config(self) -> HostConfig:
        """What it was started with."""
        ...

    @property
    def admin(self) -> Admin:
        """Admin operations."""
        ...

    def models(self) -> Sequence[str]:
        """Return the names of all models."""
        ...


async def follow_model_config(host: Followed, file: ModelConfigFile) -> None:
    """Apply a file's models whenever it says something else; never returns.

    What is wrong with it is logged once, and changes nothing: the host goes on with what it has. A file that was
    refused is tried again each time, as the model that it lacked may have come.

    Parameters
    ----------
    host
        Running.
    file
        The file, as it was read when the host started.
    """
    others = [model for model in host.config.models if model.model_name not in file.names]
    applied, told = file.text, ""
    while True:
        await asyncio.sleep(file.poll_wait_s)
        try:
            text = await asyncio.to_thread(read_text, file.path, "--model-config-file")
            if text != applied:
                await _apply(host, file, text, others)
                applied = text
            told = ""
        except NaviError as error:
            if error.message != told:
                told = error.message
                log.warning("model_config_file_refused", file=file.path, error=told)


async def _apply(host: Followed, file: ModelConfigFile, text: str, others: Sequence[ModelConfig]) -> None:
    known = {name: host.admin.config_of(name) for name in host.models()}
    listed = read_models(file.path, "--model-config-file", text, known, file.defaults)
    if not listed:
        raise ConfigError(f"{file.path}: expected at least one model, got none", path="--model-config-file")
    wanted = {model.model_name: model for model in (*others, *listed)}
    await host.admin.apply_config(list(wanted.values()))
    log.info("model_config_file_applied", file=file.path, models=list(wanted))
