"""tensorflow.Example messages in a string tensor -> the model's own inputs."""
