"""``navi-host serve``: flags and files become a configuration, which a host serves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import msgspec
import structlog

from navi_core.cli.ending import interrupts_later
from navi_core.cli.hangup import Hangup
from navi_core.cli.model_repository import REPOSITORY_FLAG, follow_repositories, models_in
from navi_core.cli.plugin_flags import plugin_flags, read_flags, serve_sections
from navi_core.cli.sections import SectionedCommand
from navi_core.cli.serve_config import BuiltConfig, build_config
from navi_core.cli.state import CliState
from navi_core.cli.tf_serving_flags import given_flags
from navi_core.cli.tf_serving_follow import FOLLOW_FLAG, Followed, follow_model_config
from navi_core.cli.tf_serving_line import read_line
from navi_core.cli.tf_serving_models import ModelConfigFile
from navi_core.config.load import load_config
from navi_core.config.records import HostConfig
from navi_core.config.single_files import name_single_files
from navi_core.contracts.service import GRPC
from navi_core.contracts.transport import Transport
from navi_core.cores import worker_count
from navi_core.errors import ConfigError
from navi_core.logs import configure_logging
from navi_core.model_reload import reload_models
from navi_core.plugins.registry import Registry

__all__ = ["make_command"]

log = structlog.get_logger(__name__)


def make_command(state: CliState) -> click.Command:
    """Return the command, with the flags of the installed plugins."""
    plugins, refused = plugin_flags(state.registry)

    def serve(**values: Any) -> None:
        values["model_dir"] = tuple(_named(path) for path in values["model_dir"])
        files = (values["config"], given_flags(values).get("model_config_file"))
        with ExitStack() as stack:

            @cache
            def make_folder() -> Path:
                """Make the directory that nobody else can read, for as long as the host runs."""
                return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="navi-")))

            with Hangup(
                lambda: _read(values, make_folder)[0].config, ", ".join(filter(None, files))
            ) as hangup:
                _serve(values, make_folder, hangup)

    def _read(
        values: dict[str, Any], make_folder: Callable[[], Path]
    ) -> tuple[BuiltConfig, ModelConfigFile | None]:
        """Return what the flags, and the files that they name, come to."""
        file = values["config"]
        base = load_config(file) if file else HostConfig()
        folders = tuple(Path(path) for path in values["model_repository"])
        named = {
            *(model.model_name for model in base.models),
            *(Path(path).name for path in values["model_dir"]),
        }
        base = msgspec.structs.replace(base, models=(*base.models, *models_in(folders, named)))
        _check_alone(state.registry, values["transport"])
        carries = {name: _carried(kind) for name, kind in state.registry.transports().items()}
        line = read_line(given_flags(values), base, read_flags(values, plugins), make_folder)
        built = build_config(line.flags, line.config, carries)
        built = replace(
            built, config=name_single_files(built.config), ignored={**line.ignored, **built.ignored}
        )
        _check_files(built.config)
        return built, line.followed

    def _serve(values: dict[str, Any], make_folder: Callable[[], Path], hangup: Hangup) -> None:
        built, followed = _read(values, make_folder)
        folders = tuple(Path(path) for path in values["model_repository"])
        address_file = Path(values["address_file"]) if values["address_file"] else None
        if address_file is not None and not address_file.parent.is_dir():
            msg = f"expected a file in a directory that exists, got '{address_file}'"
            raise ConfigError(msg, path="--address-file")
        foreign = _foreign_transport(state.registry, built.config)
        several = worker_count(built.config.workers) > 1
        configure_logging(level=values["log_level"], log_format=values["log_format"])
        _note(built, refused)
        beside = _beside(hangup, built.config, followed, folders)
        if several:
            from navi_core.cli.run_workers import run_workers  # noqa: PLC0415 - only for several

            run_workers(
                built.config,
                state.registry,
                address_file=address_file,
                beside=beside,
                log_level=values["log_level"],
                log_format=values["log_format"],
            )
            return
        if foreign is not None:
            reason = "over this transport the configuration is read at the start, and again on SIGHUP"
            if followed is not None:
                log.warning("flag_ignored", flag=FOLLOW_FLAG, reason=reason)
            if folders:
                log.warning("models_not_followed", flag=REPOSITORY_FLAG, reason=reason)
            from navi_core.cli.run_hosted import run_hosted  # noqa: PLC0415 - only for such transports

            status = run_hosted(
                foreign,
                built.config,
                address_file=address_file,
                hangup=hangup,
                log_level=values["log_level"],
                log_format=values["log_format"],
            )
            click.get_current_context().exit(status)
        # the host's own imports (services, batching, metrics) are not worth waiting for before the flags are right
        with interrupts_later():
            from navi_core.cli.run_host import run_host  # noqa: PLC0415 - see above
            from navi_core.host import Host  # noqa: PLC0415 - see above

        run_host(
            Host(built.config, registry=state.registry),
            address_file=address_file,
            beside=beside,
        )

    return SectionedCommand(
        "serve",
        callback=serve,
        sections=serve_sections(plugins),
        help=(
            "Serve models until SIGTERM or SIGINT. Long flags may be written with '-' or '_'; those marked * are "
            "repeated with --model-dir, and their values line up."
        ),
    )


def _beside(
    hangup: Hangup, config: HostConfig, file: ModelConfigFile | None, folders: tuple[Path, ...]
) -> Callable[[Followed], Coroutine[Any, Any, None]]:
    """Return what looks for other models while the host runs."""

    async def follow(host: Followed) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hangup.follow(config, partial(reload_models, host)))
            if file is not None:
                group.create_task(follow_model_config(host, file))
            if folders:
                group.create_task(follow_repositories(host, folders, config.poll_interval_s))

    return follow


def _carried(kind: type[Transport]) -> frozenset[str]:
    """Return what ``--port`` and ``--rest-port`` go by: the first is gRPC's."""
    return frozenset(kind.carries) if kind.rpc_protocol == GRPC else frozenset(kind.carries) - {"rpc"}


