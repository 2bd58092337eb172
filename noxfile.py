"""Everything that is run on this repository, by name: ``nox -l`` lists it, ``nox`` runs what CI runs.

The sessions of every day share one environment, ``.nox/develop``, with the core, every plugin, the
frameworks and all tools in it: making it is the slowest part. Sessions about what users install make fresh
ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.5.1"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
DEVELOP = ROOT / ".nox" / "develop"
CORE = nox.project.load_toml(ROOT / "pyproject.toml")
PLUGINS = {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}

# The environment that all plugins share is the one in which CI runs their tests. `packaging` installs each plugin alone,
# from its wheel, and runs the conformance suites there; `nox -s "plugin(navi_onnx)"`, which runs all of a plugin's tests
# there, is to be asked for.
nox.options.sessions = ["lint", "types", "tests", "tests_nojit", "packaging", "clients", "docs"]

# As many tests at once as there are cores; a test costs what its frameworks hold, up to 3 GiB of memory.
# Work is stolen by tests of neighbouring files, so that models that a file's tests share are mostly made once.
PARALLEL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")

# Thousands of tests with processes and sockets of their own, on machines that others slow down: what fails gets one more
# try, and the summary names it (RERUN). Such a name is a fault to be found, of the test or of navi; run by hand, no
# test is tried again.
SECOND_TRY = ("--reruns=1", "-rR")

# One constraints file for every installation, given to pip in the way that its subprocesses see too.
CONSTRAINTS = ROOT / "constraints.txt"
ENVIRON = {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _groups(*names: str) -> list[str]:
    """Return the requirements of dependency groups of the core, and of the plugins that have them."""
    return [
        requirement
        for folder in (ROOT, *PLUGINS.values())
        for requirement in _own_groups(nox.project.load_toml(folder / "pyproject.toml"), *names)
    ]


def _own_groups(project: dict[str, Any], *names: str) -> Sequence[str]:
    present = [name for name in names if name in project.get("dependency-groups", {})]
    return nox.project.dependency_groups(project, *present) if present else ()


def _editable() -> list[str]:
    """Return pip's arguments for the core and every plugin, with all of their extras."""
    arguments = ["-e", str(ROOT)]
    for folder in PLUGINS.values():
        project = nox.project.load_toml(folder / "pyproject.toml")["project"]
        extras = ",".join(sorted(project.get("optional-dependencies", {})))
        arguments += ["-e", f"{folder}[{extras}]" if extras else str(folder)]
    return arguments


def _python(environment: Path) -> str:
    return str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")


def _make(session: nox.Session, environment: Path, *requirements: str) -> str:
    """Make an environment with some packages in it and return its python.

    What was installed there for the same requirements, projects and constraints is not asked for again: pip would
    take minutes to say so. Newer versions come with a new environment (``rm -r .nox``).
    """
    python = _python(environment)
    if not Path(python).exists():
        session.run(sys.executable, "-m", "venv", str(environment), external=True)
    done = environment / "installed" / _digest(*requirements)
    if not done.exists():
        install = (python, "-m", "pip", "install", "--quiet", "--no-compile")
        session.run(*install, *requirements, env=ENVIRON, external=True, silent=False)
        done.parent.mkdir(exist_ok=True)
        done.touch()
    return python


def _digest(*requirements: str) -> str:
    """Return what changes when something else is to be installed."""
    projects = [ROOT / "pyproject.toml", *(folder / "pyproject.toml" for folder in PLUGINS.values())]
    content = "\0".join(
        [sys.version, *requirements, *(path.read_text() for path in [*projects, CONSTRAINTS])]
    )
    return hashlib.sha256(content.encode()).hexdigest()


def _develop(session: nox.Session) -> str:
    """Return the python of the shared environment, made or brought up to date where it is not."""
    python = _make(
        session,
        DEVELOP,
        *_editable(),
        *_groups("tests", "train", "lint", "types", "protos", "clients"),
    )
    # What these require is there under another name (tensorflow-cpu), or is not needed (torchaudio).
    _make(session, DEVELOP, "--no-deps", *_groups("alone"))
    return python


def _run(session: nox.Session, module: str, *arguments: str, **environ: str) -> None:
    """Run a module with the shared environment's python."""
    session.run(_develop(session), "-m", module, *arguments, env={**ENVIRON, **environ}, external=True)


