"""``navi-host serve`` as a process: it listens, says where, and stops in order."""

from __future__ import annotations

import json
import signal
import socket

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve__listens_says_where_and_stops_in_order(serve, toy_model, tmp_path, number):
    served = serve("--model-dir", str(toy_model()))
    served.wait_for("ready")
    written = json.loads((tmp_path / "addresses0.json").read_text())
    assert written["pid"] == served.process.pid
    for transport, scheme in (("grpc", "grpc"), ("http", "http")):
        (address,) = written["addresses"][transport]
        assert (address["scheme"], address["host"]) == (scheme, "127.0.0.1")
        assert address["url"] == f"{scheme}://127.0.0.1:{address['port']}"
        socket.create_connection(("127.0.0.1", address["port"]), timeout=60).close()
    assert served.stop(number) == 0
    assert not (tmp_path / "addresses0.json").exists()
    events = [entry["event"] for entry in served.events()]
    assert events.index("stopping") < events.index("servable_unloaded") < events.index("stopped")
    assert served.wait_for("stopping")["signal"] == number.name


def test_serve__flags_and_file_together(serve, toy_model, tmp_path):
    one, two = toy_model("one"), toy_model("two")
    file = tmp_path / "host.toml"
    file.write_text(f'prometheus_port = 0\n[[models]]\npath = "{one}"\nname = "first"\n')
    served = serve("--config", str(file), "-m", str(two), "--toy-extra-scale", "3", "-n", "2")
    assert served.wait_for("serving")["models"] == ["first", "two"]
    ignored = served.wait_for("flag_ignored")
    assert ignored["flag"] == "--num-worker-threads"
    assert "one event loop" in ignored["reason"]
    served.wait_for("ready")
    assert served.stop() == 0


def test_serve__a_model_that_does_not_load_is_said_and_the_other_serves(serve, toy_model):
    good, bad = toy_model("good"), toy_model("bad")
    (bad / "1" / "toy.json").write_text("{}")
    served = serve("-m", str(good), "-m", str(bad))
    assert served.wait_for("servable_loaded")["model"] == "good"
    assert served.process.poll() is None
    assert served.stop() == 0


def test_serve__a_directory_that_is_missing_is_said(serve, tmp_path):
    served = serve("-m", str(tmp_path / "nothing_here"))
    assert served.wait_for("model_directory_missing")["model"] == "nothing_here"
    assert served.stop() == 0


def test_serve__a_port_in_use_is_bad_configuration(navi_host, toy_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = navi_host("serve", "-m", str(toy_model()), "--transport=http", f"--rest-port={port}")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("navi-host: ")
    assert str(port) in last
    assert "Traceback" not in done.stderr


WRONG = {
    "a list of the wrong length": (
        ["-m", "a", "-m", "b", "--max-batch-size", "1"],
        "navi-host: --max-batch-size: expected 2 values, one for each --model-dir, got 1\n",
    ),
    "no TLS files": (
        ["-m", "a", "--ssl-dir", "/nowhere"],
        "navi-host: transports.grpc.tls: expected a PEM file, got '/nowhere/server.key', which is none\n",
    ),
    "no such transport": (["-m", "a", "--transport", "pigeon"], "navi-host: no transport is called 'pigeon'"),
    "no configuration": (["--config", "/nowhere.toml"], "navi-host: /nowhere.toml: cannot be read"),
    "nothing to serve": ([], "navi-host: nothing to serve"),
    "no directory for the addresses": (
        ["-m", "a", "--address-file", "/nowhere/x.json"],
        "navi-host: --address-file: expected a file in a directory that exists, got '/nowhere/x.json'\n",
    ),
}


@pytest.mark.parametrize(("args", "text"), WRONG.values(), ids=WRONG)
def test_serve__wrong_usage_ends_with_one_sentence(navi_host, args, text):
    done = navi_host("serve", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
