"""TorchScript models as methods: derive, try, look for state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from navi_torch.archive import read_member
from navi_torch.description import method_options
from navi_torch.method import DescriptionError, Method
from navi_torch.methods import SHARED_STATE, Opened, build_method, needs_state, signature_names, table_of
from navi_torch.options import MethodOptions
from navi_torch.probe import find_outputs
from navi_torch.script import arguments_of, call_of, default_method, open_module, public_methods
from navi_torch.script_state import changed_buffers, snapshot, written_by
from navi_torch.script_storages import check_storages
from navi_torch.traced import TracedTensor, read_traced_inputs

if TYPE_CHECKING:
    from navi_torch.loading import Source

__all__ = ["open_script"]

_TRACED = "traced_inputs.pkl"
_MAX_TRACED_BYTES = 1 << 20


def open_script(source: Source) -> Opened:
    """Load a TorchScript archive.

    Raises
    ------
    DescriptionError
        Its tensors are not known well enough, or it changes itself unasked; says what to write.
    ArchiveError
        It claims more weights than it has.
    """
    check_storages(source.stream, source.listing)
    module, note = open_module(source.stream, source.path, source.device)
    names = public_methods(module)
    default = default_method(names, source.load.signature)
    for name in source.description.methods:
        if name not in names:
            msg = f"runtime_options.methods: expected some of {{{', '.join(names)}}}, got '{name}'"
            raise DescriptionError(msg)
    traced = _traced(source)
    opened = _Opening(source, module, traced)
    if note:
        opened.notes.append(note)
    methods: dict[str, Method] = {}
    for name, signature in signature_names(names, default).items():
        method = opened.method(name, is_default=name == default)
        if method is not None:
            methods[signature] = method
    served = opened.state
    if served and source.description.state is None:
        raise DescriptionError(needs_state(served))
    is_stateful = source.description.state == "shared"
    if is_stateful and served:
        opened.notes.append(f"it changes itself ({', '.join(served[:5])}) and its callers share that")
    return Opened(
        methods=methods,
        notes=tuple(opened.notes),
        max_concurrent_runs=1 if is_stateful else None,
        is_stateful=is_stateful,
    )


def _traced(source: Source) -> Mapping[str, tuple[Any, ...]]:
    if source.listing.sizes.get(_TRACED, _MAX_TRACED_BYTES + 1) > _MAX_TRACED_BYTES:
        return {}
    return read_traced_inputs(read_member(source.stream, source.listing, _TRACED, _MAX_TRACED_BYTES))


class _Opening:
    """The steps that a model's methods share, and what was learned on the way."""

    def __init__(
        self, source: Source, module: torch.jit.ScriptModule, traced: Mapping[str, tuple[Any, ...]]
    ) -> None:
        self.source = source
        self.module = module
        self.traced = traced
        self.notes: list[str] = []
        self.state: tuple[str, ...] = ()

    def method(self, name: str, *, is_default: bool) -> Method | None:
        """Return one method; None: it is not the default one, and nobody described it."""
        source = self.source
        said = method_options(source.description, name, is_default=is_default)
        traced = self.traced.get(name, ())
        if not is_default and name not in source.description.methods and not traced:
            self.notes.append(
                f"method '{name}' is not served: describe its inputs in {table_of(name, is_default=False)}.inputs"
            )
            return None
        attributes, written = written_by(self.module, name)
        is_changing = bool(attributes) and source.description.state != "none"
        if is_changing:
            self.state = (*self.state, *attributes)
            if source.description.state is None:
                raise DescriptionError(needs_state(attributes))
        trial = self.module if not is_changing else self._anew()
        arguments = arguments_of(
            trial,
            name,
            said,
            traced,
            table_of(name, is_default=is_default),
            source.device,
            may_try=not is_changing,
        )
        self._say_where_from(name, said, traced)
        if is_changing or source.description.state == "shared":
            written = frozenset(argument.name for argument in arguments)
        arguments = tuple(
            type(argument)(
                name=argument.name,
                kind=argument.kind,
                dtype=argument.dtype,
                shape=argument.shape,
                optional=argument.optional,
                value=argument.value,
                is_written=argument.name in written,
            )
            for argument in arguments
        )
        before = snapshot(trial) if not is_changing else {}
        found = find_outputs(call_of(trial, name), arguments, said, source.device)
        changed = changed_buffers(trial, before) if not is_changing else ()
        if changed and source.description.state != "none":
            self.state = (*self.state, *changed)
            if source.description.state is None:
                raise DescriptionError(needs_state(changed))
            self.module = self._anew()
        why_not = found.why_not_rows
        if source.description.state == "shared":
            why_not = SHARED_STATE
        return build_method(
            call_of(self.module, name),
            arguments,
            found.outputs,
            load=source.load if is_default else None,
            structure=found.structure,
            keys=found.keys,
            why_not=why_not,
        )

    def _anew(self) -> torch.jit.ScriptModule:
        """Return the module as the file has it."""
        module, _ = open_module(self.source.stream, self.source.path, self.source.device)
        return module

    def _say_where_from(self, name: str, said: MethodOptions, traced: tuple[Any, ...]) -> None:
        if said.inputs:
            return
        if any(isinstance(each, TracedTensor) for each in traced):
            self.notes.append(
                f"dtypes and shapes of {name}() are those of the inputs that it was traced with, with any number of rows"
            )
        else:
            self.notes.append(
                f"the dtype and width of {name}()'s input were found out by trial runs: TorchScript does not say them"
            )
