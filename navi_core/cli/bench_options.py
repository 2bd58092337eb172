"""The options of ``navi-host bench``, and the plans that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from navi_core.bench.engines import ENGINES
from navi_core.bench.load import LoadPlan
from navi_core.bench.schedule import parse_steps
from navi_core.cli.endpoint import endpoint_options
from navi_core.cli.predict_inputs import input_file_options
from navi_core.errors import ConfigError
from navi_core.signature import DEFAULT_SIGNATURE

__all__ = ["bench_options", "read_plans"]

_MAX_CONCURRENCY: Final = 10_000
_MAX_RATE: Final = 1_000_000
_OPEN_LOOP_CONCURRENCY: Final = 512
_OPEN_LOOP_CONNECTIONS: Final = 8
_DEFAULT_DURATION_S: Final = 10.0
_MAX_SECONDS: Final = 7 * 24 * 3600


def bench_options() -> list[click.Parameter]:
    """Return all of them."""
    # it would shadow what --retries means elsewhere: a load generator sends nothing again
    endpoint = [
        each
        for each in endpoint_options("127.0.0.1:8500, or http://127.0.0.1:8501 where no client speaks gRPC")
        if each.name != "retries"
    ]
    return [*_load_options(), *_input_options(), *endpoint, *_output_options()]


def _load_options() -> list[click.Parameter]:
    seconds = click.FloatRange(min=0, max=_MAX_SECONDS)
    return [
        click.Option(
            ["--concurrency", "-c"],
            metavar="LIST",
            help="Requests in flight, each sent when one before it is answered (closed loop): a number, a list 1,16,64 "
            "or a ramp 1..64, 10..50+10, 1..81*3; one measurement each. With --rate: at most so many. "
            f"[default: 1; with --rate {_OPEN_LOOP_CONCURRENCY}]",
        ),
        click.Option(
            ["--rate"],
            metavar="LIST",
            help="Requests a second, sent when they are due whatever the answers do (open loop); a number, list or "
            "ramp. Latency counts from when a request was due, so that waiting is seen.",
        ),
        click.Option(
            ["--arrival"],
            type=click.Choice(["constant", "poisson"]),
            default="constant",
            show_default=True,
            help="How the requests of --rate are spread.",
        ),
        click.Option(
            ["--duration-s"],
            type=seconds,
            metavar="S",
            help=f"How long each measurement takes. [default: {_DEFAULT_DURATION_S:g}, or as --requests says]",
        ),
        click.Option(
            ["--requests"],
            type=click.IntRange(min=1, max=10**9),
            metavar="N",
            help="How many requests are measured, instead of --duration-s.",
        ),
        click.Option(
            ["--warm-up-s"],
            type=seconds,
            default=1.0,
            show_default=True,
            metavar="S",
            help="How long requests are sent before they count.",
        ),
        click.Option(
            ["--connections"],
            type=click.IntRange(min=1, max=_MAX_CONCURRENCY),
            metavar="N",
            help="gRPC connections that share the requests. [default: one for each in flight; with --rate "
            f"{_OPEN_LOOP_CONNECTIONS}]",
        ),
        click.Option(
            ["--engine"],
            type=click.Choice(ENGINES),
            default="auto",
            show_default=True,
            help="What makes the load: auto takes h2load or wrk where one is installed and able, else python.",
        ),
        click.Option(
            ["--processes"],
            type=click.IntRange(min=1, max=256),
            metavar="N",
            help="Processes of the python engine, threads of the others. [default: half of the cores; 1]",
        ),
        click.Option(
            ["--ceiling/--no-ceiling"],
            default=True,
            show_default=True,
            help="Measure the python engine against an echo first, to mark what it may have limited.",
        ),
        click.Option(
            ["--check/--no-check"],
            default=True,
            show_default=True,
            help="Compare answers with a real client's: every one (python), or one before and after. --no-check "
            "where they may change, as when a version is replaced.",
        ),
        click.Option(
            ["--max-failed-percent"],
            type=click.FloatRange(min=0, max=100),
            default=0.0,
            show_default=True,
            metavar="PERCENT",
            help="End with status 1 if more requests fail; a wrong answer does that always.",
        ),
    ]


def _input_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--request", "json_text"],
            metavar="TEXT",
            help='{"instances": ...}, {"inputs": ...}, or an object of inputs; @FILE reads a file, - stdin. '
            "Without this, --input, --payload and --encode, inputs are random.",
        ),
        *input_file_options(),
        click.Option(
            ["--rows"],
            type=click.IntRange(min=1, max=1_000_000),
            metavar="N",
            help="Rows of random inputs. [default: 1]",
        ),
        click.Option(
            ["--shape", "shapes"],
            multiple=True,
            metavar="[NAME=]SIZES",
            help="The whole shape of a random input, such as x=8,224,224.",
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(min=0, max=2**32 - 1),
            default=0,
            show_default=True,
            metavar="N",
            help="Of random inputs and of --arrival poisson.",
        ),
        click.Option(["--version"], type=click.IntRange(min=0), help="The version; default: the newest."),
        click.Option(["--label"], help="The version with this label."),
        click.Option(["--signature"], default=DEFAULT_SIGNATURE, show_default=True, metavar="NAME"),
    ]


def _output_options() -> list[click.Parameter]:
    file = click.Path(dir_okay=False, path_type=Path)
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Write JSON instead of tables."),
        click.Option(["--output"], type=file, metavar="FILE.json", help="Write the JSON to FILE, too."),
        click.Option(
            ["--plot"], type=file, metavar="FILE.svg", help="Draw throughput and latency by the second."
        ),
        click.Option(
            ["--compare", "baseline"],
            type=file,
            metavar="A.json",
            help="Show this run beside that of an earlier --output.",
        ),
    ]


def read_plans(values: Mapping[str, Any], scheme: str) -> list[LoadPlan]:
    """Return a plan for each measurement.

    Parameters
    ----------
    values
        Of the options.
    scheme
        ``grpc`` or ``http``.

    Raises
    ------
    ConfigError
        They contradict each other.
    """
    duration_s: float | None = values["duration_s"]
    num_requests: int | None = values["requests"]
    if duration_s is not None and num_requests is not None:
        raise ConfigError("expected one of them", path="--duration-s and --requests")
    if duration_s == 0:
        raise ConfigError("expected more than 0", path="--duration-s")
    if duration_s is None and num_requests is None:
        duration_s = _DEFAULT_DURATION_S
    connections: int | None = values["connections"]
    if connections is not None and scheme != "grpc":
        raise ConfigError(
            "expected gRPC: HTTP/1.1 has a connection for each request in flight", path="--connections"
        )
    rates: list[float | None] = [None]
    if values["rate"] is not None:
        rates = [*parse_steps(values["rate"], "--rate", largest=_MAX_RATE)]
    default = "1" if values["rate"] is None else str(_OPEN_LOOP_CONCURRENCY)
    steps = parse_steps(
        default if values["concurrency"] is None else values["concurrency"],
        "--concurrency",
        largest=_MAX_CONCURRENCY,
        whole=True,
    )
    if values["rate"] is not None and len(steps) > 1:
        raise ConfigError("expected one number with --rate", path="--concurrency")
    plans: list[LoadPlan] = []
    for rate in rates:
        for concurrency in map(int, steps):
            shared = connections or (concurrency if rate is None else _OPEN_LOOP_CONNECTIONS)
            plans.append(
                LoadPlan(
                    concurrency=concurrency,
                    rate_per_s=rate,
                    arrival=values["arrival"],
                    seed=values["seed"],
                    connections=min(shared, concurrency),
                    warm_up_s=values["warm_up_s"],
                    duration_s=duration_s,
                    num_requests=num_requests,
                    timeout_s=values["timeout_ms"] / 1000,
                )
            )
    return plans
