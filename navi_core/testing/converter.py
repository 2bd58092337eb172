"""ConverterConformance: what every converter must do, as tests to subclass.

In a plugin's tests::

    class TestMyConverter(ConverterConformance):
        plugin_module = "navi_mine.plugin"

        @pytest.fixture
        def bind(self):
            return lambda: MyConverter().bind(artifact, signature, None)

        @pytest.fixture(scope="class")
        def good_inputs(self):
            return [{"examples": np.array([payload], dtype=object)}, ...]

        @pytest.fixture(scope="class")
        def expected(self):
            return [{"x": np.array(...)}, ...]
"""

from __future__ import annotations

import pytest

from navi_core.testing.converter_damage_cases import DamageCases
from navi_core.testing.converter_encoder_cases import EncoderCases
from navi_core.testing.converter_host_cases import ConverterHostCases
from navi_core.testing.converter_memory_cases import ConverterMemoryCases
from navi_core.testing.converter_metrics_cases import ConverterMetricsCases
from navi_core.testing.converter_plan_cases import PlanCases

__all__ = ["ConverterConformance"]


@pytest.mark.conformance
class ConverterConformance(
    PlanCases, DamageCases, ConverterHostCases, ConverterMetricsCases, EncoderCases, ConverterMemoryCases
):
    """The laws of :class:`navi_core.BoundConverter`. Subclass it and give the three fixtures.

    A converter with an encoder gives two more: ``encoder``, a :class:`navi_core.PayloadEncoder`, and ``columns``, what
    it encodes to payloads that fill to ``expected``.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names; importing it must import none of
        ``heavy_modules``. Empty: not checked.
    heavy_modules
        Modules that must stay unimported then.
    truncation_is_refused
        A payload cut short is malformed wherever it is cut. False for formats in which a prefix can
        be a payload of its own (protobuf): then it is filled or refused.
    payloads_concatenate
        One request holding the payloads of two gives the rows of both, in order.
    max_truncations
        At most so many cuts a payload are tried, spread evenly; None: every byte.
    num_flips
        Damaged payloads to try.
    seed
        Of the random damage; shown when a test fails.
    max_fill_bytes
        Damaged requests whose plan is larger are planned only.
    """
