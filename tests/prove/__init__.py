"""`taskyard prove`: what is told of disks, the report, and the whole of it from an installed wheel."""
