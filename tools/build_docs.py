"""Write the tables of ``docs/`` that follow from code: hooks, configuration, errors, metrics, flags.

``python tools/build_docs.py`` writes them between their markers; ``--check`` writes nothing and exits
with 1 when what is committed differs.
"""

# A script, not a package:
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, get_type_hints

import click
import msgspec

from navi_core import errors, hookspecs
from navi_core.batching.queue import BatchPolicy
from navi_core.cli.main import make_group
from navi_core.cli.sections import sections_of
from navi_core.cli.state import CliState
from navi_core.cli.tf_serving_flags import TF_SERVING_FLAGS
from navi_core.config import records
from navi_core.config.wording import describe, show
from navi_core.models.lifecycle import draw_mermaid
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry
from navi_core.services.oip import errors as oip
from navi_core.services.tf_serving import errors as tf_serving
from navi_core.services.tf_serving.options import TfServingOptions
from navi_core.workers.phases import TRANSITIONS, Phase

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"


# --- hooks ------------------------------------------------------------------------------------------


def hooks() -> Iterator[str]:
    """Yield every hook with its signature, what it is for and when it is called."""
    for name, function in vars(hookspecs).items():
        if not name.startswith("navi_"):
            continue
        signature = str(inspect.signature(function)).replace("'", "")
        summary, _, rest = inspect.getdoc(function).partition("\n\n")
        calls, _, fields = rest.partition("\n\n")
        yield f"### `{name}`\n\n```python\ndef {name}{signature}: ...\n```\n\n{_prose(summary)}\n\n{_prose(calls)}\n"
        for field in re.findall(r":(?:param (\w+)|(returns)): ((?:.|\n)+?)(?=\n:|\Z)", fields):
            yield f"* `{field[0] or field[1]}`: {_prose(field[2])}"
        yield ""


# --- configuration ------------------------------------------------------------------------------------

_RECORDS: Final = (
    ("The file", records.HostConfig),
    ("A model: `[[models]]`", records.ModelConfig),
    ("Versions: `[models.versions]`", records.VersionPolicySettings),
    ("Batching: `[models.batching]`, or `[batching]` for all models", records.BatchingSettings),
    ("Signatures: `[models.signatures.NAME]`", records.SignatureSettings),
    ("Tensors: `[models.signatures.NAME.inputs.TENSOR]`", records.TensorSettings),
    ("Warm-up: `[models.warmup]`", records.WarmupSettings),
    ("Tokens: `[auth]`", records.AuthSettings),
    ("A transport: `[transports.NAME]`", records.TransportSettings),
    ("TLS: `[transports.NAME.tls]`", records.TlsSettings),
)


def configuration() -> Iterator[str]:
    """Yield a table for every record of the configuration."""
    for title, record in _RECORDS:
        yield f"### {title}\n\n{_prose(inspect.getdoc(record).partition(chr(10))[0])}\n"
        yield "| field | type | default | meaning |\n|---|---|---|---|"
        meanings = attributes(record)
        hints = get_type_hints(record, include_extras=True)
        for field in msgspec.structs.fields(record):
            kind = describe(hints[field.name]).replace("|", "\\|")
            yield f"| `{field.name}` | {kind} | {_default(record, field)} | {meanings[field.name]} |"
        yield ""


