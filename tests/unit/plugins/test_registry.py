"""The registry: names, clashes and broken registrations."""

from __future__ import annotations

import msgspec
import pytest
import structlog
from made_plugins import MadeRuntime, a_converter, a_runtime, converters, record_of, runtimes

from navi_core.contracts.client import RemoteClient
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.contracts.source import ModelSource
from navi_core.contracts.transport import Transport
from navi_core.errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry

# --- kinds ------------------------------------------------------------------------------------------


def test_every_kind_of_toy_is_registered(installed):
    registry = installed(
        "toy_runtime",
        "toy_converter",
        "toy_transport",
        "toy_service",
        "toy_source",
        "toy_command",
        "toy_observer",
    )
    assert registry.runtime("toy").name == "toy"
    assert registry.converter("csv") is registry.converter("comma")
    assert registry.transport("toy_line") is registry.transports()["toy_line"]
    assert registry.service("toy_sum") is registry.services()["toy_sum"]
    assert registry.source("toy_list") is registry.sources()["toy_list"]
    assert registry.source_for_scheme("toylist") is registry.source("toy_list")
    assert registry.command("toy-greet") is registry.commands()["toy-greet"]
    provided = {item for record in registry.records for item in record.provides}
    assert provided == {
        ("runtime", "toy"),
        ("converter", "csv"),
        ("converter", "comma"),
        ("transport", "toy_line"),
        ("service", "toy_sum"),
        ("source", "toy_list"),
        ("command", "toy-greet"),
        ("observer", "navi_servable_state_changed"),
        ("observer", "navi_request_finished"),
    }


def test_there_is_one_instance_of_a_runtime_and_of_a_converter_per_registry(installed):
    registry = installed("toy_runtime", "toy_converter")
    assert registry.runtime("toy") is registry.runtimes()[0]
    assert registry.converter("comma") is registry.converters()[0]
    assert len(registry.converters()) == 1
    other = Registry(discover(environ={"NAVI_PLUGINS": ""}))
    assert registry.runtime("toy") not in other.runtimes()


# --- clashes and what is missing ----------------------------------------------------------------------


def test_a_name_that_two_distributions_register_is_usable_by_neither(installed):
    registry = installed("toy_runtime", "broken_duplicate")
    with pytest.raises(PluginConflictError) as caught:
        registry.runtime("toy")
    for words in ("runtime 'toy'", "toy-runtime 1.0", "broken-duplicate 1.0"):
        assert words in caught.value.message
    assert registry.runtimes() == []
    for name in ("toy_runtime", "broken_duplicate"):
        record = record_of(registry, name)
        assert (record.state, record.provides) == ("failed", [])
        assert "toy-runtime 1.0" in record.reason
        assert "broken-duplicate 1.0" in record.reason


def test_the_other_names_of_a_clashing_plugin_stay_usable(registry_of):
    registry = registry_of(
        first=runtimes(a_runtime("shared"), a_runtime("mine")), second=runtimes(a_runtime("shared"))
    )
    assert [runtime.name for runtime in registry.runtimes()] == ["mine"]
    assert record_of(registry, "first").provides == [("runtime", "mine")]


def test_an_alias_clashes_with_a_name(registry_of):
    registry = registry_of(
        first=converters(a_converter("one", aliases=("two",))), second=converters(a_converter("two"))
    )
    assert registry.converter("one").name == "one"
    with pytest.raises(PluginConflictError, match="'two'"):
        registry.converter("two")


def test_one_name_of_two_kinds_is_no_clash(registry_of):
    registry = registry_of(both={**runtimes(a_runtime("same")), **converters(a_converter("same"))})
    assert registry.runtime("same") is not registry.converter("same")
    assert record_of(registry, "both").state == "loaded"


def test_two_classes_of_one_name_in_one_plugin_fail_it(registry_of):
    registry = registry_of(
        twice=runtimes(a_runtime("dup"), a_runtime("dup"), a_runtime("fine")), other=runtimes(a_runtime("ok"))
    )
    assert "runtime 'dup' is both" in record_of(registry, "twice").reason
    assert [runtime.name for runtime in registry.runtimes()] == ["ok"]


def test_the_same_class_registered_twice_by_one_plugin_counts_once(registry_of):
    cls = a_runtime("dup")
    registry = registry_of(twice=runtimes(cls, cls))
    assert type(registry.runtime("dup")) is cls


