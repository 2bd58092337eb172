"""The protocols: requests -> bytes, bytes -> answers. They know no channel, no clock and no thread."""
