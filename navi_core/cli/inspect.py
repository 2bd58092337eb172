"""``navi-host inspect``: loads a model the way a host does, and shows how it would be served."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from navi_core.cli.show import json_option, print_json, print_table
from navi_core.cli.state import CliState
from navi_core.signature import Signature, format_shape

if TYPE_CHECKING:
    from navi_core.models.served import LoadedVersion

__all__ = ["describe_version", "make_command"]


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def inspect(path: Path, as_json: bool) -> None:
        # loading needs more than the other commands' imports
        from navi_core.config.records import ModelSettings  # noqa: PLC0415 - see above
        from navi_core.models.loading import artifact_at, load_version  # noqa: PLC0415 - see above

        loaded = load_version(state.registry, artifact_at(path), ModelSettings())
        try:
            about = describe_version(loaded)
        finally:
            loaded.servable.close()
        if as_json:
            print_json(about)
        else:
            _print(about)

    return click.Command(
        "inspect",
        callback=inspect,
        params=[
            click.Argument(["path"], type=click.Path(exists=True, path_type=Path)),
            json_option(),
        ],
        help=(
            "Load the model at PATH (a model directory's newest version, a version directory, or a file), and show "
            "which runtime takes it, its signatures, its converter, and whether requests are batched, or why not."
        ),
    )


def describe_version(loaded: LoadedVersion) -> dict[str, Any]:
    """Return what is known about a loaded version, ready for JSON."""
    signatures = {}
    for name, served in loaded.signatures.items():
        about = _describe_signature(served.client)
        is_on = loaded.policy.enabled
        about["batchable"] = served.model.batchable and is_on
        about["max_rows"] = served.model.max_rows
        about["not_batchable_because"] = (
            served.model.not_batchable_because if is_on else "the configuration turns batching off"
        )
        if served.converter is not None:
            about["model_inputs"] = _describe_signature(served.model)["inputs"]
        signatures[name] = about
    return {
        "model": loaded.artifact.name,
        "version": loaded.artifact.version,
        "path": loaded.artifact.where,
        "runtime": loaded.runtime,
        "kind": loaded.kind,
        "converter": loaded.converter or None,
        "max_concurrent_runs": loaded.servable.max_concurrent_runs,
        "signatures": signatures,
        "batching": dataclasses.asdict(loaded.policy),
        "notes": list(loaded.notes),
    }


def _describe_signature(signature: Signature) -> dict[str, Any]:
    return {
        "source": signature.source,
        "method_name": signature.method_name,
        **{
            role: [
                {
                    "name": name,
                    "dtype": str(spec.dtype),
                    "shape": None if spec.shape is None else list(spec.shape),
                    "optional": spec.optional or spec.default is not None,
                }
                for name, spec in specs.items()
            ]
            for role, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
        },
    }


def _print(about: dict[str, Any]) -> None:
    click.echo(f"model      {about['model']}, version {about['version']}")
    click.echo(f"path       {about['path']}")
    click.echo(f"runtime    {about['runtime']} ({about['kind']})")
    click.echo(f"converter  {about['converter'] or 'none'}")
    for name, signature in about["signatures"].items():
        rows = [
            {"": role, **_row(spec)}
            for role, key in (("input", "inputs"), ("output", "outputs"), ("model input", "model_inputs"))
            for spec in signature.get(key, ())
        ]
        click.echo(f"\nsignature  {name}")
        limit = "" if signature["max_rows"] is None else f", at most {signature['max_rows']} rows"
        batched = f"yes{limit}" if signature["batchable"] else f"no: {signature['not_batchable_because']}"
        click.echo(f"batched    {batched}")
        print_table(("", "name", "dtype", "shape", "optional"), rows)
    for note in about["notes"]:
        click.echo(f"\nnote       {note}")


def _row(spec: dict[str, Any]) -> dict[str, str]:
    return {
        "name": spec["name"],
        "dtype": spec["dtype"],
        "shape": format_shape(spec["shape"]),
        "optional": "yes" if spec["optional"] else "",
    }
