"""``navi-host transform`` and ``navi-host demo``: arguments only; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo", "transform"]

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="Turn thrift requests into dense tensors.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--version-dir",
    required=True,
    type=_DIRECTORY,
    help="The version's directory: the mapping files, and a navi.toml if there is one.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the tensors go (.npz).",
)
@click.option("--explain", is_flag=True, help="Convert nothing: show what became of one request, by name.")
@click.option(
    "--number",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Which of the files' requests to explain.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "raw", "base64"]),
    default="auto",
    show_default=True,
    help="raw: a file is one request; base64: a line is one; auto: looks at the bytes.",
)
@click.option(
    "--layout", help="Which tensors a request becomes: home, segdense; else what navi.toml says, else home."
)
@click.option(
    "--request",
    type=click.Choice(["batch", "prediction", "record"]),
    help="What a request is: BatchPredictionRequest, PredictionRequest, DataRecord; else what navi.toml says, else batch.",
)
@click.option(
    "--embedding-length",
    type=click.Choice(["truncate", "strict"]),
    help="What to do with embeddings that are longer than their tensor is wide; else what navi.toml says, else truncate.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written, or explain, as JSON.")
def transform(
    files: tuple[Path, ...],
    version_dir: Path,
    output: Path | None,
    explain: bool,
    number: int,
    form: str,
    layout: str | None,
    request: str | None,
    embedding_length: str | None,
    as_json: bool,
) -> None:
    """Turn thrift BatchPredictionRequests into dense tensors, as a model gets them.

    FILES hold requests, raw or as lines of base64; - reads standard input. The output has one array for
    each tensor of the layout and row_ends, the row after each request's last. With --explain there is no
    output, but tables of one request's features: which matched, which are unknown, and which columns stayed
    default.
    """
    from navi_dr_transform.transform import run, run_explain  # noqa: PLC0415 - imports numba: only when it runs

    said = {"layout": layout, "request": request, "embedding_length": embedding_length}
    options = {name: value for name, value in said.items() if value is not None}
    if explain:
        if output is not None:
            raise click.UsageError("--explain writes no tensors: expected no --output beside it")
        run_explain(files, version_dir, number, form, options, as_json=as_json)
    elif output is None:
        raise click.UsageError("expected --output, where the tensors go, or --explain")
    else:
        run(files, version_dir, output, form, options, as_json=as_json)


@click.command(short_help="Serve a small ranking model and ask it.")
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
