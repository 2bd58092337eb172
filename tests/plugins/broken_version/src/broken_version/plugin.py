"""Is not to be imported: its distribution needs a newer navi-core."""

raise AssertionError("imported although its requirement on navi-core is not met")
