"""What the operating system says of this process: the families that other Prometheus clients show, too."""

from __future__ import annotations

from typing import Final

from prometheus_client import ProcessCollector

from navi_core.metrics.cells import FamilySnapshot
from navi_core.metrics.families import FAMILIES

__all__ = ["PROCESS_FAMILIES", "ProcessFamilies"]

PROCESS_FAMILIES: Final = tuple(name for name in FAMILIES if name.startswith("process_"))
"""Their names."""


class ProcessFamilies:
    """Reads them: a source for :meth:`Metrics.set_process_source`.

    They come from prometheus-client's collector, which reads ``/proc``: where there is none (macOS), they have no
    values.

    Parameters
    ----------
    proc
        Where the process file system is.
    """

    def __init__(self, proc: str = "/proc") -> None:
        # no registry: navi's page joins the values of several workers, and writes them itself
        self._collector: Final = ProcessCollector(proc=proc, registry=None)

    def __call__(self) -> dict[str, FamilySnapshot]:
        """Return name -> value, of every family of the table."""
        found = {
            sample.name: sample.value for metric in self._collector.collect() for sample in metric.samples
        }
        return {name: [((), found[name])] if name in found else [] for name in PROCESS_FAMILIES}
