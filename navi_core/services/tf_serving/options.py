"""The settings of the service: where navi and TensorFlow Serving differ, which of them to follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from navi_core.config.convert import convert
from navi_core.config.records import ModelSettings
from navi_core.errors import ErrorCode

__all__ = ["ResponseTensors", "TfServingModelOptions", "TfServingOptions", "read_options"]


ResponseTensors: TypeAlias = Literal["values", "tensor_content", "as_requested"]


class TfServingModelOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model says to service ``tf_serving``, in its ``[service_options.tf_serving]``.

    Attributes
    ----------
    response_tensors
        As in the service's settings; None: as those say.
    """

    response_tensors: ResponseTensors | None = None


class TfServingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of service ``tf_serving``.

    Attributes
    ----------
    overload_code
        The status of a request that a full queue refuses. TensorFlow Serving has UNAVAILABLE.
    not_ready_code
        The status of a request to a model that is configured but cannot answer yet. TensorFlow
        Serving has NOT_FOUND.
    response_tensors
        How answers carry tensors over gRPC: in the type's own field, as ``tensor_content``
        (TensorFlow Serving's ``--enable_serialization_as_tensor_content``), or as the request did, if it has one
        tensor as ``tensor_content``. A model's own setting of that name comes before.
    check_method_names
        Refuse a signature whose ``method_name`` is of another kind than the call (TensorFlow Serving's
        ``--enable_signature_method_name_check``).
    allow_unavailable_labels
        Let a reloaded configuration give labels to versions that are not available yet (TensorFlow Serving's
        ``--allow_version_labels_for_unavailable_models``).
    model_defaults
        What the configuration of a model says that a reloaded configuration brings, besides name, path, versions
        and labels.
    cors
        Answer REST requests with CORS headers that allow every origin.
    """

    overload_code: Literal["RESOURCE_EXHAUSTED", "UNAVAILABLE"] = "RESOURCE_EXHAUSTED"
    not_ready_code: Literal["UNAVAILABLE", "NOT_FOUND"] = "UNAVAILABLE"
    response_tensors: ResponseTensors = "values"
    check_method_names: bool = False
    allow_unavailable_labels: bool = False
    model_defaults: ModelSettings = ModelSettings()
    cors: bool = False

    @property
    def overload(self) -> ErrorCode:
        """``overload_code`` as a code."""
        return ErrorCode(self.overload_code)

    @property
    def not_ready(self) -> ErrorCode:
        """``not_ready_code`` as a code."""
        return ErrorCode(self.not_ready_code)


def read_options(table: Mapping[str, Any]) -> TfServingOptions:
    """Read the service's table of the configuration.

    Raises
    ------
    ConfigError
        An unknown key or a wrong value; the path says which.
    """
    return convert(dict(table), TfServingOptions, "service_options.tf_serving")
