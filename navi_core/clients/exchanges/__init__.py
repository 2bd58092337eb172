"""One prediction as bytes, for each protocol and each kind of connection: what is sent, and how its answer is read."""
