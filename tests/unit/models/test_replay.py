"""Recorded requests: which are run, what fails a load, and with what words."""

from __future__ import annotations

import numpy as np
import pytest

from navi_core.config.records import ModelSettings, WarmupSettings
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.runtime import Runtime, Servable
from navi_core.errors import ErrorCode, InferenceError, ModelLoadError
from navi_core.models.loading import load_version
from navi_core.models.replay import MAX_RECORDS, RECORDS_FILE
from navi_core.models.warmup import DEFAULT_ROWS
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.testing.recorded_requests import tf_records, write_recorded_requests
from navi_core.testing.registries import registry_of
from navi_core.wire import tf_serving
from navi_core.wire.tensor_proto import encode_tensor


def spec(name, *shape, dtype=DType.FLOAT32):
    return TensorSpec(name=name, dtype=dtype, shape=shape)


class Listener(Servable):
    """Writes down what it is asked; numbers over 100 are too much for it."""

    signatures = {
        DEFAULT_SIGNATURE: Signature(
            inputs={"x": spec("x", "n", 2)},
            outputs={"y": spec("y", "n", 2), "z": spec("z", "n")},
            batchable=True,
        ),
        "scores": Signature(
            inputs={"text": spec("text", "n", dtype=DType.STRING)},
            outputs={"s": spec("s", "n")},
            batchable=True,
        ),
    }

    def __init__(self):
        self.heard = []
        self.is_closed = False

    def run(self, signature, inputs, outputs, ctx):
        self.heard.append(
            (signature, {name: array.tolist() for name, array in inputs.items()}, tuple(outputs))
        )
        if signature == "scores":
            return {"s": np.zeros(len(inputs["text"]), np.float32)}
        x = inputs["x"]
        if np.any(x > 100):
            msg = "too much"
            raise InferenceError(msg)
        return {name: x if name == "y" else x[:, 0] for name in outputs}

    def close(self):
        self.is_closed = True


class AsyncListener(Listener):
    async def run(self, signature, inputs, outputs, ctx):
        return super().run(signature, inputs, outputs, ctx)


class ListenerRuntime(Runtime):
    name = "listener"
    kind = Listener
    last: Listener

    def recognise(self, artifact):
        return "listener"

    def load(self, artifact, options):
        type(self).last = self.kind()
        return self.last


class AsyncListenerRuntime(ListenerRuntime):
    kind = AsyncListener


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "m" / "3"
    folder.mkdir(parents=True)
    return Artifact(name="m", version=3, path=folder)


def predict(x, *, signature="", outputs=(), name="x"):
    log = tf_serving.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "another model"
    request.model_spec.version.value = 77
    request.model_spec.signature_name = signature
    request.inputs[name].ParseFromString(b"".join(encode_tensor(np.asarray(x, np.float32))))
    request.output_filter.extend(outputs)
    return log.SerializeToString()


def classify(*values, signature="scores", kind="classify"):
    log = tf_serving.PredictionLog()
    request = getattr(log, f"{kind}_log").request
    request.model_spec.signature_name = signature
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["a"].int64_list.value.append(value)
    return log.SerializeToString()


def load(artifact, runtime=ListenerRuntime, **warmup):
    """Load; return what was heard after the warm-up, the version, and how the replay ended."""
    done = []
    loaded = load_version(
        registry_of(runtimes=[runtime]),
        artifact,
        ModelSettings(warmup=WarmupSettings(**warmup)),
        on_replayed=done.append,
    )
    of_warmup = 0 if warmup.get("enabled") is False else len(DEFAULT_ROWS) * len(Listener.signatures)
    return runtime.last.heard[of_warmup:], loaded, done


def refused(artifact, **warmup):
    done = []
    with pytest.raises(ModelLoadError) as caught:
        load_version(
            registry_of(runtimes=[ListenerRuntime]),
            artifact,
            ModelSettings(warmup=WarmupSettings(**warmup)),
            on_replayed=done.append,
        )
    assert ListenerRuntime.last.is_closed
    assert [each.code for each in done] == [caught.value.code]
    return caught.value


@pytest.mark.parametrize("runtime", [ListenerRuntime, AsyncListenerRuntime])
def test_every_record_is_run_whatever_model_it_was_for(version, runtime):
    write_recorded_requests(
        version.path, [predict([[1, 2]]), predict([[3, 4], [5, 6]], outputs=("z",)), classify(7, 8)]
    )
    heard, loaded, (done,) = load(version, runtime)
    assert [(name, outputs) for name, _, outputs in heard] == [
        (DEFAULT_SIGNATURE, ("y", "z")),
        (DEFAULT_SIGNATURE, ("z",)),
        ("scores", ("s",)),
    ]
    assert [inputs.get("x") for _, inputs, _ in heard[:2]] == [[[1, 2]], [[3, 4], [5, 6]]]
    examples = [tf_serving.Example.FromString(each) for each in heard[2][1]["text"]]
    assert [each.features.feature["a"].int64_list.value[0] for each in examples] == [7, 8]
    assert (done.num_records, done.code, done.path) == (3, ErrorCode.OK, str(version.path))
    assert f"warmed up with 3 recorded requests of {RECORDS_FILE} in" in loaded.notes[-1]


def test_files_in_memory_bring_their_records_along():
    files = {"any": b"", RECORDS_FILE: tf_records([predict([[1, 2]])])}
    heard, loaded, (done,) = load(Artifact(name="m", version=1, files=files))
    assert len(heard) == 1
    assert (done.num_records, done.path) == (1, "2 files in memory")
    assert "1 recorded request of" in loaded.notes[-1]


def test_no_file_is_fine(version):
    heard, loaded, done = load(version)
    assert (heard, loaded.notes, done) == ([], (), [])


