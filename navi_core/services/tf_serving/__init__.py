"""TensorFlow Serving's protocol: PredictionService and ModelService over gRPC, and its REST API."""
