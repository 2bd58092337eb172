"""atheris on the plain twin: coverage shows it which changes lead somewhere new (run with NUMBA_DISABLE_JIT=1).

    python cover.py PROGRAM LIBFUZZER-ARGUMENTS...

A request may be refused with a DecodeError; everything else that is raised is a finding: the twin checks every
read and write.
"""

from __future__ import annotations

import sys

import atheris
import numba  # noqa: F401 - imported before the instrumentation, which is for navi's code alone
import numpy as np  # noqa: F401

from navi_core import DecodeError  # noqa: F401

with atheris.instrument_imports(include=["navi_dr_transform"]):
    from layouts import targets
    from navi_dr_transform import decoder  # noqa: F401

from outcomes import outcome

CHOSEN = targets()


def one(data: bytes) -> None:
    """Read one request in every way."""
    for target in CHOSEN:
        outcome(target.decoder, data)


if __name__ == "__main__":
    atheris.Setup(sys.argv[1:], one)
    atheris.Fuzz()
