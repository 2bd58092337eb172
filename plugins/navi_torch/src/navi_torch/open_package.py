"""AOTInductor packages as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from navi_torch.checks import dim_checks
from navi_torch.description import method_options
from navi_torch.exported import read_programs
from navi_torch.expressions import Expression
from navi_torch.method import Argument, DescriptionError, Method
from navi_torch.methods import SHARED_STATE, Opened, build_method, signature_names, table_of
from navi_torch.native import open_native
from navi_torch.open_exported import check_state, default_program, program_method
from navi_torch.package import (
    GIL_NOTE,
    Package,
    arguments_of,
    compiled_for,
    open_package,
)
from navi_torch.package_source import SourceInput, source_inputs
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
        is_stateful=is_stateful,
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
    found = source_inputs(source.stream, source.listing, name, package.in_spec)
    known = None if found is None else [_argument(each) for each in found]
    arguments = arguments_of(said, known, package.num_inputs, table_of(name, is_default=is_default))
    ranges: dict[str, tuple[int | None, int | None]] = {}
    sizes: Mapping[str, Sequence[int | str | Expression | None]]
    if found is None:
        sizes = {argument.name: argument.shape or () for argument in arguments}
    else:
        sizes = {argument.name: each.sizes for argument, each in zip(arguments, found, strict=True)}
        for each in found:
            ranges.update(
                {symbol: limits for symbol, limits in each.limits.items() if limits != (None, None)}
            )
        notes.append("its inputs' dtypes and sizes were read from the package's generated C++ source")
    outputs = find_outputs(package.call, arguments, said, source.device, package.output_names)
    why_not = outputs.why_not_rows
    if source.description.state == "shared":
        why_not = SHARED_STATE
    leads = {str(each[0]) for each in sizes.values() if each and isinstance(each[0], str)}
    return build_method(
        package.call,
        arguments,
        outputs.outputs,
        load=source.load if is_default else None,
        structure=outputs.structure,
        keys=outputs.keys,
        checks=dim_checks(sizes, ranges),
        max_rows=min((high for lead in leads if (high := ranges.get(lead, (None, None))[1])), default=None),
        why_not=why_not,
    )


def _argument(each: SourceInput) -> Argument:
    shape = tuple(size.text if isinstance(size, Expression) else size for size in each.sizes)
    return Argument(name=each.name, kind="tensor", dtype=each.dtype, shape=shape, is_written=True)
