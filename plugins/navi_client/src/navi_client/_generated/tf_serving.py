# Copied from navi_core/wire/tf_serving.py by tools/build_wire_copies.py; not edited by hand.
"""Messages of TensorFlow Serving and TensorFlow, by their short names: ``tf_serving.PredictRequest``.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_client._generated.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("tf_serving")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
