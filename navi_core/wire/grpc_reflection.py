"""Messages of the gRPC server reflection protocol, v1, by their short names.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_core.wire.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("grpc_reflection")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