def attributes(record: type) -> dict[str, str]:
    """Return field -> meaning from the numpydoc ``Attributes`` sections of a class and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(record.__mro__):
        text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        _, _, section = text.partition("Attributes\n----------\n")
        for names, meaning in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section, re.MULTILINE):
            # a file has no None: the field is left out
            text = re.sub(r"\bNone:", "left out:", _prose(inspect.cleandoc(meaning)))
            found |= dict.fromkeys(names.split(", "), text)
    return found


def _default(record: type, field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None and record is records.BatchingSettings:
        return _batching_default(field.name)
    if value is None or isinstance(value, msgspec.Struct) or value in ({}, ()):
        return "-"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(show, value))}]`"
    return f"`{show(value)}`"


def _batching_default(name: str) -> str:
    policy = BatchPolicy.from_settings(records.BatchingSettings(), max_concurrent_batches=0)
    if name == "max_concurrent_batches":
        return "the number of cores, at least 2"
    value = getattr(policy, name.replace("_ms", "_s"), None)
    return "-" if value in (None, ()) else f"`{show(value * 1000 if name.endswith('_ms') else value)}`"


# --- errors ---------------------------------------------------------------------------------------------


def error_table() -> Iterator[str]:
    """Yield a row for every error class."""
    yield "| error | code | reason | meaning |\n|---|---|---|---|"
    for name, depth in _error_tree(errors.NaviError, 0):
        cls = getattr(errors, name)
        summary = _prose(inspect.getdoc(cls).partition("\n\n")[0])
        reason = f"`{cls.default_reason}`" if cls.default_reason else ""
        indent = "&nbsp;&nbsp;" * depth
        yield f"| {indent}`{name}` | `{cls.default_code}` | {reason} | {summary} |"


def _error_tree(cls: type, depth: int) -> Iterator[tuple[str, int]]:
    yield cls.__name__, depth
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _error_tree(child, depth + 1)


def protocol_codes() -> Iterator[str]:
    """Yield how each protocol says a code."""
    yield "Every gRPC service has the number of the code; the Open Inference Protocol as Triton says the code in brackets.\n"
    yield "| code | gRPC | TensorFlow Serving, REST | Open Inference, REST | as Triton, REST |\n|---|---|---|---|---|"
    for code in errors.ErrorCode:
        as_triton = f" (`{oip.TRITON_CODE[code]}`)" if oip.TRITON_CODE[code] is not code else ""
        yield (
            f"| `{code}` | {tf_serving.GRPC_STATUS[code]} | {tf_serving.HTTP_STATUS[code]} "
            f"| {oip.HTTP_STATUS[code]} | {oip.TRITON_HTTP_STATUS[code]}{as_triton} |"
        )


def protocol_errors() -> Iterator[str]:
    """Yield a table of situations for every protocol of ``specs/errors``."""
    for path in sorted((ROOT / "specs" / "errors").glob("*.toml")):
        table = tomllib.loads(path.read_text())
        yield f"### `{path.name}`\n\n| situation | code | text |\n|---|---|---|"
        for row in table["error"]:
            note = f"<br>{_prose(row['note'])}" if row.get("note") else ""
            if "triton_code" in row or "triton_text" in row:
                as_triton = _prose(row.get("triton_text", row["text"])).replace("`", "'")
                note += f"<br>As Triton: `{row.get('triton_code', row['code'])}` `{as_triton}`"
            if "unreachable" in row:
                note += f"<br>Does not happen here: {_prose(row['unreachable'])}"
            text = _prose(row["text"]).replace("`", "'")
            yield f"| {row['id'].replace('_', ' ')} | `{row['code']}` | `{text}`{note} |"
        yield ""


# --- metrics -------------------------------------------------------------------------------------------------


def metrics() -> Iterator[str]:
    """Yield a row for every metric family."""
    table = tomllib.loads((ROOT / "specs" / "metrics" / "metrics.toml").read_text())
    yield "| family | kind | unit | labels | meaning |\n|---|---|---|---|---|"
    for row in table["metric"]:
        labels = ", ".join(f"`{label}`" for label in row.get("labels", ()))
        yield f"| `{row['name']}` | {row['kind']} | {row.get('unit', '')} | {labels} | {row['meaning']} |"


# --- swaps ------------------------------------------------------------------------------------------


def swap_phases() -> Iterator[str]:
    """Yield the drawing of the phases of a swap over several workers."""
    yield "```mermaid\nstateDiagram-v2"
    yield f"    [*] --> {next(iter(Phase))}"
    for (phase, event), following in TRANSITIONS.items():
        yield f"    {phase} --> {following}: {event}"
    for phase in Phase:
        if all(phase is not before for before, _ in TRANSITIONS):
            yield f"    {phase} --> [*]"
    yield "```"


# --- command line ---------------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Yield what every command of the core takes. Flags that plugins add are in the plugins' own pages."""
    # the plugins that happen to be installed must not change the page
    state = CliState(lambda: Registry(discover(environ={"NAVI_PLUGINS": ""})))
    group = make_group()
    context = click.Context(group, info_name="navi-host", obj=state)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        pieces = " ".join(command.collect_usage_pieces(inner))
        yield f"### `navi-host {name}`\n\n```\nnavi-host {name} {pieces}\n```\n\n{_prose(command.help or '')}\n"
        sections = sections_of(command, inner)
        for section in sections:
            rows = [each.get_help_record(inner) for each in section.options]
            if len(sections) > 1:
                yield f"#### {section.title}\n"
            if section.text:
                yield f"{_prose(section.text)}\n"
            if not any(rows):
                continue
            yield "| flag | meaning |\n|---|---|"
            for row in rows:
                if row is not None:
                    flag = row[0].replace("|", "\\|")
                    yield f"| `{flag}` | {_prose(row[1])} |".replace("*", "\\*")
            yield ""


# --- another server's command line ---------------------------------------------------------------------------


def tf_serving_flags() -> Iterator[str]:
    """Yield a row for every flag of TensorFlow Serving's."""
    yield "| flag | TensorFlow Serving's default | here |\n|---|---|---|"
    for flag in TF_SERVING_FLAGS:
        meaning = f"no effect: {flag.meaning}" if flag.is_inert else flag.meaning
        yield f"| `--{flag.key}` | {flag.default} | {meaning} |"


def tf_serving_options() -> Iterator[str]:
    """Yield a row for every setting of the service."""
    yield "| option | type | default | meaning |\n|---|---|---|---|"
    meanings = attributes(TfServingOptions)
    hints = get_type_hints(TfServingOptions, include_extras=True)
    for field in msgspec.structs.fields(TfServingOptions):
        kind = describe(hints[field.name]).replace("|", "\\|")
        yield f"| `{field.name}` | {kind} | {_default(TfServingOptions, field)} | {meanings[field.name]} |"


# --- pages -----------------------------------------------------------------------------------------------------

SECTIONS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "hooks": hooks,
    "configuration": configuration,
    "errors": error_table,
    "protocol_codes": protocol_codes,
    "protocol_errors": protocol_errors,
    "metrics": metrics,
    "swap_phases": swap_phases,
    "lifecycle": lambda: iter([f"```mermaid\n{draw_mermaid().strip()}\n```"]),
    "commands": commands,
    "tf_serving_flags": tf_serving_flags,
    "tf_serving_options": tf_serving_options,
}
_SECTION: Final = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def _prose(text: str) -> str:
    """Return one line of Markdown from a docstring's paragraph."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`").replace("|", "\\|")


def fresh(page: str) -> str:
    """Return a page with every marked section written anew."""

    def section(match: re.Match[str]) -> str:
        return f"{match[1]}\n{chr(10).join(SECTIONS[match[2]]()).strip()}\n\n{match[3]}"

    return _SECTION.sub(section, page)


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    check: bool = parser.parse_args(arguments).check
    stale = []
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text()
        after = fresh(before)
        if after != before:
            stale.append(path.name)
            if not check:
                path.write_text(after)
    if stale:
        print(f"{'differ from the code' if check else 'written'}: {', '.join(stale)}", file=sys.stderr)  # noqa: T201 - a script
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
