"""TransportConformance: what every transport must do, as tests to subclass.

In a plugin's tests::

    class TestMyTransport(TransportConformance):
        plugin_module = "navi_mine.plugin"
        transport_type = MyTransport

A transport that hosts navi (``hosts_us``) is tried in the server that it launches. One whose addresses have schemes
of their own overrides ``make_harness`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from navi_core.testing.foreign_harness import ForeignHarness
from navi_core.testing.imports import assert_import_light
from navi_core.testing.transport_http_cases import HttpCases
from navi_core.testing.transport_rpc_cases import RpcCases

__all__ = ["TransportConformance"]


@pytest.mark.conformance
class TransportConformance(RpcCases, HttpCases):
    """The laws of :class:`navi_core.Transport`; those of RPC and of HTTP as far as it carries them.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names; empty: not checked.
    heavy_modules
        What importing it must leave unimported.
    transport_type
        The transport to try; made without arguments.
    transport_options
        An instance of its ``options_type``; None: the defaults.
    compresses_answers
        It compresses, with these options, answers for clients that accept it.
    limits_headers
        It refuses headers of 64 KiB; False where that is a foreign server's business.
    """

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = (
        "grpc",
        "aiohttp",
        "uvloop",
        "onnxruntime",
        "tensorflow",
        "torch",
    )

    async def test_plugin_module_imports_no_server_and_no_framework(self) -> None:
        """Listing plugins stays quick: what a transport needs is imported when it is used."""
        if not self.plugin_module:
            pytest.skip("plugin_module is not set")
        assert_import_light(self.plugin_module, self.heavy_modules)

    @classmethod
    def teardown_class(cls) -> None:
        """End the servers that a transport of the hosting ``hosts_us`` launched."""
        ForeignHarness.close_all()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        transport = getattr(cls, "transport_type", None)
        if transport is None:
            return
        for protocol, cases in (("rpc", RpcCases), ("http", HttpCases)):
            if protocol not in transport.carries:
                for name in vars(cases):
                    if name.startswith("test_"):
                        setattr(cls, name, None)  # pytest collects functions only
