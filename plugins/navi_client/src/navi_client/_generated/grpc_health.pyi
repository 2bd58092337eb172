# Copied from navi_core/wire/grpc_health.pyi by tools/build_wire_copies.py; not edited by hand.
# Written by tools/build_descriptors.py from specs/protos (grpc_health); not edited by hand.
# fmt: off
import typing

from google.protobuf.internal import containers
from google.protobuf.message import Message

from navi_client._generated.descriptors import DescriptorSet

DESCRIPTORS: DescriptorSet

class HealthCheckRequest(Message):
    service: str
    def __init__(self, *, service: str | None = ...) -> None: ...

class HealthCheckResponse(Message):
    UNKNOWN: typing.Final = 0
    SERVING: typing.Final = 1
    NOT_SERVING: typing.Final = 2
    SERVICE_UNKNOWN: typing.Final = 3
    status: int
    def __init__(self, *, status: int | None = ...) -> None: ...

class HealthListRequest(Message):
    def __init__(self) -> None: ...

class HealthListResponse(Message):
    @property
    def statuses(self) -> containers.MessageMap[str, HealthCheckResponse]: ...
    def __init__(self, *, statuses: typing.Mapping[str, HealthCheckResponse] | None = ...) -> None: ...
