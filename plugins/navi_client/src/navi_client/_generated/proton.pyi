# Copied from navi_core/wire/proton.pyi by tools/build_wire_copies.py; not edited by hand.
# Written by tools/build_descriptors.py from specs/protos (proton); not edited by hand.
# fmt: off
import typing

from google.protobuf.internal import containers
from google.protobuf.message import Message

from navi_client._generated.descriptors import DescriptorSet

DESCRIPTORS: DescriptorSet

class InferenceRequest(Message):
    model_name: str
    @property
    def data(self) -> containers.RepeatedScalarFieldContainer[float]: ...
    @property
    def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(self, *, model_name: str | None = ..., data: typing.Iterable[float] | None = ..., shape: typing.Iterable[int] | None = ...) -> None: ...

class InferenceResponse(Message):
    prediction_id: str
    model_name: str
    @property
    def data(self) -> containers.RepeatedScalarFieldContainer[float]: ...
    @property
    def shape(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(self, *, prediction_id: str | None = ..., model_name: str | None = ..., data: typing.Iterable[float] | None = ..., shape: typing.Iterable[int] | None = ...) -> None: ...
