"""A layout together with the features that fill it: what the builders of layouts give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import Layout

__all__ = ["ResolvedLayout"]


@dataclass(frozen=True, slots=True)
class ResolvedLayout:
    """Which tensors there are, and which features fill them.

    Parameters
    ----------
    layout
        The tensors.
    features
        Where every feature goes.
    names
        Feature id -> full name, as far as names are known; also of features that go nowhere.
    """

    layout: Layout
    features: FeatureMap
    names: Mapping[int, str]
