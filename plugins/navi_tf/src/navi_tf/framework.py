"""TensorFlow, imported once and without its chatter. Every other module takes it from here."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["config_pb2", "quiet_logger", "saved_model_pb2", "tf", "tf1", "types_pb2"]

if "tensorflow" not in sys.modules:
    # Information and warnings off; who set it keeps what was set. TensorFlow reads it once, when imported.
    # At the default level it logs every run that fails: clients could fill the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TensorFlow's dependencies warn about one another
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import config_pb2, saved_model_pb2

tf1: Final[Any] = tf.compat.v1


class _ThisThread(logging.Filter):
    """Drops what one thread logs below ERROR."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or record.thread != self._thread


@contextmanager
def quiet_logger() -> Iterator[None]:
    """Drop TensorFlow's warnings on this thread; the logger's level and handlers stay as somebody set them.

    It warns that its v1 loader is deprecated, and of each variable that gets no Python object.
    """
    logger = logging.getLogger("tensorflow")
    own = _ThisThread()
    logger.addFilter(own)
    try:
        yield
    finally:
        logger.removeFilter(own)
