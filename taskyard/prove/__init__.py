"""`taskyard prove`: simulation, torture and the disk's word, tried where Taskyard is installed, and a report."""
