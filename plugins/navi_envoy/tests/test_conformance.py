"""The laws of every transport, over real sockets and with Envoy between."""

from __future__ import annotations

import pytest
from navi_envoy.options import EnvoyOptions
from navi_envoy.transport import EnvoyTransport

from navi_core.testing import TransportConformance


@pytest.mark.integration
class TestEnvoyTransport(TransportConformance):
    plugin_module = "navi_envoy.plugin"
    transport_type = EnvoyTransport
    transport_options = EnvoyOptions(compression="gzip")
    compresses_answers = True
