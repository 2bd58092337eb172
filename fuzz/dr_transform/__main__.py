"""Hostile bytes through the kernels: a corpus and its mutations, the input flush against a page that cannot be read.

That page follows one half of them and precedes the other.

A crash, a hang, or a difference between compiled kernels and their plain twin is a failure; the request that did
it is printed in base64.

    python fuzz/dr_transform [--mutations 1000000] [--compare-every 500] [--seed 0]
    python fuzz/dr_transform --request BASE64       one request through every target, compiled and plain
    python fuzz/dr_transform --coverage 200000      atheris on the plain twin; what it finds joins the corpus
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PLAIN = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
HANG_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=1_000_000)
    parser.add_argument(
        "--compare-every", type=int, default=500, metavar="N", help="ask the twin about every Nth"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", type=int, metavar="RUNS", help="look for new paths with atheris")
    parser.add_argument("--request", help="base64 of one request to try")
    arguments = parser.parse_args()
    if arguments.request:
        sys.exit(try_one(arguments.request))
    if arguments.coverage:
        sys.exit(extend_corpus(arguments.seed, arguments.coverage))
    sys.exit(run(arguments.seed, arguments.mutations, arguments.compare_every))


def run(seed: int, count: int, every: int) -> int:
    """Run the child, watch it, and ask the twin; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "shared"
        shared.touch()
        begun = time.monotonic()
        command = [
            sys.executable,
            str(HERE / "child.py"),
            str(shared),
            str(seed),
            "0",
            str(count),
            str(every),
        ]
        problem = watch(command, shared)
        if problem:
            print(f"seed {seed}, {problem}", file=sys.stderr)
            return 1
        passed = time.monotonic() - begun
        print(f"{count} requests, seed {seed}: no crash, no hang ({passed:.0f} s)", flush=True)
        command = [sys.executable, str(HERE / "twin.py"), f"{shared}.samples"]
        asked = subprocess.run(command, env=PLAIN, stdout=subprocess.PIPE, text=True, check=False)
        if asked.returncode:
            return 1
        print(
            f"{int(asked.stdout)} of them: the plain twin gives the same rows, or the same refusal at the same byte"
        )
        return 0


def watch(command: list[str], shared: Path, hang_s: float = HANG_S) -> str:
    """Run a child to its end; return what went wrong with which request, or nothing."""
    from child import HEADER, is_first
    from guard import PAGE

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    seen, since = b"", time.monotonic()
    while True:
        try:
            status = process.wait(0.5)
            break
        except subprocess.TimeoutExpired:
            with shared.open("rb") as file:
                now = file.read(HEADER.size)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > hang_s and len(now) == HEADER.size:
                process.kill()
                process.wait()
                status = None
                break
    if status == 0:
        return ""
    what = (
        "a hang"
        if status is None
        else f"killed by {signal.Signals(-status).name}"
        if status < 0
        else "an exception"
    )
    content = shared.read_bytes()
    if len(content) < PAGE:
        return f"{what} before the first request"
    number, size, which, _ = HEADER.unpack_from(content)
    begin = PAGE if is_first(number) else len(content) - size
    payload = content[begin : begin + size]
    return f"request {number}, target {which}: {what}\n{base64.b64encode(payload).decode()}"


def extend_corpus(seed: int, runs: int) -> int:
    """Let atheris look for requests that cover what none did, and keep the fewest that cover as much."""
    from corpus import FOUND, read_corpus, seeds, write_found

    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not there: pip install atheris (wheels for Linux, CPython 3.11 and later)",
            file=sys.stderr,
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        begin, grown, least = (Path(folder) / name for name in ("begin", "grown", "least"))
        for path in (begin, grown, least):
            path.mkdir()
        for index, request in enumerate(read_corpus()):
            (begin / f"{index:04}").write_bytes(request)
        # libFuzzer starts its own first argument again to merge: a program, then
        program = Path(folder) / "cover"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "cover.py"}" "$0" "$@"\n')
        program.chmod(0o755)
        script = [str(program), "-max_len=1024", "-artifact_prefix=" + folder + "/"]
        looked = [*script, f"-atheris_runs={runs}", f"-seed={seed + 1}", str(grown), str(begin)]
        status = subprocess.run(looked, env=PLAIN, check=False).returncode
        for path in Path(folder).glob("*-*"):  # crash-, timeout-, oom-
            print(f"{path.name}: {base64.b64encode(path.read_bytes()).decode()}", file=sys.stderr)
        if status:
            return 1
        merged = [*script, "-merge=1", str(least), str(begin), str(grown)]
        if subprocess.run(merged, env=PLAIN, check=False).returncode:
            return 1
        known = set(seeds())
        found = [request for path in least.iterdir() if (request := path.read_bytes()) not in known]
    write_found(found)
    print(f"{len(found)} requests in {FOUND.name}")
    return 0


def try_one(text: str) -> int:
    """Run one request through every target, compiled and plain."""
    script = (
        "import base64, sys; sys.path.insert(0, sys.argv[1]); from layouts import targets; from outcomes import outcome\n"
        "data = base64.b64decode(sys.argv[2])\n"
        "for each in targets(): print(each.name, outcome(each.decoder, data).hex())"
    )
    command = [sys.executable, "-c", script, str(HERE), text]
    compiled, plain = (
        subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
        for environ in (os.environ, PLAIN)
    )
    print(f"compiled:\n{compiled.stdout}plain:\n{plain.stdout}")
    return int(compiled.stdout != plain.stdout or compiled.returncode != 0 or plain.returncode != 0)


if __name__ == "__main__":
    main()
