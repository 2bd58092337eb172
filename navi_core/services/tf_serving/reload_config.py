"""HandleReloadConfigRequest: another set of models, as a whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from navi_core.config.listed import listed_config
from navi_core.config.records import ModelConfig, ModelSettings
from navi_core.contracts.planes import Admin, DataPlane
from navi_core.contracts.service import Call, Response
from navi_core.contracts.versions import ServableState
from navi_core.errors import (
    ErrorCode,
    ModelError,
    ModelNotFoundError,
    NaviError,
)
from navi_core.services.tf_serving.errors import Failures
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.model_server_config import ListedModel, check_labels, listed_models

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ReloadConfigRequest

__all__ = ["ReloadConfigRpc"]

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]")
"""What TensorFlow Serving's metrics page writes as ``:``."""


class ReloadConfigRpc:
    """The handler of ``ModelService/HandleReloadConfigRequest``.

    Parameters
    ----------
    plane
        Knows which versions can answer.
    admin
        Applies the configuration.
    failures
        Words errors.
    defaults
        What the configuration of a new model says besides what the request says of it.
    allow_unavailable_labels
        Let labels point to versions that are not available yet.
    """

    def __init__(
        self,
        plane: DataPlane,
        admin: Admin,
        failures: Failures,
        *,
        defaults: ModelSettings,
        allow_unavailable_labels: bool = False,
    ) -> None:
        self._plane = plane
        self._admin = admin
        self._failures = failures
        self._defaults = defaults
        self._allow_unavailable_labels = allow_unavailable_labels

    async def __call__(self, call: Call) -> Response:
        """Answer one request, once every new model can answer."""
        try:
            request = parse_message(tf_serving.ReloadConfigRequest, call.body)
            before = await self._counters(request)
            await self._apply(listed_models(request.config))
        except NaviError as error:
            return self._failures.rpc(error)
        response = tf_serving.ReloadConfigResponse()
        response.status.SetInParent()  # OK
        after = await self._counters(request)
        for name, value in after.items():
            response.metric.add(name=name, int64_value_increase=value - before.get(name, 0))
        return Response(status=0, body=response.SerializeToString())

    async def _apply(self, listed: Sequence[ListedModel]) -> None:
        configs = []
        for model in listed:
            known = self._known(model.name)
            check_labels(
                model,
                self._available(model.name) if known is not None else {},
                known.labels if known is not None else {},
                allow_unavailable=self._allow_unavailable_labels,
            )
            configs.append(listed_config(model.table(), known, self._defaults))
        try:
            await self._admin.apply_config(configs)
        except ModelError as error:
            if error.code in (ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED):
                raise
            version = "" if error.version is None else f" version: {error.version}"
            text = (
                f"1 model(s) did not become available: {{{{{{name: {error.model}{version}}} "
                f"due to error: {error.code}: {error.message}}}, }}"
            )
            raise NaviError(text, code=ErrorCode.UNKNOWN) from error

    def _known(self, model: str) -> ModelConfig | None:
        try:
            return self._admin.config_of(model)
        except ModelNotFoundError:
            return None

    def _available(self, model: str) -> dict[int, bool]:
        return {
            status.version: status.state is ServableState.AVAILABLE for status in self._plane.status(model)
        }

    async def _counters(self, request: ReloadConfigRequest) -> dict[str, int]:
        """Return the first value of each counter that is asked for; a name that is unknown is left out."""
        if not request.metric_names:
            return {}
        _, page = await self._plane.render_metrics()
        lines = page.decode().splitlines()
        found: dict[str, int] = {}
        for name in request.metric_names:
            shown = _NOT_IN_NAMES.sub(":", name)
            for line in lines:
                sample, _, value = line.rpartition(" ")
                if sample == shown or sample.startswith(f"{shown}{{"):
                    found[name] = int(float(value))
                    break
        return found
