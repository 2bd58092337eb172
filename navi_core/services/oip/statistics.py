"""The statistics extension: what every version answered, in Triton's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.versions import Tally, VersionStatistics
from navi_core.errors import VersionNotFoundError
from navi_core.services.oip.inference import model_ref
from navi_core.wire import oip

if TYPE_CHECKING:
    from navi_core.wire.oip import ModelStatisticsResponse, StatisticDuration

__all__ = ["model_statistics"]

_SHARED: Final = ("success", "fail", "queue")


async def model_statistics(plane: DataPlane, name: str, version: str) -> ModelStatisticsResponse:
    """Return the statistics of one model, one version of it, or (an empty name) of all models.

    Raises
    ------
    ModelNotFoundError, VersionNotFoundError
        There is no such model or version.
    """
    answer = oip.ModelStatisticsResponse()
    if not name:
        for model in plane.models():
            for found in await plane.statistics(model):
                _add(answer, model, found)
        return answer
    ref = model_ref(name, version)
    statistics = await plane.statistics(name)
    if ref.version is not None:
        statistics = [each for each in statistics if each.version == ref.version]
        if not statistics:
            raise VersionNotFoundError(name, ref.version)
    for found in statistics:
        _add(answer, name, found)
    return answer


def _add(answer: ModelStatisticsResponse, model: str, found: VersionStatistics) -> None:
    shown = answer.model_stats.add(
        name=model,
        version=str(found.version),
        last_inference=found.last_request_ms,
        inference_count=found.num_rows,
        execution_count=found.num_runs,
    )
    stats = shown.inference_stats
    for name in _SHARED:
        _set(getattr(stats, name), getattr(found, name))
    _set(stats.compute_input, found.prepare)
    _set(stats.compute_infer, found.run)
    _set(stats.compute_output, found.encode)
    _set(stats.cache_hit, Tally())
    _set(stats.cache_miss, Tally())
    for batch in found.batches:
        entry = shown.batch_stats.add(batch_size=batch.num_rows)
        _set(entry.compute_infer, batch.run)
        _set(entry.compute_input, Tally(batch.run.count))
        _set(entry.compute_output, Tally(batch.run.count))


def _set(duration: StatisticDuration, tally: Tally) -> None:
    duration.SetInParent()
    duration.count, duration.ns = tally.count, tally.ns
