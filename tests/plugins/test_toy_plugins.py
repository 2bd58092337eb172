"""Plugins of every kind, by strangers: they work in a real host, and broken ones stop nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest

from navi_core import (
    ConfigError,
    DecodeError,
    Host,
    HostConfig,
    ModelConfig,
    ModelLoadError,
    ModelNotFoundError,
    PluginConflictError,
    PluginNotFoundError,
    RequestFinished,
    StateChanged,
    TransportSettings,
)
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry

pytestmark = pytest.mark.integration

GOOD = (
    "toy_runtime",
    "toy_converter",
    "toy_transport",
    "toy_service",
    "toy_source",
    "toy_command",
    "toy_observer",
)
BROKEN = {
    "broken_import": "RuntimeError: the moon is in the wrong phase",
    "broken_framework": "No module named 'a_framework_that_is_not_installed'",
    "broken_hook": "did you mean 'navi_register_runtimes'?",
    "broken_arguments": "a hook function does not fit its specification",
    "broken_version": "it needs navi-core>=99",
    "broken_class": "lacks methods of navi_core.Runtime",
    "broken_registration": "raised OSError",
}


@pytest.fixture
def registry(toy_site):
    """The toys, the broken ones among them, and nothing that is installed."""
    toy_site.install(*GOOD, *BROKEN)
    return Registry(discover(entry_points=toy_site.entry_points, environ={}))


@pytest.fixture
def listed(tmp_path):
    """The file that the toy source reads: one model, two versions that scale by their number."""
    folders = {}
    for version in (1, 2):
        folder = tmp_path / "anywhere" / str(version)
        folder.mkdir(parents=True)
        (folder / "toy.json").write_text(json.dumps({"scale": version}))
        folders[version] = str(folder)
    listing = tmp_path / "versions.json"
    listing.write_text(json.dumps(folders))
    return listing


def config_of(listing, **changes):
    return HostConfig(
        models=(ModelConfig(path=f"toylist://{listing}", name="m", **changes),),
        transports={"toy_line": TransportSettings(port=0)},
        runtimes={"toy": {"extra_scale": 10.0}},
    )


async def line_call(address, path, body):
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"%b %d\n%b" % (path.encode(), len(body), body))
    status, length = (await reader.readline()).split()
    answer = await reader.readexactly(int(length))
    writer.close()
    await writer.wait_closed()
    return int(status), answer.decode()


async def test_a_request_passes_through_strangers_only(registry, listed):
    async with Host(config_of(listed), registry=registry) as host:
        [address] = host.addresses["toy_line"]
        assert await line_call(address, "/toy.Toy/Sum", b"m 1 2 3") == (0, "120")
        status, text = await line_call(address, "/toy.Toy/Sum", b"unknown 1")
        assert (status, text) == (5, ModelNotFoundError("unknown").message)
        assert (await line_call(address, "/toy.Toy/Sum", b"m one"))[0] == 3
        assert (await line_call(address, "/toy.Toy/Nothing", b""))[0] == 12
    events = sys.modules["toy_observer.plugin"].EVENTS
    assert {event.after for event in events if isinstance(event, StateChanged)} >= {"AVAILABLE", "END"}
    finished = [event for event in events if isinstance(event, RequestFinished)]
    assert [(event.model, event.version, event.code, event.transport) for event in finished] == [
        ("m", 2, "OK", "toy_line"),
        ("unknown", 0, "NOT_FOUND", "toy_line"),
        ("m", 2, "INVALID_ARGUMENT", "toy_line"),
    ]


async def test_a_converter_of_a_stranger_feeds_a_runtime_of_a_stranger(registry, listed):
    async with Host(config_of(listed, converter="comma"), registry=registry) as host:
        outputs = await host.predict("m", {"lines": ["1,2.5", "", "4"]})
        np.testing.assert_array_equal(outputs["y"], np.array([20.0, 50.0, 80.0], np.float32))
        with pytest.raises(DecodeError, match="payload 1, offset 2"):
            await host.predict("m", {"lines": ["1", "2,x"]})
        bypassed = await host.predict("m", {"x": np.array([1.0], np.float32)})
        assert bypassed["y"].tolist() == [20.0]


async def test_an_option_that_the_plugin_does_not_have_is_refused(registry, listed):
    config = HostConfig(models=config_of(listed).models, runtimes={"toy": {"extra_sclae": 2}})
    with pytest.raises((ConfigError, ModelLoadError), match="extra_sclae"):
        async with Host(config, registry=registry):
            pass


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"runtime": "broken_import"}, "the moon is in the wrong phase"),
        ({"runtime": "nonexistent"}, "no runtime"),
    ],
)
async def test_a_model_that_needs_a_broken_plugin_says_why(registry, listed, changes, cause):
    with pytest.raises((PluginNotFoundError, ModelLoadError), match=cause):
        async with Host(config_of(listed, **changes), registry=registry):
            pass


async def test_a_configuration_that_needs_a_clashing_name_is_refused_naming_both(toy_site, listed):
    toy_site.install("toy_runtime", "toy_source", "broken_duplicate")
    registry = Registry(discover(entry_points=toy_site.entry_points, environ={}))
    with pytest.raises(PluginConflictError) as caught:
        async with Host(HostConfig(runtimes={"toy": {}}), registry=registry):
            pass
    assert "toy-runtime 1.0" in caught.value.message
    assert "broken-duplicate 1.0" in caught.value.message


def navi_host(toy_site, *words):
    return subprocess.run(
        [sys.executable, "-m", "navi_core", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=toy_site.environ(),
    )


def test_the_command_line_lists_good_and_broken_plugins(toy_site):
    toy_site.install(*GOOD, *BROKEN, "broken_duplicate")
    done = navi_host(toy_site, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    for package, words in BROKEN.items():
        [row] = [row for row in rows if row["distribution"] == package.replace("_", "-")]
        assert row["version"] == "1.0"
        assert row["state"] == ("refused" if package == "broken_version" else "failed")
        assert words in row["reason"]
    loaded = {(row["kind"], row["name"]) for row in rows if row["state"] == "loaded"}
    assert loaded >= {
        ("converter", "csv"),
        ("transport", "toy_line"),
        ("service", "toy_sum"),
        ("source", "toy_list"),
        ("command", "toy-greet"),
        ("transport", "grpc"),
    }
    clash = [row for row in rows if row["distribution"] in ("toy-runtime", "broken-duplicate")]
    assert len(clash) == 2
    assert all("runtime 'toy' is registered by" in row["reason"] for row in clash)


def test_a_command_of_a_stranger_runs_and_its_errors_are_told_like_ours(toy_site):
    toy_site.install("toy_command", "broken_import")
    done = navi_host(toy_site, "toy-greet", "world")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello, world\n", "")
    bad = navi_host(toy_site, "toy-greet", "a\tb")
    assert bad.returncode == 2
    assert "NAME: expected a printable name" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_a_flag_of_a_strangers_runtime_is_a_flag_of_serve(toy_site):
    toy_site.install("toy_runtime")
    done = navi_host(toy_site, "serve", "--help")
    assert done.returncode == 0
    assert "--toy-extra-scale" in done.stdout
