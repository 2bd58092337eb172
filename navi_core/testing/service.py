"""ServiceConformance: what every service must do, as tests to subclass.

In a plugin's tests::

    class TestMyService(ServiceConformance):
        plugin_module = "navi_mine.plugin"

        def make_service(self, context):
            return MyService.create(context)

        def samples(self, model):
            return {
                "/mine.Mine/Predict": encode(model, x=[1.0]),
                f"POST /mine/{model}": b'{"x": [1.0]}',
                "GET /mine": b"",
            }

The service is called directly, with a data plane of the suite's own: no socket is opened, no model loaded.
"""

from __future__ import annotations

import pytest

from navi_core.testing.service_call_cases import CallCases
from navi_core.testing.service_openapi_cases import OpenApiCases
from navi_core.testing.service_shape_cases import ShapeCases
from navi_core.testing.service_stage import MODEL, UNKNOWN_MODEL, Reply, Sample

__all__ = ["MODEL", "UNKNOWN_MODEL", "Reply", "Sample", "ServiceConformance"]


@pytest.mark.conformance
class ServiceConformance(ShapeCases, OpenApiCases, CallCases):
    """The laws of :class:`navi_core.Service`.

    Subclass it, build the service, and give a request that is answered for each of its handlers.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names; empty: not checked.
    heavy_modules
        What importing it must leave unimported.
    signature
        What the suite's only model takes and gives: samples are requests for it. Answers are zeros.
    signature_name
        What that signature is called.
    model, unknown_model
        Names of a model that is there and of one that is not, for protocols that cannot say any name.
    seed
        Of noise and damage; shown when a case fails.
    patience_s
        No case may take so long.
    """
