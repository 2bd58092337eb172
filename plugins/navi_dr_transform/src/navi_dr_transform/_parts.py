"""How functions that are only parts of kernels are compiled: they are lowered, and made machine code in the kernels.

Numba would optimise each of them, with all that it calls, and make machine code of it, that nothing runs: of a
function at the bottom of a dozen others twelve times. That was half of the time of a compilation. And it would look
in each of them for what none has: closures, generators, expressions of arrays, loops over tuples of several types.
That was a quarter of the other half.

What is used of Numba here has no public name. It is used with the versions that it was tried with; with others, parts
are compiled as Numba does it, which takes longer and gives the same.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numba.core.codegen
import numba.core.compiler
import numba.core.compiler_machinery
import numba.core.runtime
import numba.core.typed_passes
import numba.core.untyped_passes

__all__ = ["IS_KNOWN_NUMBA", "NOT_COUNTED", "PartCompiler"]

IS_KNOWN_NUMBA: Final = numba.__version__.split(".")[:2] == ["0", "68"]
"""Whether what has no public name is as it was when this was written."""

NOT_COUNTED: Final[dict[str, Any]] = {"_nrt": False} if IS_KNOWN_NUMBA else {}
"""Options of code that does not count references to its arrays.

Callers hold what kernels are given, and kernels make nothing. Counted all the same, for each array in each function,
that would be a tenth of the time for many records, and more than half of a call's own.
"""

# Numba's declared types cover a part of it only
_codegen: Any = numba.core.codegen
_compiler: Any = numba.core.compiler
_machinery: Any = numba.core.compiler_machinery
_typed: Any = numba.core.typed_passes
_untyped: Any = numba.core.untyped_passes
_runtime: Any = numba.core.runtime


class _PartCodegen:
    """What a part's library says of its code generator: there is no machine code whose environment could be set."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, _name: str, _environment: Any) -> None:
        """Do nothing: what kernels are made of raises nothing, so nothing looks for it."""


class _PartLibrary(_codegen.JITCodeLibrary):  # type: ignore[misc]  # Numba is untyped
    """Code that is linked into other libraries as it was lowered."""

    @property
    def codegen(self) -> Any:
        """The code generator."""
        return _PartCodegen(self._codegen)

    def add_linking_library(self, library: Any) -> None:
        """Link another library; reference counts' own is linked by the kernels."""
        if library is not _runtime.rtsys.library:
            super().add_linking_library(library)

    def get_pointer_to_function(self, _name: str) -> int:
        """Answer that there is no machine code."""
        self._ensure_finalized()
        return 0

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


def _passes() -> tuple[Any, ...]:
    """Return what makes code of plain functions of numbers and tuples, in Numba's order."""
    return (
        *(_untyped.TranslateByteCode, _untyped.FixupArgs, _untyped.IRProcessing),
        *(_untyped.GenericRewrites, _untyped.ReconstructSSA),
        *(_typed.NopythonTypeInference, _typed.PreLowerStripPhis),
        *(_typed.IRLegalization, _typed.AnnotateTypes, _typed.NativeLowering, _typed.NoPythonBackend),
    )


class _Options(_compiler.Flags):  # type: ignore[misc]  # Numba is untyped
    """Numba's options of a compilation, of which all alike are one object.

    Each use of a function of Numba's own looks for what was made of it under the same options. Those of two functions
    are equal, but comparing all of them each time takes a tenth of a compilation.
    """

    __slots__ = ("_hash",)

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._hash = hash(options)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or bool(super().__eq__(other))

    def copy(self) -> _Options:
        """Return the same: nothing changes them."""
        return self


_options: Final[dict[Any, _Options]] = {}


class PartCompiler(_compiler.CompilerBase):  # type: ignore[misc]  # Numba is untyped
    """Numba's, for parts of kernels; what they cannot hold is refused while it is compiled."""

    def __init__(
        self, typing: Any, target: Any, library: Any, arguments: Any, result: Any, options: Any, types: Any
    ) -> None:
        same = _options.get(options)
        if same is None:
            same = _options.setdefault(options, _Options(options))
        super().__init__(typing, target, library, arguments, result, same, types)

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        passes = _machinery.PassManager("part")
        for each in _passes():
            passes.add_pass(each, "")
        passes.finalize()
        return [passes]

    def compile_extra(self, function: Any) -> Any:
        """Compile a function."""
        self.state.library = _PartLibrary(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)
