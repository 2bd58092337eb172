"""``navi-host serve --transport envoy``: what it serves, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from navi_core import PredictRequest, PredictResponse

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for Envoy's process"),
]

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def request_of(model: str, *row: float) -> bytes:
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in (1, len(row)):
        tensor.tensor_shape.dim.add().size = size
    tensor.float_val.extend(row)
    return request.SerializeToString()


def row_of(answer: bytes) -> list[float]:
    tensor = PredictResponse.FromString(answer).outputs["y"]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").tolist()
    return list(tensor.float_val)


def predict(channel: grpc.Channel, model: str, *row: float) -> list[float]:
    return row_of(channel.unary_unary(PREDICT)(request_of(model, *row), timeout=60))


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_grpc_and_rest_answer_on_one_port(served):
    with grpc.insecure_channel(served.target) as channel:
        assert predict(channel, "quick", 1, 2) == [3, 5]
    body = json.dumps({"instances": [[1, 2]]}).encode()
    url = f"http://{served.target}/v1/models/quick:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
        predicted = json.load(answer)["predictions"]
    assert predicted[0]["y"] == [3, 5]


def test_every_other_service_answers_there_too(served):
    assert get(f"http://{served.target}/healthz/ready")[0] == 200
    with grpc.insecure_channel(served.target) as channel:
        predict(channel, "quick", 1, 2)  # which is counted
    status, page = get(f"http://{served.target}/metrics")
    assert status == 200
    assert b'transport="envoy"' in page
    assert page.count(b"\nprocess_resident_memory_bytes ") == 1
    assert get(f"http://{served.target}/v2/models/quick")[0] == 200
    with grpc.insecure_channel(served.target) as channel:
        health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)
    assert health == b"\x08\x01"  # SERVING


def test_a_hangup_serves_what_the_file_says_now_and_requests_are_lines(start, models, tmp_path):
    file = tmp_path / "host.toml"
    file.write_text("access_log = true\n")
    served = start("--config", str(file))
    served.wait_for("ready")
    with grpc.insecure_channel(served.target) as channel:
        call = channel.unary_unary(PREDICT)
        _, answered = call.with_call(
            request_of("quick", 1, 2), timeout=60, metadata=[("x-request-id", "mine-7")]
        )
        assert ("x-request-id", "mine-7") in [tuple(each) for each in answered.trailing_metadata()]
        line = served.wait_for("request")
        assert (line["request_id"], line["transport"], line["model"], line["status"]) == (
            "mine-7",
            "envoy",
            "quick",
            0,
        )
        file.write_text(f'access_log = true\n[[models]]\nname = "other"\npath = "{models / "quick"}"\n')
        served.process.send_signal(signal.SIGHUP)
        assert served.wait_for("config_reloaded")["added"] == ["other"]
        assert predict(channel, "other", 1, 2) == [3, 5]
        file.write_text("access_log = 7\n")
        served.process.send_signal(signal.SIGHUP)
        assert str(file) in served.wait_for("config_refused")["error"]
        assert predict(channel, "other", 1, 2) == [3, 5]
    assert served.stop() == 0


def test_an_application_that_cannot_start_is_bad_usage_in_one_sentence(start, models, tmp_path):
    file = tmp_path / "host.toml"
    file.write_text('services = ["nonsense"]\n')
    served = start("--config", str(file))
    assert served.process.wait(100) == 2
    (line,) = [line for line in served.log().splitlines() if not line.startswith("{")]
    assert line.startswith("navi-host: no service is called 'nonsense'")


def readiness(served) -> int | None:
    """Return the status of the host's readiness; None: it takes no connections any more."""
    try:
        return get(f"http://{served.target}/healthz/ready")[0]
    except (OSError, http.client.HTTPException):
        return None


class Caller(threading.Thread):
    """A client in a closed loop, until it is refused; it counts what became of its calls."""

    def __init__(self, target: str, model: str) -> None:
        super().__init__()
        self._target = target
        self._model = model
        self.num_answers = 0
        self.has_answers = threading.Event()
        self.end: tuple[object, str] | None = None

    def run(self) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._target, options=options) as channel:
            call = channel.unary_unary(PREDICT)
            while self.end is None:
                try:
                    answer = call(request_of(self._model, 1, 2), timeout=60)
                    assert row_of(answer) == [3, 5]
                    self.num_answers += 1
                    self.has_answers.set()
                except grpc.RpcError as error:
                    self.end = (error.code(), error.details())


@pytest.mark.parametrize("ended_by", ["SIGTERM", "a terminal's Ctrl-C"])
def test_an_end_under_load_loses_nothing(start, ended_by):
    served = start("--drain-timeout", "60")
    served.wait_for("ready")
    callers = [Caller(served.target, model) for model in ("quick", "slow") for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        assert caller.has_answers.wait(60)
    time.sleep(0.5)
    if ended_by == "SIGTERM":
        served.process.send_signal(signal.SIGTERM)
    else:
        os.killpg(served.process.pid, signal.SIGINT)
    served.wait_for("stopping")
    end = time.monotonic() + 60
    while (status := readiness(served)) == 200 and time.monotonic() < end:
        time.sleep(0.01)  # the parent has said so; the application is told after it
    assert status in (503, None)
    assert served.process.wait(100) == 0
    for caller in callers:
        caller.join(60)
    assert {code for code, _ in (caller.end for caller in callers)} == {grpc.StatusCode.UNAVAILABLE}
    # a call that comes after GOAWAY was not begun: grpcio would make it again, unseen, were its retries not off
    refused = ("draining", "Stream removed (GOAWAY received; Error code: 0")
    assert all(details.startswith(refused) for _, details in (caller.end for caller in callers))
    assert all(caller.num_answers for caller in callers)
    assert '"event":"stopped"' in served.log()


def test_envoy_s_death_ends_the_parent_with_a_word(start):
    served = start()
    served.wait_for("serving")
    subprocess.run(["kill", "-KILL", str(served.envoy_pid)], check=True)
    assert served.process.wait(100) == 1
    assert served.wait_for("server_ended")["reason"] == "Envoy was ended by SIGKILL"


def test_the_parent_s_death_leaves_no_orphan(start):
    served = start()
    served.wait_for("serving")
    envoy = served.envoy_pid
    served.stop(signal.SIGKILL)
    assert served.envoy_ends(envoy)
