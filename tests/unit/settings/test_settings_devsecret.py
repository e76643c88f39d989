"""The secret that a node started for trial makes for itself."""

import os
import stat
from pathlib import Path

import pytest

from taskyard.settings import Secret, Settings, SettingsError, kept_secret, with_jwt_secret


def settings(folder: Path, dev: bool = True, **more: object) -> Settings:
    return Settings(data_dir=str(folder), dev=dev, **more)  # type: ignore[arg-type]


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "yard"
    first = with_jwt_secret(settings(folder))
    path = folder / "jwt_secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(first.jwt_secret[0].reveal()) == 64
    assert first.sources()["jwt_secret"].name == str(path)
    assert with_jwt_secret(settings(folder)).jwt_secret == first.jwt_secret
    assert kept_secret(folder) == first.jwt_secret[0]


def test_ones_own_secret_comes_first(tmp_path: Path) -> None:
    given = settings(tmp_path, jwt_secret=(Secret("k" * 32),))
    assert with_jwt_secret(given) is given
    assert not list(tmp_path.iterdir())


def test_without_dev_it_is_required_even_beside_a_kept_one(tmp_path: Path) -> None:
    with_jwt_secret(settings(tmp_path))
    with pytest.raises(SettingsError, match="JWT_SECRET is not set"):
        with_jwt_secret(settings(tmp_path, dev=False))


def test_a_file_that_cannot_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "jwt_secret"
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="does not hold a secret"):
        with_jwt_secret(settings(tmp_path))
    path.write_text("k" * 64)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        with_jwt_secret(settings(tmp_path))
    path.write_bytes(b"\xff" * 64)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="cannot be read"):
        with_jwt_secret(settings(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be (read|written): Not a directory"):
        with_jwt_secret(settings(tmp_path / "file"))
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(SettingsError, match="cannot be written: Permission denied"):
            with_jwt_secret(settings(tmp_path / "new"))
