"""A thrift PredictionService: the protocol as a service, and its messages over TCP as a transport."""
