"""A yard to look at: a real node, three backend servers and a mixed load, for `taskyard demo`."""
