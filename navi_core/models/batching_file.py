"""Batching parameters that a version brings along, in TensorFlow Serving's form."""

from __future__ import annotations

import msgspec
import structlog

from navi_core.config.records import BatchingSettings, ModelSettings, overlay
from navi_core.contracts.artifact import Artifact
from navi_core.errors import ConfigError, InvalidRequestError
from navi_core.wire.batching_parameters import parse_batching

__all__ = ["MAX_FILE_BYTES", "with_parameters_file"]

log = structlog.get_logger(__name__)

MAX_FILE_BYTES = 1 << 20


def with_parameters_file(settings: ModelSettings, artifact: Artifact) -> ModelSettings:
    """Return settings with what the version's ``parameters_file`` says of batching, where they name one.

    Raises
    ------
    ConfigError
        The file cannot be read, or is wrong.
    """
    name = settings.batching.parameters_file
    if name is None:
        return settings
    found = BatchingSettings(enabled=False)
    if artifact.has(name):
        try:
            content = artifact.read(name, MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise ConfigError(f"expected at most {MAX_FILE_BYTES} bytes, got more", path=name)
            parsed = parse_batching(content.decode())
            found = msgspec.convert(parsed.table, BatchingSettings)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "expected UTF-8"
            raise ConfigError(f"cannot be read: {reason}", path=name) from error
        except (InvalidRequestError, msgspec.ValidationError) as error:
            raise ConfigError(str(error), path=name) from None
        for parameter, reason in parsed.notes.items():
            log.warning("batching_parameter_ignored", model=artifact.name, parameter=parameter, reason=reason)
    return msgspec.structs.replace(settings, batching=overlay(found, settings.batching))
