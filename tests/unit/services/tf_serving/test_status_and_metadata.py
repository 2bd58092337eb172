from __future__ import annotations

import numpy as np
import pytest
from calls import body_of, call_rpc
from fake_plane import DEFAULT_B, SIGNATURES

from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.services.tf_serving.metadata import signature_def_map
from navi_core.services.tf_serving.model_status import STATE_NUMBERS, status_message
from navi_core.wire import tf_serving
from navi_core.wire.tensor_proto import array_of_message


async def status_of(service, **spec):
    request = tf_serving.GetModelStatusRequest(model_spec=tf_serving.ModelSpec(**spec))
    response = await call_rpc(service, "GetModelStatus", request.SerializeToString())
    assert response.status == 0
    return tf_serving.GetModelStatusResponse.FromString(body_of(response)).model_version_status


async def metadata_of(service, **spec):
    request = tf_serving.GetModelMetadataRequest(
        model_spec=tf_serving.ModelSpec(**spec), metadata_field=["signature_def"]
    )
    response = await call_rpc(service, "GetModelMetadata", request.SerializeToString())
    assert response.status == 0
    return tf_serving.GetModelMetadataResponse.FromString(body_of(response))


async def test_status__lists_every_version_newest_first(service):
    found = await status_of(service, name="m")
    assert [(each.version, each.state) for each in found] == [(3, 30), (2, 30), (1, 50)]
    assert all(each.HasField("status") for each in found)
    assert (found[2].status.error_code, found[2].status.error_message) == (9, "no model.onnx")
    assert (found[0].status.error_code, found[0].status.error_message) == (0, "")


async def test_status__of_one_version(service):
    request = tf_serving.ModelSpec(name="m")
    request.version.value = 2
    found = await status_of(service, name="m", version=request.version)
    assert [each.version for each in found] == [2]


async def test_version_0__is_no_version_where_the_model_has_none(service):
    version = tf_serving.ModelSpec(version={"value": 0}).version
    assert [each.version for each in await status_of(service, name="m", version=version)] == [3, 2, 1]
    assert (await metadata_of(service, name="m", version=version)).model_spec.version.value == 3
    [status] = await status_of(service, name="numbered_from_0", version=version)
    assert (status.version, status.state) == (0, 50)


async def test_status__ignores_labels(service):
    assert len(await status_of(service, name="m", version_label="none")) == 3


async def test_status__of_a_model_that_is_loading(service):
    assert [each.state for each in await status_of(service, name="loading")] == [20]


def test_status__the_golden_response():
    message = status_message([VersionStatus(version=1, state=ServableState.AVAILABLE)])
    assert message.SerializeToString().hex() == "0a060801101e1a00"


def test_status__every_state_has_tensorflows_number():
    states = tf_serving.ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_name
    assert {state: states[state.value].number for state in ServableState} == STATE_NUMBERS


async def test_metadata__packs_the_signatures(service, plane):
    response = await metadata_of(service, name="m", version_label="stable")
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 2, "")
    assert set(response.metadata) == {"signature_def"}
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = tf_serving.SignatureDefMap.FromString(packed.value).signature_def
    assert set(signatures) == set(SIGNATURES)
    assert plane.open_handles == 0


def test_metadata__describes_tensors():
    found = signature_def_map(SIGNATURES).signature_def["serving_default"]
    assert found.method_name == "tensorflow/serving/predict"
    x = found.inputs["x"]
    assert (x.name, x.dtype, x.tensor_shape.unknown_rank) == ("x", 1, False)
    assert [dim.size for dim in x.tensor_shape.dim] == [-1, 2]
    assert {name: info.dtype for name, info in found.outputs.items()} == {"y": 1, "z": 9}


def test_metadata__describes_scalars_and_unknown_ranks():
    definitions = signature_def_map(SIGNATURES).signature_def
    scalar = definitions["scalar"].outputs["y"]
    assert scalar.HasField("tensor_shape")
    assert not scalar.tensor_shape.dim
    unknown = definitions["any"].inputs["x"]
    assert unknown.tensor_shape.unknown_rank
    assert definitions["any"].method_name == "tensorflow/serving/other"


def test_metadata__shows_defaults():
    found = signature_def_map(SIGNATURES).signature_def["defaults"]
    assert set(found.defaults) == {"b"}
    np.testing.assert_array_equal(array_of_message(found.defaults["b"], name="b"), DEFAULT_B)


@pytest.mark.parametrize("rpc", ["Predict", "GetModelMetadata", "GetModelStatus"])
async def test_requests__of_random_bytes_get_an_answer(service, rpc):
    rng = np.random.default_rng(5)
    for _ in range(200):
        response = await call_rpc(service, rpc, rng.bytes(int(rng.integers(0, 30))))
        assert response.status in (0, 3, 5)
