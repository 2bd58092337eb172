"""``navi-host compile``: fills the kernel cache, so that no worker has to compile."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["compile_kernels"]


@click.command("compile", short_help="Compile kernels before hosts need them.")
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where compiled kernels go; hosts find them there with NAVI_CACHE_DIR set to it. "
    "Default: $NAVI_CACHE_DIR, $NUMBA_CACHE_DIR, else the user's cache directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def compile_kernels(cache_dir: Path | None, as_json: bool) -> None:
    """Compile the converter's kernels, so that hosts load them: at the build of an image, say.

    Several at once compile once. Compiled kernels serve the processor that they were compiled on, and those of
    its kind; NUMBA_CPU_NAME=generic, here and for the hosts, is for any.
    """
    from navi_dr_transform.compiling import run  # noqa: PLC0415 - imports numba: only when it runs

    run(cache_dir, as_json=as_json)
