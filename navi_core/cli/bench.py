"""``navi-host bench``: load on a running host, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from navi_core.bench.comparison import compare
from navi_core.bench.inputs import parse_shapes, random_inputs
from navi_core.bench.load import LoadPlan
from navi_core.bench.plot import draw
from navi_core.bench.report import Measurement, Report, read_report
from navi_core.bench.session import Session, Settings
from navi_core.cli.bench_options import bench_options, read_plans
from navi_core.cli.bench_show import progress_of, show_comparison, show_report
from navi_core.cli.endpoint import connect, read_endpoint
from navi_core.cli.failures import EXIT_INTERRUPTED, CommandError
from navi_core.cli.predict_inputs import read_inputs
from navi_core.cli.state import CliState
from navi_core.clients.exchanges.table import EXCHANGES
from navi_core.errors import ConfigError, PluginNotFoundError, SignatureNotFoundError
from navi_core.messages import ModelRef
from navi_core.signature import Signature, TensorSpec
from navi_core.types import NamedArrays

__all__ = ["make_command"]

_COMPARE: Final = "compare"
_SCHEMES: Final = ("grpc", "http")


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def bench(model: str, reports: tuple[Path, ...], **values: Any) -> None:
        if model == _COMPARE and reports:
            _compare_files(reports, as_json=values["as_json"])
        elif reports:
            raise click.UsageError(f"Got unexpected extra argument ({reports[0]})")
        else:
            values["retries"] = 0
            _bench(state, model, values)

    return click.Command(
        "bench",
        callback=bench,
        params=[
            click.Argument(["model"]),
            click.Argument(["reports"], nargs=-1, type=click.Path(path_type=Path), metavar=""),
            *bench_options(),
        ],
        help=(
            "Send one request to MODEL of a running host again and again, and show how many answers came a second and "
            "how long they took. The request is verified first, beside a real client's. `navi-host bench compare "
            "A.json B.json` shows two runs side by side. Status 1: an answer was wrong, or too many requests failed."
        ),
    )


def _compare_files(reports: Sequence[Path], *, as_json: bool) -> None:
    if len(reports) != 2:
        raise click.UsageError(f"Expected two reports to compare, got {len(reports)}")
    a, b = (read_report(path, _COMPARE) for path in reports)
    _show_comparison(a, b, as_json=as_json)


def _show_comparison(a: Report, b: Report, *, as_json: bool) -> None:
    comparison = compare(a, b)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    else:
        show_comparison(comparison)


def _bench(state: CliState, model: str, values: Mapping[str, Any]) -> None:
    if values["version"] is not None and values["label"] is not None:
        raise ConfigError("expected one of them", path="--version and --label")
    baseline: Path | None = values["baseline"]
    earlier = None if baseline is None else read_report(baseline, "--compare")
    kind, endpoint = read_endpoint(values, state.registry, _SCHEMES)
    exchange = EXCHANGES.get(kind.name)
    if exchange is None:
        raise PluginNotFoundError(
            f"bench knows no requests of {kind.name}: expected one of {', '.join(EXCHANGES)}"
        )
    plans = read_plans(values, exchange.scheme)
    for key in ("output", "plot"):
        _check_folder(values[key], f"--{key}")
    ref = ModelRef(model, values["version"], values["label"])
    with connect(values, state.registry, _SCHEMES) as client:
        known = client.signatures(ref)
        name: str = values["signature"]
        if name not in known:
            raise SignatureNotFoundError(name, model=model, known=tuple(known))
        inputs, source = _inputs(state, values, known[name])
        settings = Settings(
            engine=values["engine"],
            processes=values["processes"],
            compares_answers=values["check"],
            measures_ceiling=values["ceiling"],
            source=source,
        )
        session = Session(client, exchange, endpoint, ref, inputs, name, _rows(inputs, known[name]), settings)
        for plan in plans:  # before any of them takes its time
            session.choose(plan)
        is_complete = _measure_all(session, plans)
    _finish(session.report(), earlier, values, is_complete=is_complete)


def _check_folder(file: Path | None, option: str) -> None:
    """Refuse a file that cannot be written, before a measurement that would be lost."""
    if file is not None and not file.absolute().parent.is_dir():
        raise ConfigError(f"'{file.parent}' is no directory", path=option)


def _measure_all(session: Session, plans: Sequence[LoadPlan]) -> bool:
    """Carry out plans until somebody interrupts; tell whether nobody did."""
    for plan in plans:
        words = f"{plan.concurrency} in flight" if plan.rate_per_s is None else f"{plan.rate_per_s:g}/s"
        try:
            with progress_of(words) as on_progress:
                found = session.measure(plan, on_progress)
        except KeyboardInterrupt:
            return False
        if not found.is_complete:
            return False
    return True


def _finish(report: Report, earlier: Report | None, values: Mapping[str, Any], *, is_complete: bool) -> None:
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    output: Path | None = values["output"]
    if output is not None:
        output.write_bytes(text + b"\n")
    plot: Path | None = values["plot"]
    if plot is not None:
        plot.write_text(draw(report))
    if not report.measurements:
        raise KeyboardInterrupt
    if values["as_json"]:
        click.echo(text.decode())
    else:
        show_report(report)
        if earlier is not None:
            click.echo()
            _show_comparison(earlier, report, as_json=False)
    reason = next(
        filter(None, (_failure(each, values["max_failed_percent"]) for each in report.measurements)), ""
    )
    if reason:
        raise CommandError(reason)
    if not is_complete:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


def _failure(each: Measurement, max_failed_percent: float) -> str:
    """Say why a measurement is not what it should be; empty: it is."""
    if each.num_wrong:
        return f"{each.load}: {each.num_wrong:,} answers were wrong"
    if each.failed_percent > max_failed_percent:
        return (
            f"{each.load}: {each.num_failed:,} of {each.num_requests:,} requests failed, expected at most "
            f"{max_failed_percent:g} percent"
        )
    return ""


def _inputs(state: CliState, values: Mapping[str, Any], signature: Signature) -> tuple[NamedArrays, str]:
    """Return the tensors of the request, and where they are from."""
    given = [option for key, option in _GIVEN.items() if values[key] not in (None, ())]
    if not given:
        shapes = parse_shapes(values["shapes"], signature)
        found = random_inputs(signature, rows=values["rows"], seed=values["seed"], shapes=shapes)
        return found, f"random, seed {values['seed']}"
    for key, option in (("rows", "--rows"), ("shapes", "--shape")):
        if values[key] not in (None, ()):
            raise ConfigError(f"expected random inputs, got {given[0]}", path=option)
    return read_inputs(values, signature, state), f"from {' and '.join(given)}"


_GIVEN: Final = {
    "json_text": "--request",
    "arrays": "--input",
    "payloads": "--payload",
    "encode": "--encode",
    "encode_options": "--encode-options",
}


def _rows(inputs: NamedArrays, signature: Signature) -> int | None:
    """Return the rows of a request; None: its inputs have none, or not the same number."""
    sizes = {
        array.shape[0]
        for name, array in inputs.items()
        if array.ndim and name in signature.inputs and _has_rows(signature.inputs[name])
    }
    return sizes.pop() if len(sizes) == 1 else None


def _has_rows(spec: TensorSpec) -> bool:
    return bool(spec.shape) and not isinstance((spec.shape or (0,))[0], int)
