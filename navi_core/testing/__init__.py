"""For plugin authors: conformance suites to subclass, fakes, and a pytest plugin.

Names are imported when they are first used, so that a fake costs no pytest and a runtime's suite no gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from navi_core.testing.affine import AffineRuntime, write_affine
    from navi_core.testing.converter import ConverterConformance
    from navi_core.testing.imports import assert_import_light
    from navi_core.testing.registries import registry_of
    from navi_core.testing.run_context import SimpleRunContext
    from navi_core.testing.runtime import RuntimeConformance
    from navi_core.testing.service import Sample, ServiceConformance
    from navi_core.testing.transport import TransportConformance

_MODULE_OF: Final = {
    "AffineRuntime": "affine",
    "ConverterConformance": "converter",
    "RuntimeConformance": "runtime",
    "Sample": "service",
    "ServiceConformance": "service",
    "SimpleRunContext": "run_context",
    "TransportConformance": "transport",
    "assert_import_light": "imports",
    "registry_of": "registries",
    "write_affine": "affine",
}

# written out, so that type checkers of plugins see what is exported; a test compares it with the table
__all__ = [
    "AffineRuntime",
    "ConverterConformance",
    "RuntimeConformance",
    "Sample",
    "ServiceConformance",
    "SimpleRunContext",
    "TransportConformance",
    "assert_import_light",
    "registry_of",
    "write_affine",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module 'navi_core.testing' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"navi_core.testing.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
