"""Batching parameters that a version brings along."""

from __future__ import annotations

import pytest

from navi_core import Artifact, ConfigError
from navi_core.config.records import BatchingSettings, ModelConfig, ModelSettings
from navi_core.models.batching_file import MAX_FILE_BYTES, with_parameters_file
from navi_core.models.loading import load_version
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

NAME = "batching_params.pbtxt"
ASKED = ModelSettings(batching=BatchingSettings(parameters_file=NAME, max_concurrent_batches=2))


def artifact(**files):
    return Artifact(name="m", version=1, files={"model": b"", **files})


def test_without_the_setting_the_file_is_not_looked_at():
    settings = ModelSettings(batching=BatchingSettings(max_batch_rows=3))
    assert with_parameters_file(settings, artifact(**{NAME: b"nonsense"})) is settings


def test_the_file_says_what_the_settings_do_not():
    text = b"max_batch_size { value: 8 } num_batch_threads { value: 7 } pad_variable_length_inputs: true"
    batching = with_parameters_file(ASKED, artifact(**{NAME: text})).batching
    assert (batching.enabled, batching.max_batch_rows, batching.max_concurrent_batches) == (True, 8, 2)


def test_a_version_without_the_file_is_not_batched():
    assert with_parameters_file(ASKED, artifact()).batching.enabled is False


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"max_batch_size: 1", f"{NAME}: expected a BatchingParameters as text"),
        (b"\xff", f"{NAME}: cannot be read: expected UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), f"{NAME}: expected at most {MAX_FILE_BYTES} bytes"),
        (b"batch_timeout_micros { value: 9000000000000000 }", f"{NAME}: Expected `float` <= "),
    ],
)
def test_a_file_that_is_wrong_fails_the_load(content, match):
    with pytest.raises(ConfigError, match=match):
        with_parameters_file(ASKED, artifact(**{NAME: content}))


def test_defaults_of_the_host_count_where_the_model_its_folder_and_the_file_say_nothing(tmp_path):
    folder = write_affine(tmp_path / "m", 1)
    (tmp_path / "m" / "navi.toml").write_text("[batching]\nmax_queue_requests = 7\n")
    (folder / NAME).write_text("max_batch_size { value: 5 }")
    defaults = BatchingSettings(
        parameters_file=NAME,
        max_batch_rows=64,
        max_queue_requests=8,
        max_queue_bytes=9,
        max_batch_requests=10,
        enabled=False,
    )
    said = ModelConfig(path=str(tmp_path / "m"), batching=BatchingSettings(max_batch_requests=3))
    registry = registry_of(runtimes=[AffineRuntime])

    policy = load_version(
        registry, Artifact(name="m", version=1, path=folder), said, batching=defaults
    ).policy

    assert policy.enabled
    assert (policy.max_batch_rows, policy.max_queue_requests) == (5, 7)
    assert (policy.max_queue_bytes, policy.max_batch_requests) == (9, 3)


def test_each_version_has_its_own(tmp_path):
    said = ModelConfig(path=str(tmp_path / "m"), batching=ASKED.batching)
    registry = registry_of(runtimes=[AffineRuntime])
    limits = {}
    for version, text in ((1, None), (2, "max_batch_size { value: 5 }"), (3, "max_batch_size { value: 6 }")):
        folder = write_affine(tmp_path / "m", version)
        if text is not None:
            (folder / NAME).write_text(text)
        loaded = load_version(registry, Artifact(name="m", version=version, path=folder), said)
        limits[version] = (loaded.policy.enabled, loaded.policy.max_batch_rows)
        loaded.servable.close()
    assert limits == {1: (False, 1024), 2: (True, 5), 3: (True, 6)}
