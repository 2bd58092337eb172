"""TransportConformance: what every transport must do, as tests to subclass.

In a plugin's tests::

    class TestMyTransport(TransportConformance):
        transport_type = MyTransport

A transport that does not listen in the test's own process, or whose addresses have schemes of their own,
overrides ``make_harness`` too.
"""

from __future__ import annotations

from typing import Any

import pytest

from navi_core.testing.transport_http_cases import HttpCases
from navi_core.testing.transport_rpc_cases import RpcCases

__all__ = ["TransportConformance"]


@pytest.mark.conformance
class TransportConformance(RpcCases, HttpCases):
    """The laws of :class:`navi_core.Transport`; those of RPC and of HTTP as far as it carries them.

    Attributes
    ----------
    transport_type
        The transport to try; made without arguments.
    transport_options
        An instance of its ``options_type``; None: the defaults.
    compresses_answers
        It compresses, with these options, answers for clients that accept it.
    limits_headers
        It refuses headers of 64 KiB; False where that is a foreign server's business.
    """

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
