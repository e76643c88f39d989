"""The torture of `taskyard.prove` as a test, with a disk that is filled as well."""
