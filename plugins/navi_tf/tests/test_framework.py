"""TensorFlow without its chatter, and without a change to what somebody has set."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest
from navi_tf.framework import quiet_logger

pytestmark = pytest.mark.integration

LOAD_AND_FAIL = """
import sys
from pathlib import Path
import numpy as np
from navi_core import Artifact, LoadOptions, RequestError
from navi_core.testing.run_context import SimpleRunContext
from navi_tf.runtime import TensorFlowRuntime
servable = TensorFlowRuntime().load(Artifact(name="m", version=1, path=Path(sys.argv[1])), LoadOptions())
inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((5, 3), np.float32)}
try:
    servable.run("serving_default", inputs, ("sum",), SimpleRunContext())
except RequestError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize(("level", "is_quiet"), [(None, True), ("0", False)])
def test_import__is_quiet_unless_somebody_wants_to_hear(tmp_path, level, is_quiet):
    from navi_tf.testing import pair_graph, store_graph

    artifact = store_graph(pair_graph, tmp_path / "1")
    environ = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environ["TF_CPP_MIN_LOG_LEVEL"] = level
    command = [sys.executable, "-W", "error", "-c", LOAD_AND_FAIL, str(artifact.path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused: model 'm': ")
    assert done.returncode == 0
    assert (done.stderr == "") == is_quiet


def test_quiet_logger__drops_this_thread_s_warnings_and_nobody_else_s(caplog):
    logger = logging.getLogger("tensorflow")
    level, filters = logger.level, list(logger.filters)
    logger.addHandler(caplog.handler)  # TensorFlow's logger does not propagate
    try:
        with quiet_logger():
            logger.warning("mine")
            logger.error("my error")
            other = threading.Thread(target=logger.warning, args=("theirs",))
            other.start()
            other.join()
        logger.warning("afterwards")
    finally:
        logger.removeHandler(caplog.handler)
    assert list(dict.fromkeys(record.message for record in caplog.records)) == [
        "my error",
        "theirs",
        "afterwards",
    ]
    assert (logger.level, logger.filters) == (level, filters)