def test_a_scheme_that_two_sources_take_is_usable_by_neither(registry_of):
    def source(name):
        return type(
            name,
            (ModelSource,),
            {
                "name": name,
                "schemes": frozenset({"s3", name}),
                **dict.fromkeys(ModelSource.__abstractmethods__, lambda *_: None),
            },
        )

    registry = registry_of(
        a={"navi_register_sources": lambda: [source("a")]}, b={"navi_register_sources": lambda: [source("b")]}
    )
    assert (registry.source_for_scheme("a").name, registry.source_for_scheme("b").name) == ("a", "b")
    with pytest.raises(PluginConflictError, match="URL scheme 's3'"):
        registry.source_for_scheme("s3")


def test_a_missing_name_lists_what_is_installed(installed):
    registry = installed("toy_runtime")
    with pytest.raises(PluginNotFoundError, match=r"^no runtime is called 'onnx' \(installed: 'toy'\)$"):
        registry.runtime("onnx")
    with pytest.raises(PluginNotFoundError, match=r"^no service is called 'x' \(installed: none\)$"):
        registry.service("x")


@pytest.mark.parametrize("name", ["broken_import", "broken-import"])
def test_a_missing_name_that_a_broken_plugin_has_carries_its_failure(installed, name):
    registry = installed("broken_import")
    with pytest.raises(PluginNotFoundError, match="the moon is in the wrong phase") as caught:
        registry.runtime(name)
    assert isinstance(caught.value.__cause__, PluginLoadError)
    assert isinstance(caught.value.__cause__.__cause__, RuntimeError)


def test_a_missing_name_finds_the_broken_plugin_by_its_distribution(toy_site):
    (toy_site.folder / "broken_onnx.py").write_text("import no_such_onnxruntime\n")
    info = toy_site.folder / "navi_onnx-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: navi_onnx\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[navi]\nany = broken_onnx\n")
    registry = Registry(discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0"))
    with pytest.raises(PluginNotFoundError, match=r"navi_onnx 0\.1 is failed: .*no_such_onnxruntime"):
        registry.runtime("onnx")


# --- bad registrations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("broken_class", ["Unfinished lacks methods of navi_core.Runtime: load, recognise"]),
        (
            "broken_registration",
            ["navi_register_runtimes raised OSError: the list of runtimes cannot be read"],
        ),
    ],
)
def test_a_broken_registration_fails_its_own_record(installed, package, words):
    registry = installed(package, "toy_runtime")
    for word in words:
        assert word in record_of(registry, package).reason
    assert record_of(registry, package).provides == []
    assert registry.runtime("toy").name == "toy"


class _LaxOptions(msgspec.Struct):
    depth: int = 1


