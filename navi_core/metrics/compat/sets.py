"""The sets of compatible families that one host shows, and their recorders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.metrics.compat.base import CompatModel, CompatServer
from navi_core.metrics.compat.navi import NaviCompat
from navi_core.metrics.compat.proton import ProtonCompat
from navi_core.metrics.compat.tensorflow import TensorflowCompat
from navi_core.metrics.compat.triton import TritonCompat

__all__ = ["CompatSets"]

_NAMES: Final = ("navi", "tensorflow", "proton", "triton")


class CompatSets:
    """Other servers' families. Like they themselves, it is used with the metrics' lock held.

    Parameters
    ----------
    names
        Which ones; a name that comes twice counts once.
    version
        The host's version.

    Raises
    ------
    ValueError
        A name is not known.
    """

    def __init__(self, names: Iterable[str], version: str) -> None:
        self._servers = [_server(name, version) for name in dict.fromkeys(names)]
        self._recorders: dict[str, dict[int | None, tuple[CompatModel, ...]]] = {}

    def __iter__(self) -> Iterator[CompatServer]:
        return iter(self._servers)

    def __contains__(self, name: str) -> bool:
        return any(server.name == name for server in self._servers)

    @property
    def is_empty(self) -> bool:
        """There are none."""
        return not self._servers

    def of(self, model: str, version: int | None = None) -> tuple[CompatModel, ...]:
        """Return the recorders of a version, or of what a model has besides its versions."""
        of_model = self._recorders.setdefault(model, {})
        found = of_model.get(version)
        if found is None:
            found = of_model[version] = tuple(
                server.for_model(model) if version is None else server.for_version(model, version)
                for server in self._servers
            )
        return found

    def forget_version(self, model: str, version: int) -> None:
        """Drop the label values of a version."""
        self._recorders.get(model, {}).pop(version, None)
        for server in self._servers:
            server.forget_version(model, version)

    def forget_model(self, model: str) -> None:
        """Drop the label values of a model."""
        self._recorders.pop(model, None)
        for server in self._servers:
            server.forget(model)

    def update(
        self,
        *,
        queues: Mapping[tuple[str, int], int],
        certificate_ends: Sequence[float],
        gauges: Mapping[str, float],
        converter_metrics: Sequence[ConverterMetric],
    ) -> None:
        """Take what is asked for before every page, instead of being recorded.

        Parameters
        ----------
        queues
            (Model, version) -> requests that wait.
        certificate_ends
            When the listeners' certificates end, in seconds since 1970.
        gauges
            Those of all loaded versions, by name.
        converter_metrics
            Those of all loaded versions' converters.
        """
        num_queued = sum(queues.values())
        for server in self._servers:
            server.set_queued(num_queued)
            server.set_queues(queues)
            server.set_certificate_ends(certificate_ends)
            server.set_servable_gauges(gauges)
            server.set_converter_metrics(converter_metrics)


def _server(name: str, version: str) -> CompatServer:
    match name:
        case NaviCompat.name:
            return NaviCompat(version)
        case TensorflowCompat.name:
            return TensorflowCompat()
        case ProtonCompat.name:
            return ProtonCompat()
        case TritonCompat.name:
            return TritonCompat()
        case _:
            *names, last = _NAMES
            raise ValueError(f"compat_metrics: expected {', '.join(names)} or {last}, got '{name}'")