def _sources() -> list[str]:
    return ["navi_core", *(str(folder / "src" / name) for name, folder in PLUGINS.items())]


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check format, style and spelling: in a small environment of its own, to fail within seconds."""
    python = _make(session, ROOT / ".nox" / "lint", *_own_groups(CORE, "lint"))
    for module, *arguments in (
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("codespell_lib",),
    ):
        session.run(python, "-m", module, *arguments, external=True)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types, strictly: the core, every plugin, every example."""
    examples = sorted(map(str, ROOT.glob("docs/examples/*/src/*")))
    _run(session, "mypy", *_sources(), *examples)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Test the core and every plugin in one environment."""
    _run(
        session,
        "pytest",
        "tests",
        *(str(folder / "tests") for folder in PLUGINS.values()),
        "--ignore=tests/clients",
        "--ignore=tests/docs",
        "--ignore=tests/packaging",
        *PARALLEL,
        *SECOND_TRY,
        *session.posargs,
    )


@nox.session(venv_backend="none")
def tests_nojit(session: nox.Session) -> None:
    """Test the kernels as the plain Python that they are, without the compiler."""
    kernels = sorted(ROOT.glob("plugins/*/tests/**/test_*kernel*.py")) + sorted(
        ROOT.glob("tests/**/test_*kernel*.py")
    )
    if not kernels:
        session.skip("there are no kernels")
    _run(session, "pytest", *map(str, kernels), *PARALLEL, *session.posargs, NUMBA_DISABLE_JIT="1")


@nox.session(venv_backend="none")
def packaging(session: nox.Session) -> None:
    """Build each wheel, install it alone in a fresh environment, have the host list it, run its suites there."""
    _run(session, "pytest", "tests/packaging", "-m", "network", *PARALLEL, *SECOND_TRY, *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Test the documentation against the code."""
    _run(session, "pytest", "tests/docs", *PARALLEL, *SECOND_TRY, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("name", list(PLUGINS), ids=list(PLUGINS))
def plugin(session: nox.Session, name: str) -> None:
    """Test one plugin in an environment of its own, from its wheel."""
    folder = PLUGINS[name]
    project = nox.project.load_toml(folder / "pyproject.toml")
    extras = ",".join(sorted(project["project"].get("optional-dependencies", {})))
    environment = ROOT / ".nox" / f"plugin-{name}"
    shutil.rmtree(environment, ignore_errors=True)
    tool = _make(session, environment, "pip")
    wheels = session.create_tmp()
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "-w", wheels, str(ROOT), str(folder))
    session.run(tool, *build, env=ENVIRON, external=True)
    found = {wheel.name.split("-")[0]: str(wheel) for wheel in Path(wheels).glob("*.whl")}
    own = f"{found[name]}[{extras}]" if extras else found[name]
    python = _make(
        session,
        environment,
        found["navi_core"],
        own,
        *_own_groups(CORE, "tests"),
        *_own_groups(project, "tests"),
    )
    session.run(python, "-m", "pytest", str(folder / "tests"), *session.posargs, external=True)


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Run the shared suites over every plugin, with the long memory check; ``-- plugins/navi_onnx`` narrows it."""
    long = ("--navi-memory-cycles=200", "--timeout=1800")
    _run(session, "pytest", "-m", "conformance", *long, *session.posargs)


@nox.session(venv_backend="none")
def clients(session: nox.Session) -> None:
    """Point clients that others wrote at a running host."""
    _run(session, "pytest", "tests/clients", "tests/docs/test_readme.py", *SECOND_TRY, *session.posargs)
    # These cannot be imported into one process with others, need an older protobuf than the shared environment has,
    # or bring a server framework that nothing else needs.
    for group in CORE["dependency-groups"]:
        _, separator, package = group.partition("clients-")
        if separator:
            served = ("-e", str(ROOT), "-e", f"{PLUGINS['navi_onnx']}")
            environment = ROOT / ".nox" / group
            python = _make(session, environment, *served, *_own_groups(CORE, "tests", group))
            tests = f"tests/clients/test_{package}.py"
            session.run(
                python, "-m", "pytest", tests, *SECOND_TRY, *session.posargs, env=ENVIRON, external=True
            )


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Run every script and folder of ``benchmarks/`` that measures; ``-- NAME ARGUMENTS...`` runs one."""
    python = _develop(session)
    _make(session, DEVELOP, *_groups("bench"))
    name, *arguments = session.posargs or [""]
    scripts = {path.stem: path for path in sorted(ROOT.glob("benchmarks/*.py"))}
    folders = {path.parent.name: path for path in sorted(ROOT.glob("benchmarks/*/__main__.py"))}
    for own, script in (scripts | folders).items():
        source = script.read_text()
        if name not in ("", own) or "argparse.ArgumentParser(" not in source:
            continue
        if "h2load" in source and shutil.which("h2load") is None:
            session.warn(f"{own} is left out: it needs h2load (Debian: nghttp2-client)")
            continue
        session.run(python, str(script.parent if own in folders else script), *arguments, external=True)


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Give kernels mutated requests beside guard pages; ``-- --mutations 10_000_000`` says how many."""
    python = _develop(session)
    _make(session, DEVELOP, *_groups("fuzz"))
    for script in sorted(ROOT.glob("fuzz/*/__main__.py")):
        session.run(python, str(script.parent), *session.posargs, external=True)


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Run the demo once."""
    _run(session, "navi_core", "demo", "--once", *session.posargs)


@nox.session(venv_backend="none")
def regenerate(session: nox.Session) -> None:
    """Make generated files again from ``specs/``; a difference to what is committed is an error."""
    scripts: Sequence[Path] = sorted(ROOT.glob("tools/build_*.py"))
    python = _develop(session)
    for script in scripts:
        session.run(python, str(script), *session.posargs, external=True)
    session.run("git", "diff", "--exit-code", "--stat", external=True)
