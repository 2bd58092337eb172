"""The plain twin's opinion of requests that went through compiled kernels (run with NUMBA_DISABLE_JIT=1).

    python twin.py FILE.samples

Every read and write of the twin is checked: one past an end is an IndexError, and an end of this program.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from child import SAMPLE
from layouts import targets
from navi_dr_transform._accelerate import JIT
from outcomes import outcome

SHOWN = 5


def main() -> None:
    if JIT:
        sys.exit("NUMBA_DISABLE_JIT=1 is not set: nothing would be compared")
    content = Path(sys.argv[1]).read_bytes()
    chosen = targets()
    at = count = differing = 0
    while at < len(content):
        size, which, *spans, became = SAMPLE.unpack_from(content, at)
        payload = content[at + SAMPLE.size : at + SAMPLE.size + size]
        at += SAMPLE.size + size
        count += 1
        if outcome(chosen[which].decoder, payload, spans=spans) != became:
            differing += 1
            if differing <= SHOWN:
                print(f"target '{chosen[which].name}': {base64.b64encode(payload).decode()}", file=sys.stderr)
    print(count)
    if differing:
        sys.exit(f"{differing} of {count} requests: compiled kernels and their plain twin differ")


if __name__ == "__main__":
    main()
