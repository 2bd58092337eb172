"""``navi-host models``: what a running host serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from navi_core.cli.endpoint import connect, endpoint_options
from navi_core.cli.show import json_option, print_json, print_table
from navi_core.cli.state import CliState

__all__ = ["make_command"]


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def models(name: tuple[str, ...], as_json: bool, **values: Any) -> None:
        with connect(values, state.registry, ("http", "grpc")) as client:
            rows = [asdict(each) for each in client.models(name)]
        if as_json:
            print_json(rows)
        else:
            shown = [{**row, "labels": ", ".join(row["labels"])} for row in rows]
            optional = [column for column in ("labels", "error") if any(row[column] for row in shown)]
            print_table(("model", "version", "state", *optional), shown)

    return click.Command(
        "models",
        callback=models,
        params=[
            click.Argument(["name"], nargs=-1, required=False),
            *endpoint_options("http://127.0.0.1:8501, or gRPC for protocols without a client over http"),
            json_option(),
        ],
        help="List models, versions and states of a running server: the models named, or all, which tf-serving lists "
        "over http:// alone.",
    )
