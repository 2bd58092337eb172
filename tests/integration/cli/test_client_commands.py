"""``models``, ``predict`` and ``inspect`` against real hosts and real directories."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess

import numpy as np
import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def csv_model(toy_model):
    folder = toy_model("lines")
    (folder / "navi.toml").write_text('converter = "csv"\n')
    return folder


@pytest.fixture
def served(serve, toy_model, csv_model):
    served = serve("-m", str(toy_model("scaled", 3)), "-m", str(csv_model))
    served.wait_for("ready")
    return served


@pytest.fixture(params=["http", "local"])
def where(request, serve, toy_model, csv_model):
    """Return, for a model's name, the words that say where ``predict`` finds it."""
    folders = {"scaled": toy_model("scaled", 3), "lines": csv_model}
    if request.param == "local":
        return lambda name: [name, "--local", str(folders[name])]
    served = serve(*(word for folder in folders.values() for word in ("-m", str(folder))))
    served.wait_for("ready")
    return lambda name: [name, "--url", served.http]


# --- models -------------------------------------------------------------------------------------


def test_models__all_of_them_over_rest(served, command):
    done = command("models", "--url", served.http, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"model": "scaled", "version": 3, "state": "AVAILABLE", "error": "", "labels": []},
        {"model": "lines", "version": 1, "state": "AVAILABLE", "error": "", "labels": []},
    ]


def test_models__named_ones_as_a_table(served, command):
    done = command("models", "scaled", "--url", served.http)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["model", "version", "state"],
        ["scaled", "3", "AVAILABLE"],
    ]


def test_models__an_unknown_one_is_one_sentence(served, command):
    done = command("models", "nobody", "--url", served.http)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("navi-host: 127.0.0.1:")
    assert "Could not find any versions of model nobody" in done.stderr
    assert done.stderr.count("\n") == 1


def test_models__nobody_listens(command):
    with socket.socket() as held:  # bound, so that no other test's server listens there meanwhile
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        done = command("models", "m", "--url", f"http://127.0.0.1:{port}", "--timeout-ms", "5000")
    assert done.returncode == 1
    assert done.stderr.startswith(f"navi-host: 127.0.0.1:{port} ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["models", "predict", "bench"])
def test_a_protocol_that_no_client_speaks_is_one_sentence(command, name):
    done = command(name, "m", "--url", "oip+grpc://127.0.0.1")
    assert (done.returncode, done.stdout) == (2, "")
    known = "'oip+http', 'proton+http', 'tf-serving+http'"
    assert done.stderr.startswith(f"navi-host: no client is called 'oip+grpc' (installed: {known})")


def test_models__somebody_listens_and_never_answers(command):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = command("models", "m", "--url", f"http://127.0.0.1:{port}", "--timeout-ms", "500")
    assert (done.returncode, done.stderr) == (1, f"navi-host: 127.0.0.1:{port} cannot be asked: timed out\n")


# --- predict ------------------------------------------------------------------------------------


def test_predict__json_in_every_form(where, command):
    for text in ('{"instances": [1, 2]}', '{"inputs": [1, 2]}', '{"x": [1, 2]}', "[1, 2]"):
        done = command("predict", *where("scaled"), "--json", text)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["outputs"] == {"y": [2.0, 4.0]}
        assert (answer["model"], answer["signature"]) == ("scaled", "serving_default")
    done = command("predict", *where("scaled"), stdin="[4]")
    assert json.loads(done.stdout)["outputs"] == {"y": [8.0]}


def test_predict__arrays_in_and_out(where, command, tmp_path):
    array = np.array([0.5, -1.0], np.float32)
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "all.npz", x=array)
    for words in (f"x={tmp_path / 'x.npy'}", str(tmp_path / "x.npy"), str(tmp_path / "all.npz")):
        done = command("predict", *where("scaled"), "--input", words, "--output", str(tmp_path / "y.npz"))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        with np.load(tmp_path / "y.npz") as outputs:
            np.testing.assert_array_equal(outputs["y"], array * 2)
            assert outputs["y"].dtype == np.float32


