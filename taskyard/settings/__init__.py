"""One typed configuration, `Settings`, and its loader. Nothing else in Taskyard reads the environment of a node."""

from taskyard.settings.devsecret import kept_secret, with_jwt_secret
from taskyard.settings.load import SettingsError, load
from taskyard.settings.model import Settings
from taskyard.settings.parts import RetryBackoff, Source, TypeDefaults
from taskyard.settings.secret import Secret

__all__ = [
    "RetryBackoff",
    "Secret",
    "Settings",
    "SettingsError",
    "Source",
    "TypeDefaults",
    "kept_secret",
    "load",
    "with_jwt_secret",
]
