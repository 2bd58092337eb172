"""A process that ends while a load is at work ends as it says, whatever the load's library does."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def ended(code):
    """Run code and return its exit status and what it printed."""
    script = f"import atexit, sys, threading, time\n{textwrap.dedent(code)}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.stderr
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize("status", [0, 2])
def test_python_ends_as_ever_where_nothing_is_at_work(status):
    assert ended(f"""
        from navi_core.cli.ending import end_process
        atexit.register(print, "taken-down")
        threading.Thread(target=time.sleep, args=(30,), name="somebody-else", daemon=True).start()
        end_process({status})
    """) == (status, ["taken-down"])


@pytest.mark.parametrize("status", [0, 1])
def test_the_interpreter_is_not_taken_down_under_a_load(status):
    """What was printed and logged is out all the same."""
    assert ended(f"""
        import logging
        from navi_core.cli.ending import end_process
        atexit.register(print, "taken-down")
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        threading.Thread(target=time.sleep, args=(30,), name="navi-load-m-1", daemon=True).start()
        logging.warning("logged")
        print("printed")
        end_process({status})
    """) == (status, ["logged", "printed"])


def test_loads_run_in_threads_that_are_known_by_their_names():
    status, printed = ended("""
        import asyncio
        from navi_core.background import run_in_daemon_thread
        from navi_core.cli.ending import end_process
        atexit.register(print, "taken-down")

        async def leave():
            task = asyncio.ensure_future(run_in_daemon_thread(time.sleep, 30, name="navi-load-m-1"))
            await asyncio.sleep(0.1)
            task.cancel()

        asyncio.run(leave())
        end_process(0)
    """)
    assert (status, printed) == (0, [])


def test_an_interrupt_waits_for_the_end_of_imports():
    """NumPy, interrupted while it is imported, writes tracebacks and says that it is broken."""
    status, printed = ended("""
        import os, signal
        from navi_core.cli.ending import interrupts_later
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        try:
            with interrupts_later():
                os.kill(os.getpid(), signal.SIGINT)
                print("imported")
        except KeyboardInterrupt:
            print("interrupted")
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """)
    assert (status, printed) == (0, ["imported", "interrupted", "True"])


def test_whoever_handles_interrupts_already_goes_on_with_it():
    status, printed = ended("""
        import os, signal
        from navi_core.cli.ending import interrupts_later
        signal.signal(signal.SIGINT, lambda *_: print("mine"))
        with interrupts_later():
            os.kill(os.getpid(), signal.SIGINT)
            print("imported")
    """)
    assert (status, printed) == (0, ["mine", "imported"])
