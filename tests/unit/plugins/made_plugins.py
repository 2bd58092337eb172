"""Classes that plugins register, and what registries say of plugins."""

from __future__ import annotations

from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime


class MadeRuntime(Runtime):
    def recognise(self, artifact):
        return self.name if artifact.has(f"{self.name}.bin") else None

    def load(self, artifact, options):
        raise AssertionError


class MadeConverter(Converter):
    def recognise(self, artifact):
        return artifact.has("mapping.json")

    def bind(self, artifact, signature, options):
        raise AssertionError


def a_runtime(name, **attributes):
    return type(f"{name.title()}Runtime", (MadeRuntime,), {"name": name, **attributes})


def a_converter(name, **attributes):
    return type(f"{name.title()}Converter", (MadeConverter,), {"name": name, **attributes})


def runtimes(*classes):
    return {"navi_register_runtimes": lambda: list(classes)}


def converters(*classes):
    return {"navi_register_converters": lambda: list(classes)}


def record_of(registry, name):
    return next(record for record in registry.records if record.name == name)
