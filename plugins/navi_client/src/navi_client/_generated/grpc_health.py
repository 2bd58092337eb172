# Copied from navi_core/wire/grpc_health.py by tools/build_wire_copies.py; not edited by hand.
"""Messages of the gRPC health checking protocol, by their short names.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_client._generated.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("grpc_health")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
