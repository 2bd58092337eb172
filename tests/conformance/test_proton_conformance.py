"""Proton's service under the suite that plugin authors get."""

from __future__ import annotations

import json
import uuid

import pytest

from navi_core.services.proton.service import ProtonService
from navi_core.testing import Sample, ServiceConformance
from navi_core.wire import proton


class TestProton(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    @pytest.fixture(autouse=True)
    def _one_prediction_id(self, monkeypatch):
        """Every answer has an id of its own; the suite compares answers."""
        monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=4))

    def make_service(self, context):
        return ProtonService.create(context)

    def samples(self, model):
        request = proton.InferenceRequest(model_name=model, data=[1.0, 2.5], shape=[2])
        document = {"model_name": model, "data": {"v": 1, "dim": [2], "data": [1.0, 2.5]}}
        return {
            "/predict.Predictor/Predict": request.SerializeToString(),
            "POST /predict": Sample(
                body=json.dumps(document).encode(), metadata={"content-type": "application/json"}
            ),
            "GET /models": b"",
            "GET /ready": b"",
        }
