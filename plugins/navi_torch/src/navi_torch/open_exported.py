"""torch.export programs as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from navi_core import DType
from navi_torch.description import method_options
from navi_torch.exported import arguments_of, checks_of, load_calls, outputs_of, read_programs
from navi_torch.method import Call, DescriptionError, Method
from navi_torch.methods import SHARED_STATE, Opened, build_method, needs_state, signature_names, table_of
from navi_torch.program import Program

if TYPE_CHECKING:
    from navi_torch.loading import Source

__all__ = ["default_program", "max_rows_of", "open_exported", "program_method"]


def open_exported(source: Source) -> Opened:
    """Load the programs of an archive: the default one, and the others under their names.

    Raises
    ------
    DescriptionError, ProgramError
        They are not to be loaded, or not as configured.
    """
    programs = read_programs(source.stream, source.listing)
    default = default_program(tuple(programs), source.load.signature)
    state = tuple(dict.fromkeys(name for program in programs.values() for name in program.state))
    check_state(source, state)
    calls = load_calls(source.stream, source.listing, programs, source.device)
    is_stateful = source.description.state == "shared"
    methods: dict[str, Method] = {}
    for name, signature in signature_names(tuple(programs), default).items():
        methods[signature] = program_method(
            source, name, programs[name], calls[name], is_default=name == default
        )
    notes = (
        [f"it changes itself ({', '.join(state[:5])}) and its callers share that"]
        if state and is_stateful
        else []
    )
    return Opened(
        methods=methods,
        notes=tuple(notes),
        max_concurrent_runs=1 if is_stateful else None,
        is_stateful=is_stateful,
    )


def check_state(source: Source, state: Sequence[str]) -> None:
    """Refuse programs that change their buffers, unless the configuration knows it.

    Raises
    ------
    DescriptionError
        It does not.
    """
    if state and source.description.state is None:
        raise DescriptionError(needs_state(state))


def default_program(names: Sequence[str], wanted: str | None) -> str:
    """Return the program to serve as the default signature.

    Raises
    ------
    DescriptionError
        Several have a name of their own, or the configuration names one that is not there.
    """
    if wanted is not None and wanted not in names:
        msg = f"signature: expected one of {{{', '.join(names)}}}, got '{wanted}'"
        raise DescriptionError(msg)
    for name in (wanted, "forward_serve", "model", "forward"):
        if name is not None and name in names:
            return name
    if len(names) == 1:
        return names[0]
    msg = f"signature: the archive has {{{', '.join(names)}}}: say which one is the default"
    raise DescriptionError(msg)


def program_method(source: Source, name: str, program: Program, call: Call, *, is_default: bool) -> Method:
    """Return a method of a program, with a call that takes and gives flat sequences."""
    said = method_options(source.description, name, is_default=is_default)
    arguments = arguments_of(program, said, table_of(name, is_default=is_default))
    outputs = outputs_of(program, said)
    why_not = ""
    if source.description.state == "shared":
        why_not = SHARED_STATE
    return build_method(
        call,
        arguments,
        outputs,
        load=source.load if is_default else None,
        structure="sequence",
        checks=checks_of(program),
        max_rows=max_rows_of(program),
        why_not=why_not,
    )


def max_rows_of(program: Program) -> int | None:
    """Return the most rows that a program was exported for; None: any number."""
    limits: Mapping[str, tuple[int | None, int | None]] = program.ranges
    leads = [
        tensor.sizes[0]
        for tensor in program.inputs
        if tensor.dtype not in (None, DType.STRING) and tensor.sizes and isinstance(tensor.sizes[0], str)
    ]
    found = [high for lead in leads if (high := limits.get(str(lead), (None, None))[1]) is not None]
    return min(found, default=None)
