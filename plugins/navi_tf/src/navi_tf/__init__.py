"""TensorFlow SavedModels on navi."""
