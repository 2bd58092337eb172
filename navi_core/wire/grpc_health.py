"""Messages of the gRPC health checking protocol, by their short names.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_core.wire.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("grpc_health")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