def test_an_empty_file_is_fine(version):
    write_recorded_requests(version.path, [])
    assert load(version)[2][0].num_records == 0


def test_a_single_file_has_no_records(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no record")
    assert load(Artifact(name="m", version=1, path=tmp_path / "model.bin"))[2] == []


@pytest.mark.parametrize("off", [{"enabled": False}, {"records": False}, {"max_records": 0}])
def test_turned_off_the_file_is_not_even_read(version, off):
    write_recorded_requests(version.path, []).write_bytes(b"no record")
    assert load(version, **off)[2] == []


def test_another_file(version):
    write_recorded_requests(version.path, []).rename(version.path / "warm.tfrecord")
    (version.path / "warm.tfrecord").write_bytes(tf_records([predict([[1, 2]])]))
    assert len(load(version, records="warm.tfrecord")[0]) == 1


def test_another_file_has_to_exist(version):
    with pytest.raises(
        ModelLoadError, match=r"expected recorded requests in the file 'warm.tfrecord' of .*/m/3"
    ):
        load(version, records="warm.tfrecord")


def test_records_said_to_be_there_have_to_exist(version):
    with pytest.raises(ModelLoadError, match=f"the file '{RECORDS_FILE}'"):
        load(version, records=True)


def test_max_records__the_rest_is_not_even_read(version):
    file = write_recorded_requests(version.path, [predict([[1, 2]]), predict([[3, 4]])])
    file.write_bytes(file.read_bytes() + b"damage")
    heard, _, (done,) = load(version, max_records=2)
    assert (len(heard), done.num_records) == (2, 2)
    assert refused(version, max_records=3).code == ErrorCode.DATA_LOSS


def test_iterations__each_record_is_run_again(version):
    write_recorded_requests(version.path, [predict([[1, 2]]), predict([[3, 4]])])
    heard, _, (done,) = load(version, iterations=3)
    assert [inputs["x"][0][0] for _, inputs, _ in heard] == [1, 1, 1, 3, 3, 3]
    assert done.num_records == 2


def test_a_record_of_no_call_is_ignored(version):
    write_recorded_requests(version.path, [tf_serving.PredictionLog().SerializeToString(), predict([[1, 2]])])
    assert len(load(version)[0]) == 1


def test_multi_inference_asks_every_signature(version):
    log = tf_serving.PredictionLog()
    request = log.multi_inference_log.request
    for _ in range(2):
        task = request.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.signature_name = "scores"
    request.input.example_list.examples.add().features.feature["a"].int64_list.value.append(1)
    write_recorded_requests(version.path, [log.SerializeToString()])
    heard, _, (done,) = load(version)
    assert [name for name, *_ in heard] == ["scores", "scores"]
    assert done.num_records == 1


def streamed(kind):
    log = tf_serving.PredictionLog()
    getattr(log, f"{kind}_log").SetInParent()
    return log.SerializeToString()


GOOD = predict([[1, 2]])
BAD_RECORDS = {
    "no log": (b"\xff", "INVALID_ARGUMENT", "expected a tensorflow.serving.PredictionLog"),
    "streamed": (streamed("predict_streamed"), "UNIMPLEMENTED", "got predict_streamed_log"),
    "session run": (streamed("session_run"), "UNIMPLEMENTED", "got session_run_log"),
    "wrong input": (predict([[1, 2]], name="q"), "INVALID_ARGUMENT", "missing {x}, unknown {q}"),
    "wrong shape": (predict([[1, 2, 3]]), "INVALID_ARGUMENT", "input 'x': expected shape (n, 2), got (1, 3)"),
    "unknown signature": (predict([[1, 2]], signature="s"), "INVALID_ARGUMENT", "got 's'"),
    "unknown output": (predict([[1, 2]], outputs=("q",)), "INVALID_ARGUMENT", "got 'q'"),
    "unknown signature of examples": (classify(1, signature="s"), "INVALID_ARGUMENT", "got 's'"),
    "examples for numbers": (
        classify(1, signature=""),
        "INVALID_ARGUMENT",
        "Classify: expected a signature with one string input for the examples, got 'serving_default' with {x: float32}",
    ),
    "no examples": (classify(), "INVALID_ARGUMENT", "Input is empty."),
    "a failing run": (predict([[1, 200]]), "INTERNAL", "too much"),
}


@pytest.mark.parametrize(("record", "code", "text"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_whatever_fails_fails_the_load(version, record, code, text):
    write_recorded_requests(version.path, [GOOD, record, GOOD])
    error = refused(version)
    assert error.code == code
    assert error.message.startswith(f"version 3 of model 'm': warm-up: record 2 of {RECORDS_FILE}: ")
    assert text in error.message
    assert (error.model, error.version) == ("m", 3)


def test_a_wrong_checksum_is_lost_data(version):
    file = write_recorded_requests(version.path, [GOOD, GOOD])
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    error = refused(version)
    assert error.code == ErrorCode.DATA_LOSS
    assert f"record 2 of {RECORDS_FILE}: checksum of a record's content" in error.message


def test_more_records_than_tensorflow_serving_takes_are_refused(version):
    write_recorded_requests(version.path, [GOOD] * MAX_RECORDS)
    assert load(version)[2][0].num_records == MAX_RECORDS
    write_recorded_requests(version.path, [GOOD] * (MAX_RECORDS + 1))
    error = refused(version)
    assert error.code == ErrorCode.INVALID_ARGUMENT
    assert "record 1001 of" in error.message
    assert "at most 1000 records, got more" in error.message
    assert load(version, max_records=MAX_RECORDS)[2][0].num_records == MAX_RECORDS
    refused(version, max_records=5000)
