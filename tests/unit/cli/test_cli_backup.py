"""A backup that is put on another disk is for its owner alone from its first byte on."""

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from taskyard.cli import backup


@pytest.mark.parametrize("left", [False, True], ids=["new", "a partial one was left behind"])
def test_nobody_else_can_read_a_backup_while_it_is_copied(
    left: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, file = tmp_path / "made.db", tmp_path / "elsewhere" / "backup.db"
    made.write_bytes(b"all that a node keeps" * 1000)
    whole = made.read_bytes()
    file.parent.mkdir()
    if left:
        (file.parent / "backup.db.partial").write_bytes(b"x")
        (file.parent / "backup.db.partial").chmod(0o666)
    replace, copy = Path.replace, shutil.copyfileobj
    modes: list[int] = []

    def as_on_another_disk(path: Path, target: Path) -> Path:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(path, target)

    def looking(source: Any, target: Any, size: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(target.fileno()).st_mode))
        copy(source, target, size)

    monkeypatch.setattr(Path, "replace", as_on_another_disk)
    monkeypatch.setattr(shutil, "copyfileobj", looking)
    old = os.umask(0)
    try:
        assert backup._move(made, file) == len(whole)
    finally:
        os.umask(old)
    assert modes == [0o600]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == whole
    assert [path.name for path in file.parent.iterdir()] == ["backup.db"]
    assert not made.exists()
