"""What ``navi-host compile`` does: imports every module that has kernels, and says what came of it."""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from navi_core import ConfigError
from navi_dr_transform.kernel_cache import cache_directory, cache_state, kernel_names, loaded_kernels

__all__ = ["run"]


def run(cache_dir: Path | None, *, as_json: bool) -> None:
    """Compile or load every kernel.

    Parameters
    ----------
    cache_dir
        Where to; None: where hosts look anyway.
    as_json
        Print JSON.

    Raises
    ------
    ConfigError
        Nothing can be kept: the directory cannot be written, or kernels are not compiled at all.
    """
    if cache_dir is not None:
        # read when kernels are decorated, as in a host
        os.environ["NAVI_CACHE_DIR"] = str(cache_dir.absolute())
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise ConfigError("expected kernels to be compiled, got NUMBA_DISABLE_JIT in the environment")
    if cache_directory() is None:
        raise _nothing_kept("there is none")
    begun = time.perf_counter()
    for module in dict.fromkeys(name.rpartition(".")[0] for name in kernel_names()):
        importlib.import_module(f"navi_dr_transform.{module}")
    seconds = time.perf_counter() - begun
    state = cache_state()
    if not state.is_warm:
        raise _nothing_kept(str(state))
    kernels = [
        {"name": each.name, "seconds": round(each.seconds, 3), "was_cached": each.was_cached}
        for each in loaded_kernels
    ]
    if as_json:
        click.echo(
            json.dumps({"directory": str(state.directory), "seconds": round(seconds, 3), "kernels": kernels})
        )
        return
    table = Table()
    table.add_column("kernel")
    table.add_column("")
    table.add_column("seconds", justify="right")
    for each in loaded_kernels:
        table.add_row(each.name, "was there" if each.was_cached else "compiled", f"{each.seconds:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{seconds:.1f} s in all, imports included; in {state.directory}", soft_wrap=True)
    if cache_dir is not None:
        console.print(f"Hosts load them with NAVI_CACHE_DIR={cache_dir.absolute()}", soft_wrap=True)


def _nothing_kept(why: str) -> ConfigError:
    place = (
        os.environ.get("NAVI_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR") or "the user's cache directory"
    )
    return ConfigError(
        f"{place}: expected a directory to keep compiled kernels in, which its owner alone can write to; {why}"
    )
