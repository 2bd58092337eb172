"""Copy the wire codecs that navi-client shares with the core from ``navi_core/wire`` into navi-client.

navi-client installs without navi-core, and both have to read and write tensors alike: there is one source, and
this copy of it. ``python tools/build_wire_copies.py`` writes the files; ``--check`` writes nothing and exits
with 1 when what is committed differs from what would be written. It runs after ``build_descriptors.py``, whose
output it copies, too.
"""

# A script, not a package:
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CORE: Final = ROOT / "navi_core"
TARGET: Final = ROOT / "plugins" / "navi_client" / "src" / "navi_client" / "_generated"

COPIED: Final = (
    "tensors.py",
    *(f"wire/{name}.py" for name in ("descriptors", "example_values")),
    *(f"wire/{name}.py" for name in ("oip_contents", "oip_dtypes", "oip_tensors")),
    *(f"wire/{name}.py" for name in ("tensor_proto", "tensor_view", "tf_dtypes", "varints")),
    *(
        f"wire/{protocol}.{suffix}"
        for protocol in ("grpc_health", "oip", "proton", "tf_serving")
        for suffix in ("binpb", "py", "pyi")
    ),
)
"""What is copied, as paths in ``navi_core``; all of it into one folder."""

REPLACED: Final = (
    ("navi_core.wire.oip_request", "navi_client.oip_head"),
    ("navi_core.wire", "navi_client._generated"),
    ("navi_core.tensors", "navi_client._generated.tensors"),
    ("navi_core.", "navi_client."),
    ("import ml_dtypes", "from navi_client import narrow_floats as ml_dtypes"),
    ("input '", "output '"),  # what a client decodes are a server's outputs
)
"""Words of the originals, and what stands for them in the copies; in this order."""

INIT: Final = (
    '"""Copies of the core\'s wire codecs, made by tools/build_wire_copies.py. Not edited by hand."""\n'
)


def copy_of(path: str) -> bytes:
    """Return what the copy of one file holds."""
    original = (CORE / path).read_bytes()
    if path.endswith(".binpb"):
        return original
    text = original.decode()
    for word, instead in REPLACED:
        text = text.replace(word, instead)
    left = re.findall(r"navi_core\S*", text)
    if left:
        raise RuntimeError(f"{path} names {', '.join(left)}, which navi-client does not have")
    return (
        f"# Copied from navi_core/{path} by tools/build_wire_copies.py; not edited by hand.\n{text}".encode()
    )


def copies() -> Iterator[tuple[Path, bytes]]:
    """Yield each file to be written, and its contents."""
    yield TARGET / "__init__.py", INIT.encode()
    for path in COPIED:
        yield TARGET / Path(path).name, copy_of(path)


def differences() -> list[str]:
    """Say how the committed files differ from what would be written."""
    wanted = dict(copies())
    found = [
        f"{path.relative_to(ROOT)} differs from navi_core"
        for path, contents in wanted.items()
        if not path.exists() or path.read_bytes() != contents
    ]
    present = {path for path in TARGET.glob("*") if path.is_file()}
    return found + [
        f"{path.relative_to(ROOT)} is a copy of nothing" for path in sorted(present - wanted.keys())
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if not parser.parse_args(arguments).check:
        TARGET.mkdir(parents=True, exist_ok=True)
        for path, contents in copies():
            path.write_bytes(contents)
        return 0
    found = differences()
    for line in found:
        sys.stderr.write(f"{line}; run tools/build_wire_copies.py\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
