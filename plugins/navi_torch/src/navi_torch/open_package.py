"""AOTInductor packages as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from navi_torch.checks import DimCheck, SizeChecks
from navi_torch.description import method_options
from navi_torch.exported import read_programs
from navi_torch.method import DescriptionError, Method
from navi_torch.methods import Opened, build_method, signature_names, table_of
from navi_torch.native import open_native
from navi_torch.open_exported import check_state, default_program, program_method
from navi_torch.package import (
    GIL_NOTE,
    Package,
    arguments_of,
    compiled_for,
    open_package,
    source_arguments,
)
from navi_torch.probe import find_outputs

if TYPE_CHECKING:
    from navi_torch.loading import Source

__all__ = ["open_packages"]


def open_packages(source: Source) -> Opened:
    """Load the packages of an archive.

    Raises
    ------
    DescriptionError, ProgramError
        They are in memory only, not described well enough, or not as configured.
    """
    if source.path is None:
        msg = (
            "an AOTInductor package is native code, which is loaded from disk only: a model that came over the wire "
            "cannot be one"
        )
        raise DescriptionError(msg)
    names = source.listing.packages
    default = default_program(names, source.load.signature)
    programs = read_programs(source.stream, source.listing)
    check_state(source, [name for program in programs.values() for name in program.state])
    notes: list[str] = []
    methods: dict[str, Method] = {}
    limits: list[int] = []
    for name, signature in signature_names(names, default).items():
        _check_device(source, name)
        package = _open(source, name)
        limits.append(package.num_runners)
        if name in programs:
            methods[signature] = program_method(
                source, name, programs[name], package.call, is_default=name == default
            )
        else:
            methods[signature] = _method(source, name, package, notes, is_default=name == default)
    if 1 in limits:
        notes.append(GIL_NOTE)
    is_stateful = source.description.state == "shared"
    return Opened(
        methods=methods,
        notes=tuple(notes),
        max_concurrent_runs=1 if is_stateful else min(limits),
        keeps_inputs=is_stateful,
    )


def _open(source: Source, name: str) -> Package:
    """Open the package's library directly where that is wanted and possible, else by torch's loader."""
    assert source.path is not None  # noqa: S101 - open_packages looked
    package = None
    if source.options.aotinductor_runner == "native" and source.device.type == "cpu":
        package = open_native(source.stream, source.listing, name)
    return package or open_package(source.path, name, source.device)


def _check_device(source: Source, name: str) -> None:
    kind = compiled_for(source.stream, source.listing, name)
    if kind not in (None, source.device.type):
        msg = f"device: the package was compiled for {kind}, got '{source.device}'"
        raise DescriptionError(msg)


def _method(source: Source, name: str, package: Package, notes: list[str], *, is_default: bool) -> Method:
    said = method_options(source.description, name, is_default=is_default)
    found = source_arguments(source.stream, source.listing, name, package.in_spec)
    arguments = arguments_of(
        said, None if found is None else found[0], package.num_inputs, table_of(name, is_default=is_default)
    )
    checks = None
    max_rows = None
    if found is not None:
        limits = list(found[1].values())
        dims = [
            DimCheck(argument.name, axis, f"{argument.name}.{axis}", low, high)
            for argument, ranges in zip(arguments, limits, strict=True)
            for axis, (low, high) in enumerate(ranges)
            if low is not None or high is not None
        ]
        checks = SizeChecks(tuple(dims)) if dims else None
        max_rows = min((dim.high for dim in dims if dim.axis == 0 and dim.high is not None), default=None)
        if not said.inputs:
            notes.append("its inputs' dtypes and sizes were read from the package's generated C++ source")
    outputs = find_outputs(package.call, arguments, said, source.device, package.output_names)
    why_not = outputs.why_not_rows
    if source.description.state == "shared":
        why_not = "its callers share a state that every run changes"
    return build_method(
        package.call,
        arguments,
        outputs.outputs,
        load=source.load if is_default else None,
        structure=outputs.structure,
        keys=outputs.keys,
        checks=checks,
        max_rows=max_rows,
        why_not=why_not,
    )
