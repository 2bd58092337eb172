"""AOTInductor packages as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from navi_torch.checks import DimCheck, SizeChecks
from navi_torch.description import method_options
from navi_torch.exported import read_programs
from navi_torch.method import DescriptionError, Method
from navi_torch.methods import Opened, build_method, signature_names, table_of
from navi_torch.open_exported import check_state, default_program, program_method
from navi_torch.package import (
    GIL_NOTE,
    arguments_of,
    num_inputs,
    open_package,
    output_names,
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
    notes = [GIL_NOTE]
    methods: dict[str, Method] = {}
    for name, signature in signature_names(names, default).items():
        loader, call = open_package(source.path, name, source.device)
        _check_device(loader, source)
        if name in programs:
            methods[signature] = program_method(
                source, name, programs[name], call, is_default=name == default
            )
        else:
            methods[signature] = _method(source, name, loader, call, notes, is_default=name == default)
    return Opened(
        methods=methods,
        notes=tuple(notes),
        max_concurrent_runs=1,
        keeps_inputs=source.description.state == "shared",
    )


def _check_device(loader: Any, source: Source) -> None:
    compiled_for = loader.get_metadata().get("AOTI_DEVICE_KEY", source.device.type)
    if compiled_for != source.device.type:
        msg = f"device: the package was compiled for {compiled_for}, got '{source.device}'"
        raise DescriptionError(msg)


def _method(
    source: Source, name: str, loader: Any, call: Any, notes: list[str], *, is_default: bool
) -> Method:
    said = method_options(source.description, name, is_default=is_default)
    found = source_arguments(source.stream, source.listing, name, loader)
    arguments = arguments_of(
        said, None if found is None else found[0], num_inputs(loader), table_of(name, is_default=is_default)
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
    outputs = find_outputs(call, arguments, said, source.device, output_names(loader))
    why_not = outputs.why_not_rows
    if source.description.state == "shared":
        why_not = "its callers share a state that every run changes"
    return build_method(
        call,
        arguments,
        outputs.outputs,
        load=source.load if is_default else None,
        structure=outputs.structure,
        keys=outputs.keys,
        checks=checks,
        max_rows=max_rows,
        why_not=why_not,
    )