def test_predict__payload_files_go_through_the_converter(where, command, tmp_path):
    (tmp_path / "a").write_bytes(b"1,2")
    (tmp_path / "b").write_bytes(b"3")
    done = command(
        "predict", *where("lines"), "--payload", str(tmp_path / "a"), "--payload", str(tmp_path / "b")
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == {"y": [2.0, 4.0, 6.0]}


WRONG = {
    "an unknown signature": (
        ["--signature", "nobody", "--json", "[1]"],
        "signature: expected one of {serving_default}, got 'nobody' (model 'scaled')",
        1,
    ),
    "a wrong value": (["--json", '["a"]'], "", 1),
    "no JSON": (
        ["--json", "{x: [1]}"],
        "--json: expected JSON: Expecting property name enclosed in double quotes: line 1 column 2",
        2,
    ),
    "JSON beside a file": (
        ["--json", "[1]", "--payload", "x"],
        "--json: expected no --input and --payload beside it",
        2,
    ),
    "version and label": (
        ["--version", "1", "--label", "x"],
        "--version and --label: expected one of them",
        2,
    ),
    "a version that is not there": (["--version", "9", "--json", "[1]"], "", 1),
    "no string input": (["--payload", "x"], "--payload: expected a model with one string input, got none", 2),
}


def test_predict__wrong_is_one_sentence(where, command):
    for name, (args, text, status) in WRONG.items():
        done = command("predict", *where("scaled"), *args)
        assert (done.returncode, done.stdout) == (status, ""), name
        last = done.stderr.splitlines()[-1]
        assert last.startswith("navi-host: "), name
        assert text in last
        assert "Traceback" not in done.stderr


def test_predict__a_token_for_a_host_that_asks_for_one(serve, toy_model, command, tmp_path):
    token = tmp_path / "token"
    token.write_text("app-1\n")
    served = serve("-m", str(toy_model("scaled", 3)), "--infer-token-file", str(token))
    served.wait_for("ready")
    ask = ("predict", "scaled", "--json", '{"x": [1.0]}', "--url", served.http)
    done = command(*ask, "--token-file", str(token))
    assert done.returncode == 0, done.stderr
    done = command(*ask)
    assert done.returncode == 1
    assert "token" in done.stderr


def test_predict__local_takes_its_name_from_the_path(command, toy_model):
    folder = toy_model("scaled", 7)
    for path in (folder, folder / "7"):
        done = command("predict", "--local", str(path), "--json", "[1]")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["model"], answer["version"], answer["outputs"]) == ("scaled", 7, {"y": [2.0]})


def test_predict__needs_a_name_without_a_local_path(command):
    done = command("predict", "--json", "[1]")
    assert (done.returncode, done.stderr) == (2, "navi-host: MODEL: missing, expected the name of a model\n")


# --- inspect ------------------------------------------------------------------------------------


def test_inspect__json(command, csv_model):
    done = command("inspect", str(csv_model), "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert (about["model"], about["version"], about["runtime"], about["kind"], about["converter"]) == (
        "lines",
        1,
        "toy",
        "toy_json",
        "csv",
    )
    signature = about["signatures"]["serving_default"]
    assert signature["batchable"] is True
    assert signature["source"] == "converter"
    assert signature["inputs"] == [
        {"name": "lines", "dtype": "string", "shape": ["payloads"], "optional": False}
    ]
    assert signature["model_inputs"] == [
        {"name": "x", "dtype": "float32", "shape": ["rows"], "optional": False}
    ]


def test_inspect__for_people(command, toy_model):
    done = command("inspect", str(toy_model() / "1"))
    assert done.returncode == 0, done.stderr
    for words in ("runtime    toy (toy_json)", "converter  none", "batched    yes", "(rows,)"):
        assert words in done.stdout


def test_inspect__says_why_it_does_not_batch(command, toy_model):
    folder = toy_model()
    (folder / "navi.toml").write_text("[signatures.serving_default]\nbatchable = false\n")
    done = command("inspect", str(folder))
    assert "batched    no: " in done.stdout


def test_inspect__what_nothing_takes(command, tmp_path):
    (tmp_path / "odd").mkdir()
    done = command("inspect", str(tmp_path / "odd"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("navi-host: no runtime recognises")
    assert "(it holds nothing; installed runtimes: " in done.stderr
    assert command("inspect", str(tmp_path / "nothing")).returncode == 2


def test_inspect__a_directory_of_models(command, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
    done = command("inspect", str(tmp_path / "models"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no version directory, but models with versions of their own" in done.stderr
    assert done.stderr.endswith("expected one of them (a, b)\n")


def test_inspect__a_wrong_navi_toml(command, toy_model):
    folder = toy_model()
    (folder / "navi.toml").write_text("batching.max_batch_rows = 'many'\n")
    done = command("inspect", str(folder))
    assert (done.returncode, done.stderr) == (
        2,
        'navi-host: navi.toml: batching.max_batch_rows: expected int >= 1, got "many"\n',
    )


# --- mutual TLS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A signer, and a server's and a client's certificate, in Navi's layout."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "server.chain",
            "-days", "2", "-subj", "/CN=test signer")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "server.chain", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.crt", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder


def test_ssl_dir__answers_only_who_shows_a_certificate(serve, toy_model, command, certificates):
    served = serve("-m", str(toy_model("scaled")), "--ssl-dir", str(certificates))
    served.wait_for("ready")
    where = ["--url", f"https://127.0.0.1:{served.port('http')}", "--timeout-ms", "10000"]
    where += ["--ca-file", str(certificates / "server.chain")]
    ours = ["--cert-file", str(certificates / "client.crt"), "--key-file", str(certificates / "client.key")]
    done = command("predict", "scaled", *where, *ours, "--json", "[1]")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == {"y": [2.0]}
    stranger = command("predict", "scaled", *where, "--json", "[1]")
    assert stranger.returncode == 1
    assert "Traceback" not in stranger.stderr