def _named(path: str) -> str:
    """Return a model directory's path so that its last part is the model's name, also for ``.``."""
    return str(Path(path).resolve()) if Path(path).name in ("", "..") else path


def _check_files(config: HostConfig) -> None:
    for name, transport in config.transports.items():
        if transport.tls is None:
            continue
        tls = transport.tls
        for file in dict.fromkeys(
            (tls.key, tls.certificate, *([tls.chain] if tls.chain else []), *tls.client_ca)
        ):
            if not Path(file).is_file():
                raise ConfigError(
                    f"expected a PEM file, got '{file}', which is none", path=f"transports.{name}.tls"
                )


def _foreign_transport(registry: Registry, config: HostConfig) -> type[Transport] | None:
    """Return the transport whose server owns the process and imports navi; None: navi owns it.

    Raises
    ------
    ConfigError
        Such a transport is configured beside another.
    PluginNotFoundError
        A transport is not installed.
    """
    _check_alone(registry, config.transports)
    kinds = [registry.transport(name) for name in config.transports]
    return kinds[0] if kinds and kinds[0].hosting == "hosts_us" else None


def _check_alone(registry: Registry, names: Iterable[str]) -> None:
    kinds = {name: kind for name, kind in registry.transports().items() if name in names}
    foreign = [name for name, kind in kinds.items() if kind.hosting == "hosts_us"]
    others = ", ".join(f"'{name}'" for name in kinds if name not in foreign[:1])
    if foreign and others:
        msg = f"transport '{foreign[0]}' hosts navi itself, so it must be the only one, got {others}, too"
        raise ConfigError(msg, path="--transport")


def _note(built: BuiltConfig, refused: dict[str, str]) -> None:
    for flag, reason in built.ignored.items():
        log.warning("flag_ignored", flag=flag, reason=reason)
    for flag, reason in refused.items():
        log.warning("plugin_flag_refused", flag=flag, reason=reason)
    for model in built.config.models:
        if "://" not in model.path and not Path(model.path).exists():
            log.warning("model_directory_missing", model=model.model_name, path=model.path)
