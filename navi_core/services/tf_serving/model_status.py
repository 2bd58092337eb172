"""GetModelStatus: the versions of a model and where each is in its life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Response
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import ErrorCode, ModelNotFoundError, NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import GRPC_STATUS, Failures
from navi_core.services.tf_serving.model_spec import required_spec, zero_as_newest
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from navi_core.wire.tf_serving import GetModelStatusResponse

__all__ = ["STATE_NUMBERS", "GetModelStatusRpc", "find_versions", "status_message"]

STATE_NUMBERS: Final = {
    ServableState.START: 10,
    ServableState.LOADING: 20,
    ServableState.AVAILABLE: 30,
    ServableState.UNLOADING: 40,
    ServableState.END: 50,
}
"""State -> its number in ``ModelVersionStatus.State``. Total."""


def find_versions(plane: DataPlane, ref: ModelRef) -> list[VersionStatus]:
    """Return the versions that a status request asks for, newest first.

    Labels play no part: TensorFlow Serving ignores them here.

    Raises
    ------
    NaviError
        NOT_FOUND: no such model, or no such version.
    """
    try:
        versions = plane.status(ref.name)
    except ModelNotFoundError:
        versions = ()
    if ref.version is not None:
        found = [status for status in versions if status.version == ref.version]
        if not found:
            text = f"Could not find version {ref.version} of model {ref.name}"
            raise NaviError(text, code=ErrorCode.NOT_FOUND)
        return found
    if not versions:
        raise NaviError(f"Could not find any versions of model {ref.name}", code=ErrorCode.NOT_FOUND)
    return sorted(versions, key=lambda status: status.version, reverse=True)


def status_message(versions: Iterable[VersionStatus]) -> GetModelStatusResponse:
    """Return version statuses as a response."""
    response = tf_serving.GetModelStatusResponse()
    for status in versions:
        entry = response.model_version_status.add(version=status.version, state=STATE_NUMBERS[status.state])
        entry.status.SetInParent()  # there even when it says nothing but OK
        entry.status.error_code = GRPC_STATUS[status.error_code]
        entry.status.error_message = status.error_message
    return response


class GetModelStatusRpc:
    """The handler of ``ModelService/GetModelStatus``.

    Parameters
    ----------
    plane
        Knows the versions.
    failures
        Words errors.
    """

    def __init__(self, plane: DataPlane, failures: Failures) -> None:
        self._plane = plane
        self._failures = failures

    async def __call__(self, call: Call) -> Response:
        """Answer one request."""
        try:
            request = parse_message(tf_serving.GetModelStatusRequest, call.body)
            spec = required_spec(request.model_spec if request.HasField("model_spec") else None)
            ref = ModelRef(spec.name, version=spec.version.value if spec.HasField("version") else None)
            versions = find_versions(self._plane, zero_as_newest(self._plane, ref))
        except NaviError as error:
            return self._failures.rpc(error)
        return Response(status=0, body=status_message(versions).SerializeToString())
