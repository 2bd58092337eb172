"""``navi-host serve`` in the place of tensorflow_model_server: its command line, and nothing else."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import subprocess
import time
import urllib.request

import grpc
import pytest

from navi_core.wire import tf_serving

pytestmark = pytest.mark.integration

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


def free_port():
    """Return a port that nobody listens at, of those that no connection is given by itself meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def put(file, text):
    """Replace a file in one step: a host that looks at this moment sees the whole text."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def config_of(*folders):
    models = " ".join(
        f"config {{ name: '{folder.name}' base_path: '{folder}' model_platform: 'tensorflow' }}"
        for folder in folders
    )
    return f"model_config_list {{ {models} }}"


def versions(channel, model):
    request = tf_serving.GetModelStatusRequest(model_spec=tf_serving.ModelSpec(name=model))
    answer = channel.unary_unary(STATUS)(request.SerializeToString(), timeout=60)
    found = tf_serving.GetModelStatusResponse.FromString(answer).model_version_status
    return [each.version for each in found if each.state == 30]


def until(holds):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificate, and is not here")
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True)
    return key.read_text(), crt.read_text()


def test_a_command_line_of_theirs(serve, toy_model, tmp_path, certificate):
    key, crt = certificate
    one, two = toy_model("one", 7), toy_model("two")
    files = {
        "models.config": config_of(one),
        "batching.config": "max_batch_size { value: 16 } batch_timeout_micros { value: 100 }",
        "monitoring.config": "prometheus_config { enable: true }",
        "ssl.config": f"server_key: {json.dumps(key)} server_cert: {json.dumps(crt)}",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    port, unix = free_port(), tmp_path / "grpc.sock"
    served = serve(
        f"--port={port}",
        "--host=127.0.0.1",
        f"--grpc_socket_path={unix}",
        f"--model_config_file={tmp_path / 'models.config'}",
        "--model_config_file_poll_wait_seconds=1",
        "--enable_batching",
        "--batching_parameters_file",
        str(tmp_path / "batching.config"),
        f"--monitoring_config_file={tmp_path / 'monitoring.config'}",
        f"--ssl_config_file={tmp_path / 'ssl.config'}",
        "--enable_model_warmup=true",
        "--rest_api_num_threads=8",
        "--file_system_poll_wait_seconds=1",
    )
    assert [event["flag"] for event in served.events() if event["event"] == "flag_ignored"] == [
        "--rest-api-num-threads"
    ]
    served.wait_for("ready")
    credentials = grpc.ssl_channel_credentials(crt.encode())
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        assert versions(channel, "one") == [7]
        with urllib.request.urlopen(f"{served.http}/monitoring/prometheus/metrics", timeout=60) as page:
            assert b":tensorflow:serving:" in page.read()

        # another file: whole-config semantics
        put(tmp_path / "models.config", config_of(two))
        served.wait_for("model_config_file_applied")
        assert versions(channel, "two") == [1]
        with pytest.raises(grpc.RpcError) as caught:
            versions(channel, "one")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

        # a file that is wrong, and one with a model that cannot be loaded: nothing changes
        put(tmp_path / "models.config", "nonsense")
        assert "models.config" in served.wait_for("model_config_file_refused")["error"]
        put(tmp_path / "models.config", config_of(one, tmp_path / "nothing"))
        until(lambda: sum(each["event"] == "model_config_file_refused" for each in served.events()) >= 2)
        assert versions(channel, "two") == [1]
    options = (("grpc.ssl_target_name_override", "localhost"),)
    with grpc.secure_channel(f"unix:{unix}", credentials, options=options) as channel:
        assert versions(channel, "two") == [1]
    assert served.stop() == 0


def test_a_single_model_without_rest(serve, toy_model):
    port = free_port()
    # the fixture's own --rest-port=0 is what offers REST here
    served = serve(f"--port={port}", "--model_name=half", f"--model_base_path={toy_model('anything')}")
    served.wait_for("ready")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert versions(channel, "half") == [1]
    (listening,) = [
        each for each in served.events() if each["event"] == "listening" and each["transport"] == "grpc"
    ]
    assert listening["addresses"] == [f"grpc://0.0.0.0:{port}"]
    assert served.stop() == 0
