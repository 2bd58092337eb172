# Copied from navi_core/wire/oip.py by tools/build_wire_copies.py; not edited by hand.
"""Messages of the Open Inference Protocol v2, by their short names: ``oip.ModelInferRequest``.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_client._generated.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("oip")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
