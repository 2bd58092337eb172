"""What all tests of this repository share: patient property tests, and a TensorFlow that logs no failed run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# As navi-tf sets it: TensorFlow reads it once, and whichever test comes first in a process may be the one to import it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
