"""``navi-host import``: what other servers' files become, and that the loader reads what is written."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navi_core.cli.importers.proton import read_proton
from navi_core.cli.importers.tf_serving import read_tf_serving
from navi_core.config.load import config_from_table, load_config
from navi_core.config.records import (
    BatchingSettings,
    HostConfig,
    ModelConfig,
    TransportSettings,
    VersionPolicySettings,
)
from navi_core.errors import ConfigError

PROTON = """\
server:
  num_threads: 1
  buffer_size: 64
  port: 8080
  grpc_port: 50051

log_level: INFO

models:
  - name: "squeezenet"
    path: "squeezenet1.0-8.onnx"
  - name: no
    path: 'dir with "quotes"/1e3.onnx'
"""

TF_SERVING = """\
# two models
model_config_list: {
  config: {
    name: "half_plus_two", base_path: "/models/half_plus_two", model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 3 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 3 }
  }
  config { name: "b" base_path: "gs://bucket/b" model_version_policy { latest { num_versions: 2 } } }
  config { name: "c" base_path: "/c" model_version_policy { latest {} } }
  config { name: "d" base_path: "/d" model_version_policy { all {} } logging_config { } }
  config { name: "e" base_path: "/e" model_version_policy {} model_platform: "other" }
}
"""


@pytest.fixture
def proton(tmp_path):
    pytest.importorskip("yaml", reason="PyYAML reads it")
    file = tmp_path / "config.yaml"
    file.write_text(PROTON)
    return file


def test_proton__to_a_file_that_the_loader_reads(navi_host, proton, tmp_path):
    output = tmp_path / "host.toml"
    ended = navi_host("import", "proton", str(proton), "-o", str(output))
    assert (ended.status, ended.out) == (0, "")
    batching = BatchingSettings(max_queue_requests=64)
    assert load_config(output) == HostConfig(
        host="0.0.0.0",
        compat_metrics=("proton",),
        transports={"grpc": TransportSettings(port=50051), "http": TransportSettings(port=8080)},
        models=(
            ModelConfig(name="squeezenet", path="squeezenet1.0-8.onnx", batching=batching),
            ModelConfig(name="no", path='dir with "quotes"/1e3.onnx', batching=batching),
        ),
    )
    notes = [line.removeprefix("navi-host: ") for line in ended.err.splitlines()]
    assert [note.split(" ")[0].rstrip(":") for note in notes] == [
        "host",
        "server.num_threads",
        "log_level",
        "server.buffer_size",
    ]
    comments = [line[2:] for line in output.read_text().splitlines() if line.startswith("# ")]
    assert comments == ["Made from config.yaml (Proton's config.yaml) by navi-host import.", *notes]


def test_proton__to_stdout(navi_host, proton, tmp_path):
    ended = navi_host("import", "proton", str(proton))
    (tmp_path / "host.toml").write_text(ended.out)
    assert [model.name for model in load_config(tmp_path / "host.toml").models] == ["squeezenet", "no"]


def test_a_file_that_exists_is_not_overwritten(navi_host, proton, tmp_path):
    output = tmp_path / "host.toml"
    output.write_text("mine")
    ended = navi_host("import", "proton", str(proton), "--output", str(output))
    assert ended.status == 2
    assert "--output: expected a file that does not exist" in ended.err
    assert output.read_text() == "mine"


def test_unknown_keys_are_named():
    pytest.importorskip("yaml", reason="PyYAML reads it")
    found = read_proton("models: [{name: m, path: p, size: 3}]\nserver: {port: 1, tls: {}}\nmore: [1]\n")
    assert {note.split(" ")[0] for note in found.notes if "does not know it" in note} == {
        "more",
        "server.tls",
        "models[0].size",
    }
    assert any(note.startswith("server.grpc_port is missing") for note in found.notes)
    assert config_from_table(found.table).transports == {
        "grpc": TransportSettings(),
        "http": TransportSettings(port=1),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping"),
        ("[1]", "expected a mapping"),
        ("server: {}", "models: expected a list, got nothing"),
        ("models: {a: b}", "models: expected a list"),
        ("models: [x]", "models[0]: expected a mapping"),
        ("models: [{name: m}]", "models[0].path: missing"),
        ("models: [{name: [m], path: p}]", "models[0].name: expected a text"),
        ("models: []\nserver: {port: -1}", 'server.port: expected a whole number, got "-1"'),
        ("models: []\nserver: {port: '\u0663'}", "server.port: expected a whole number"),
        ("models: []\nserver: {port: 99999}", "transports.http.port: expected"),
        ("models: [{name: a/b, path: p}]", "models[0].name: expected"),
        ("models: [{name: a, path: p}, {name: a, path: q}]", "models[1].name: expected a name of its own"),
        ("models: [", "invalid YAML: expected the node content, but found '<stream end>' (at line 1, column 10)"),
        ("x: &x [*x]", "invalid YAML: found unconstructable recursive node (at line 1, column 4)"),
        ("x: *nowhere", "invalid YAML: found undefined alias 'nowhere' (at line 1, column 4)"),
        ("\x00", "invalid YAML"),
    ],
)  # fmt: skip
def test_proton__what_is_wrong_is_said_with_its_place(navi_host, tmp_path, text, words):
    pytest.importorskip("yaml", reason="PyYAML reads it")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    ended = navi_host("import", "proton", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert f"{file}: " in ended.err
    assert words in ended.err


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.sampled_from("models:-[]{}&*x \n'\"|>#!%@1"), max_size=40))
def test_proton__any_text_is_read_or_refused(text):
    pytest.importorskip("yaml", reason="PyYAML reads it")
    with contextlib.suppress(ConfigError):
        read_proton(text)


def test_without_pyyaml_the_extra_is_named(navi_host, proton, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    ended = navi_host("import", "proton", str(proton))
    assert ended.status == 2
    assert "pip install 'navi-core[import]'" in ended.err


def test_tf_serving__every_policy_and_label(navi_host, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(TF_SERVING)
    ended = navi_host("import", "tf-serving", str(file))
    assert ended.status == 0
    (tmp_path / "host.toml").write_text(ended.out)
    policies = [
        VersionPolicySettings(specific=(1, 3)),
        VersionPolicySettings(latest=2),
        VersionPolicySettings(latest=1),
        VersionPolicySettings(all=True),
        VersionPolicySettings(),
    ]
    models = load_config(tmp_path / "host.toml").models
    assert [model.versions for model in models] == policies
    assert [model.name for model in models] == ["half_plus_two", "b", "c", "d", "e"]
    assert models[0].labels == {"stable": 1, "canary": 3}
    assert models[1].path == "gs://bucket/b"
    assert "model_config_list.config[3].logging_config is left out" in ended.err
    assert "model_config_list.config[4].model_platform 'other' is left out" in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_config_list { config { name: 'm' base_path: '/m' colour: 3 } }", "1:56 :"),
        ("model_config_list { config { base_path: '/m' } }", "model_config_list.config[0].name: missing"),
        ("model_config_list { config { name: 'm' } }", "model_config_list.config[0].base_path: missing"),
        ("custom_model_config {}", "custom_model_config: expected model_config_list"),
        ("{", "expected a ModelServerConfig as text: 1:1"),
    ],
)
def test_tf_serving__what_is_wrong_is_said_with_its_place(navi_host, tmp_path, text, words):
    file = tmp_path / "models.config"
    file.write_text(text)
    ended = navi_host("import", "tf-serving", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err


def test_tf_serving__a_list_of_no_models_is_one():
    assert config_from_table(read_tf_serving("model_config_list {}").table) == HostConfig()


def test_a_file_that_is_no_text_is_refused(navi_host, tmp_path):
    file = tmp_path / "models.config"
    file.write_bytes(b"model\xff")
    ended = navi_host("import", "tf-serving", str(file))
    assert ended.status == 2
    assert "expected UTF-8, got byte 0xff (at byte 5)" in ended.err


def test_an_unknown_kind_is_refused_with_those_there_are(navi_host, tmp_path):
    ended = navi_host("import", "triton", str(tmp_path))
    assert ended.status == 2
    assert "'proton', 'tf-serving'" in ended.err
