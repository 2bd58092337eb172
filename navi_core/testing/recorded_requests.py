"""Files of recorded requests, for tests of warm-ups."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from navi_core.models.replay import RECORDS_FILE
from navi_core.wire.crc32c import masked_crc32c

__all__ = ["tf_records", "write_recorded_requests"]


def tf_records(contents: Iterable[bytes]) -> bytes:
    """Return a TFRecord file with these records."""
    pieces = []
    for content in contents:
        length = len(content).to_bytes(8, "little")
        pieces += [length, _checksum(length), content, _checksum(content)]
    return b"".join(pieces)


def _checksum(data: bytes) -> bytes:
    return masked_crc32c(data).to_bytes(4, "little")


def write_recorded_requests(version_dir: Path, logs: Iterable[bytes]) -> Path:
    """Write serialized PredictionLogs where a version's recorded requests are looked for; return the file."""
    file = version_dir / RECORDS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tf_records(logs))
    return file
