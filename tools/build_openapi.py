"""Make the OpenAPI documents from ``specs/openapi``.

Each source, YAML to be read by people, becomes the JSON that a service carries; ``specs/openapi.yaml`` is the
document of a host with all of them, which allows admin operations and asks for tokens.
``python tools/build_openapi.py`` writes them; ``--check`` writes nothing and exits with 1 when what is committed
differs.
"""

# A script, not a package:
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import yaml

from navi_core.authorization import Authorization
from navi_core.config.records import AuthSettings
from navi_core.contracts.planes import Admin, DataPlane
from navi_core.contracts.service_context import ServiceContext
from navi_core.openapi import compose
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = ROOT / "specs" / "openapi"
DOCUMENT: Final = ROOT / "specs" / "openapi.yaml"
SERVICES: Final = ROOT / "navi_core" / "services"

TARGETS: Final[Mapping[str, Path]] = {
    "host": ROOT / "navi_core" / "openapi_host.json",
    "oip": SERVICES / "oip" / "openapi.json",
    "oip_triton": SERVICES / "oip" / "openapi_triton.json",
    "openapi": SERVICES / "openapi" / "openapi.json",
    "operations": SERVICES / "operations_openapi.json",
    "proton": SERVICES / "proton" / "openapi.json",
    "tf_serving": SERVICES / "tf_serving" / "openapi.json",
}
"""Source -> what is made of it."""

_KEPT: Final = (
    "openapi",
    "info",
    "servers",
    "x-early-answers",
    "x-parameters",
    "x-tag",
    "paths",
    "components",
)
"""Other keys of a source hold what it repeats."""


class _Plain(yaml.SafeDumper):
    """Writes every value out: other tools know no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that no value is written as a reference to another one."""
        del data
        return True


def parts() -> Iterator[tuple[Path, str]]:
    """Yield the file of every part, and what it should hold."""
    for source, target in TARGETS.items():
        content = yaml.safe_load((SOURCES / f"{source}.yaml").read_text())
        kept = {key: content[key] for key in _KEPT if key in content}
        yield target, json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


def document() -> str:
    """Return the document of a host with everything, as YAML."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    nothing = cast("Any", None)  # no call is made
    context = ServiceContext(
        plane=cast("DataPlane", nothing), admin=cast("Admin", nothing), now=float, new_signal=nothing
    )
    registry = Registry(discover(environ={"NAVI_PLUGINS": ""}))  # what is installed must not change the file
    services = [kind.create(context) for kind in registry.services().values()]
    with tempfile.NamedTemporaryFile("w", suffix=".tokens") as tokens:
        tokens.write("a-token\n")
        tokens.flush()
        settings = AuthSettings(admin_token_file=tokens.name, infer_token_file=tokens.name)
        authorization = Authorization(allow_admin=True, settings=settings)
    composed = compose(services, authorization, version=project["version"])
    text = yaml.dump(composed, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return f"# Made by tools/build_openapi.py from specs/openapi/.\n{text}"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    check: bool = parser.parse_args(arguments).check
    stale = [_keep(path, text, check) for path, text in parts()]
    stale.append(_keep(DOCUMENT, document(), check))  # read from the parts as they are now
    named = [str(path.relative_to(ROOT)) for path in stale if path is not None]
    if named:
        print(f"{'differ from their sources' if check else 'written'}: {', '.join(named)}", file=sys.stderr)  # noqa: T201 - a script
    return 1 if check and named else 0


def _keep(path: Path, text: str, check: bool) -> Path | None:
    """Write a file that differs, if that is wanted; return its path then."""
    if path.exists() and path.read_text() == text:
        return None
    if not check:
        path.write_text(text)
    return path


if __name__ == "__main__":
    sys.exit(main())
