"""For plugin authors: conformance suites to subclass, fakes, and a pytest plugin."""
