"""A file that holds one secret: written whole or not at all, readable by its owner alone."""

import os
from pathlib import Path


def write_secret(path: Path, secret: str) -> None:
    """Make the file, or put it in the place of another one. Durable when this returns. Raises OSError."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
