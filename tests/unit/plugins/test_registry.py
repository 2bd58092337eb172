"""The registry: names, clashes, broken registrations, and who takes an artifact."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import click
import msgspec
import pytest
import structlog

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.client import RemoteClient
from navi_core.contracts.converter import Converter
from navi_core.contracts.events import RequestFinished, StateChanged
from navi_core.contracts.runtime import Runtime
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.contracts.source import ModelSource
from navi_core.contracts.transport import Transport
from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode, PluginConflictError, PluginLoadError, PluginNotFoundError
from navi_core.hookspecs import hookimpl
from navi_core.plugins.discovery import discover
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry


class _Runtime(Runtime):
    def recognise(self, artifact):
        return self.name if artifact.has(f"{self.name}.bin") else None

    def load(self, artifact, options):
        raise AssertionError


class _Converter(Converter):
    def recognise(self, artifact):
        return artifact.has("mapping.json")

    def bind(self, artifact, signature, options):
        raise AssertionError


def a_runtime(name, **attributes):
    return type(f"{name.title()}Runtime", (_Runtime,), {"name": name, **attributes})


def a_converter(name, **attributes):
    return type(f"{name.title()}Converter", (_Converter,), {"name": name, **attributes})


@pytest.fixture
def registry_of(monkeypatch):
    """Build a registry from plugins given as name -> {hook: function}."""

    def build(**plugins):
        points = []
        for name, hooks in plugins.items():
            module = types.ModuleType(f"toy_made_{name}")
            for hook, function in hooks.items():
                setattr(module, hook, hookimpl(function))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            points.append(EntryPoint(name, module.__name__, "navi"))
        return Registry(discover(entry_points=lambda: points, environ={}, core_version="0.1.0"))

    return build


def runtimes(*classes):
    return {"navi_register_runtimes": lambda: list(classes)}


def converters(*classes):
    return {"navi_register_converters": lambda: list(classes)}


@pytest.fixture
def installed(toy_site):
    """Lay toys out and return the registry of them alone."""

    def build(*packages):
        toy_site.install(*packages)
        return Registry(discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0"))

    return build


@pytest.fixture
def artifact():
    def make(*files):
        return Artifact(name="m", version=3, files=dict.fromkeys(files, b""))

    return make


def record_of(registry, name):
    return next(record for record in registry.records if record.name == name)


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
        ("navi_register_runtimes", type("Nameless", (_Runtime,), {}), "name: expected letters"),
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


# --- who takes an artifact -------------------------------------------------------------------------------


def test_the_runtime_of_the_highest_priority_wins(registry_of, artifact):
    registry = registry_of(
        p=runtimes(a_runtime("low", priority=1), a_runtime("high", priority=9), a_runtime("mid", priority=5))
    )
    assert [runtime.name for runtime in registry.runtimes()] == ["high", "mid", "low"]
    assert registry.select_runtime(artifact("low.bin", "mid.bin")) == (registry.runtime("mid"), "mid")


def test_a_tie_is_refused_naming_both(registry_of, artifact):
    registry = registry_of(p=runtimes(a_runtime("a"), a_runtime("b"), a_runtime("c", priority=1)))
    with pytest.raises(PluginConflictError, match="runtimes 'a' and 'b' both take model 'm'"):
        registry.select_runtime(artifact("a.bin", "b.bin", "c.bin"))


def test_nobody_recognises_lists_runtimes_and_broken_plugins(registry_of, artifact):
    registry = registry_of(p=runtimes(a_runtime("a")), q={"navi_register_runtimes": lambda: 1 / 0})
    with pytest.raises(PluginNotFoundError) as caught:
        registry.select_runtime(artifact("model.xyz"))
    for words in (
        "version 3 of model 'm'",
        "it holds 'model.xyz'",
        "installed runtimes: 'a'",
        "cannot be used: 'q'",
    ):
        assert words in caught.value.message


def test_a_recognise_that_raises_is_reported_and_skipped(registry_of, artifact):
    def recognise(self, artifact):
        raise ValueError("what is this")

    registry = registry_of(p=runtimes(a_runtime("bad", recognise=recognise, priority=200), a_runtime("good")))
    with structlog.testing.capture_logs() as logs:
        assert registry.select_runtime(artifact("good.bin")).kind == "good"
    [log] = logs
    assert (log["event"], log["plugin"], log["error"]) == (
        "recognise_failed",
        "bad",
        "ValueError: what is this",
    )


def test_a_converter_is_selected_by_its_files(registry_of, artifact):
    registry = registry_of(p=converters(a_converter("one")))
    assert registry.select_converter(artifact("mapping.json")).name == "one"
    assert registry.select_converter(artifact("model.bin")) is None


def test_two_converters_that_recognise_are_refused(registry_of, artifact):
    registry = registry_of(p=converters(a_converter("one"), a_converter("two")))
    with pytest.raises(PluginConflictError, match="'one' and 'two'"):
        registry.select_converter(artifact("mapping.json"))


# --- commands -----------------------------------------------------------------------------------------------


def test_plugins_are_asked_for_commands_once_and_only_when_wanted(registry_of):
    asked = []

    def commands():
        asked.append(1)
        return [click.Command("greet")]

    registry = registry_of(p={"navi_register_commands": commands})
    assert asked == []
    assert list(registry.commands()) == list(registry.commands()) == ["greet"]
    assert asked == [1]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (print, "expected a click command"),
        (click.Command(None), "name: expected letters"),
        (click.Command("serve"), "navi-host has a command 'serve' of its own"),
    ],
)
def test_a_command_that_cannot_be_used_is_reported_and_its_plugin_stays(registry_of, item, words):
    registry = registry_of(p={**runtimes(a_runtime("fine")), "navi_register_commands": lambda: [item]})
    assert registry.commands(frozenset({"serve"})) == {}
    record = record_of(registry, "p")
    assert words in record.reason
    assert record.provides == [("runtime", "fine")]


def test_two_commands_of_one_name_clash(registry_of):
    registry = registry_of(
        a={"navi_register_commands": lambda: [click.Command("go")]},
        b={"navi_register_commands": lambda: [click.Command("go")]},
    )
    assert registry.commands() == {}
    with pytest.raises(PluginConflictError, match="command 'go'"):
        registry.command("go")


# --- observers -----------------------------------------------------------------------------------------------

FINISHED = RequestFinished(
    model="m",
    version=1,
    signature="serving_default",
    service="toy_sum",
    transport="toy_line",
    method="Sum",
    code=ErrorCode.OK,
    reason="",
    num_rows=1,
    batch_rows=1,
    queue_seconds=0.0,
    run_seconds=0.0,
    total_seconds=0.0,
)
CHANGED = StateChanged(model="m", version=1, before=None, after=ServableState.START)


def test_nothing_observes_where_nobody_registered(installed):
    observers = Observers(installed("toy_runtime").plugins)
    assert (observers.any_request_finished, observers.any_state_changed) == (False, False)


def test_an_observer_is_told(installed):
    observers = Observers(installed("toy_observer").plugins)
    assert (observers.any_request_finished, observers.any_state_changed) == (True, True)
    observers.state_changed(CHANGED)
    observers.request_finished(FINISHED)
    assert sys.modules["toy_observer.plugin"].EVENTS == [CHANGED, FINISHED]


def test_an_observer_that_raises_is_logged_and_the_others_are_told(registry_of):
    told = []

    def fail(event):
        raise ZeroDivisionError("observer")

    registry = registry_of(
        bad={"navi_request_finished": fail},
        good={"navi_request_finished": lambda event: told.extend([event])},
        one_sided={"navi_servable_state_changed": lambda: told.append("state")},
    )
    observers = Observers(registry.plugins)
    with structlog.testing.capture_logs() as logs:
        observers.request_finished(FINISHED)
    assert told == [FINISHED]
    [log] = logs
    assert (log["event"], log["plugin"], log["hook"]) == ("observer_failed", "bad", "navi_request_finished")
    observers.state_changed(CHANGED)
    assert told == [FINISHED, "state"]


def test_a_plugin_that_failed_to_register_does_not_observe(registry_of):
    registry = registry_of(
        bad={"navi_register_runtimes": lambda: 1 / 0, "navi_request_finished": lambda event: None}
    )
    assert not Observers(registry.plugins).any_request_finished
