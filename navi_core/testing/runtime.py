"""RuntimeConformance: what every runtime must do, as tests to subclass.

In a plugin's tests::

    class TestMyRuntime(RuntimeConformance):
        plugin_module = "navi_mine.plugin"
        dtypes = (DType.FLOAT32, DType.INT64)

        def make_runtime(self):
            return MyRuntime()

        def identity_model(self, dtype, rank, folder): ...
        def pair_model(self, folder): ...
        def fixed_model(self, folder): ...
        def corrupt_model(self, folder): ...

A framework that cannot express one of these models says so where the model would be made:
``pytest.skip("a forest takes any number of rows")`` skips the cases that need it, and shows the reason. One that
does not add and subtract gives a model of another kind to the pair's cases: see ``pair_answer``.
"""

from __future__ import annotations

import pytest

from navi_core.testing.runtime_host_cases import HostCases
from navi_core.testing.runtime_load_cases import LoadCases
from navi_core.testing.runtime_memory_cases import RuntimeMemoryCases
from navi_core.testing.runtime_run_cases import RunCases

__all__ = ["RuntimeConformance"]


@pytest.mark.conformance
class RuntimeConformance(LoadCases, RunCases, HostCases, RuntimeMemoryCases):
    """The laws of :class:`navi_core.Runtime` and :class:`navi_core.Servable`.

    Subclass it, say what the runtime can do, and give the models that it is tried with.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names.
    heavy_modules
        What importing it, and ``recognise``, must leave unimported.
    dtypes
        Element types that the runtime carries.
    ranks
        Ranks that identity models are made for; at least one of them is not 0.
    pair_inputs, pair_outputs
        Names of the tensors of :meth:`pair_model`: the two summands; the sum and the difference. Or those of
        the model that :meth:`pair_answer` speaks for.
    rounds
        Runs of each thread in the concurrency test.
    many_rows
        Rows of a large request.
    rtol, atol
        How far answers may be from :meth:`pair_answer`, and rows of a batch from the same rows run alone.
    patience_s
        Nothing that a host is asked for may take so long.
    memory_slope_limit_bytes, memory_slope_reason
        By how much resident memory may grow with each load and unload; above 100 KB, the upstream issue that
        is to blame.
    """