@pytest.mark.parametrize(
    ("hook", "item", "words"),
    [
        ("navi_register_runtimes", 7, "expected a class, got 7"),
        ("navi_register_runtimes", a_converter("c"), "does not implement navi_core.Runtime"),
        ("navi_register_runtimes", a_runtime("a/b"), "name: expected letters"),
        ("navi_register_runtimes", type("Nameless", (MadeRuntime,), {}), "name: expected letters"),
        ("navi_register_runtimes", a_runtime("r", priority="high"), "priority: expected an int, got 'high'"),
        (
            "navi_register_runtimes",
            a_runtime("r", options_type=dict),
            "expected a msgspec.Struct class or None",
        ),
        ("navi_register_runtimes", a_runtime("r", options_type=_LaxOptions), "must forbid unknown fields"),
        (
            "navi_register_runtimes",
            a_runtime("r", serve_flags=(ServeFlag(name="--x", option="y", help=""),)),
            "--x sets 'y', which options_type does not have",
        ),
        ("navi_register_runtimes", a_runtime("r", serve_flags=7), "attributes cannot be checked"),
        ("navi_register_converters", a_converter("none"), "'none' turns conversion off"),
        ("navi_register_converters", a_converter("c", aliases="cc"), "aliases: expected a sequence of names"),
        ("navi_register_converters", a_converter("c", aliases=("c c",)), "aliases: expected letters"),
    ],
)
def test_an_item_that_cannot_be_used_fails_its_plugin(registry_of, hook, item, words):
    registry = registry_of(bad={hook: lambda: [item]}, good=runtimes(a_runtime("good")))
    record = record_of(registry, "bad")
    assert record.state == "failed"
    assert words in record.reason
    assert [runtime.name for runtime in registry.runtimes()] == ["good"]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "carries: expected"),
        ({"carries": frozenset({"smoke"})}, "carries: expected"),
        ({"carries": frozenset({"rpc"})}, "default_port: expected"),
        ({"carries": frozenset({"rpc"}), "default_port": 70000}, "got 70000"),
        ({"carries": frozenset({"rpc"}), "default_port": 1, "hosting": "us"}, "hosting: expected"),
        ({"carries": frozenset({"rpc"}), "default_port": 1, "rpc_protocol": ""}, "rpc_protocol: expected"),
        (
            {
                "carries": frozenset({"rpc"}),
                "default_port": 1,
                "serve_flags": (ServeFlag(name="--x", option="y", help=""),),
            },
            "serve_flags: --x sets 'y'",
        ),
        (
            {
                "carries": frozenset({"rpc"}),
                "default_port": 1,
                "serve_flags": (ServeFlag(name="--x", option="port", help="", scope="model"),),
            },
            "serve_flags: --x is for the model",
        ),
    ],
)
def test_a_transport_must_say_what_it_carries_and_where(registry_of, attributes, words):
    methods = dict.fromkeys(Transport.__abstractmethods__, lambda *_: None)
    cls = type("Smoke", (Transport,), {"name": "smoke", **methods, **attributes})
    registry = registry_of(bad={"navi_register_transports": lambda: [cls]})
    assert words in record_of(registry, "bad").reason


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"name": "oip"}, "name: expected PROTOCOL+SCHEME, such as 'oip+grpc'"),
        ({"name": "Oip+grpc"}, "name: expected PROTOCOL+SCHEME"),
        ({"name": "oip+grpc"}, "default_port: expected"),
        ({"name": "oip+grpc", "default_port": -1}, "got -1"),
    ],
)
def test_a_client_must_say_what_it_speaks(registry_of, attributes, words):
    methods = dict.fromkeys(RemoteClient.__abstractmethods__, lambda *_: None)
    cls = type("Silent", (RemoteClient,), {**methods, **attributes})
    registry = registry_of(bad={"navi_register_clients": lambda: [cls]})
    assert words in record_of(registry, "bad").reason
    assert registry.clients() == {}


def test_a_client_is_found_by_its_name(registry_of):
    methods = dict.fromkeys(RemoteClient.__abstractmethods__, lambda *_: None)
    cls = type("Speaks", (RemoteClient,), {**methods, "name": "oip+grpc", "default_port": 8001})
    registry = registry_of(good={"navi_register_clients": lambda: [cls]})
    assert registry.client("oip+grpc") is cls
    assert record_of(registry, "good").provides == [("client", "oip+grpc")]
    with pytest.raises(
        PluginNotFoundError, match=r"no client is called 'oip\+http' \(installed: 'oip\+grpc'\)"
    ):
        registry.client("oip+http")


@pytest.mark.parametrize("answer", [None, 7])
def test_a_hook_that_returns_no_sequence_fails_its_plugin(registry_of, answer):
    registry = registry_of(bad={"navi_register_runtimes": lambda: answer})
    assert "navi_register_runtimes" in record_of(registry, "bad").reason


def test_a_plugin_that_is_wrong_in_one_place_registers_nothing(registry_of):
    registry = registry_of(half={**runtimes(a_runtime("fine")), **converters(object)})
    assert record_of(registry, "half").provides == []
    with pytest.raises(PluginNotFoundError):
        registry.runtime("fine")


def test_a_constructor_that_raises_is_reported_and_skipped(registry_of):
    def refuse(self):
        raise OSError("no licence")

    registry = registry_of(
        bad=runtimes(a_runtime("costly", __init__=refuse)), good=runtimes(a_runtime("good"))
    )
    with structlog.testing.capture_logs() as logs:
        assert [runtime.name for runtime in registry.runtimes()] == ["good"]
        registry.runtimes()
    assert [log["event"] for log in logs] == ["plugin_failed"]
    with pytest.raises(PluginLoadError, match="no licence") as caught:
        registry.runtime("costly")
    assert isinstance(caught.value.__cause__, OSError)
    assert "no licence" in record_of(registry, "bad").reason
