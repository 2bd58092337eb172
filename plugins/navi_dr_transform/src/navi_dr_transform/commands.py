"""``navi-host transform`` and ``navi-host demo``: arguments only; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo", "transform"]

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--version-dir",
    required=True,
    type=_DIRECTORY,
    help="The directory with all_config.json and the segdense file.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the tensors go (.npz).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "raw", "base64"]),
    default="auto",
    show_default=True,
    help="raw: a file is one request; base64: a line is one; auto: looks at the bytes.",
)
@click.option("--layout", default="home", show_default=True, help="Which tensors a request becomes.")
@click.option(
    "--embedding-length",
    type=click.Choice(["truncate", "strict"]),
    default="truncate",
    show_default=True,
    help="What to do with embeddings that are longer than their tensor is wide.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON.")
def transform(
    files: tuple[Path, ...],
    version_dir: Path,
    output: Path,
    form: str,
    layout: str,
    embedding_length: str,
    as_json: bool,
) -> None:
    """Turn thrift BatchPredictionRequests into dense tensors, as a model gets them.

    FILES hold requests, raw or as lines of base64; - reads standard input. The output has one array for
    each tensor of the layout and row_ends, the row after each request's last.
    """
    from navi_dr_transform.transform import run  # noqa: PLC0415 - imports numba: only when it runs

    run(files, version_dir, output, form, layout, embedding_length, as_json=as_json)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="gRPC port.")
@click.option(
    "--rest-port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="REST port."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the model goes, to be kept; else a temporary directory.",
)
@click.option("--once", is_flag=True, help="Exit after the first answers.")
@click.option("--json", "as_json", is_flag=True, help="Print the ranking as JSON.")
def demo(port: int, rest_port: int, directory: Path | None, once: bool, as_json: bool) -> None:
    """Serve a small ranking model, send it thrift requests over gRPC, and show the ranked candidates.

    The model is written in ONNX, in the shape of Twitter's recap model, together with the files that map
    features to its inputs. It stays up to be tried until it is interrupted.
    """
    from navi_dr_transform.demo.command import run  # noqa: PLC0415 - imports onnx, thrift: only when it runs

    run(port, rest_port, directory, once=once, as_json=as_json)
