"""The SDK for those who submit tasks and run a yard: `Client`, and the errors that its methods raise."""

from taskyard.client.client import ENDED, Client, Members, Submission
from taskyard.client.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NotFound,
    Refused,
    ServerFault,
    StrangeAnswer,
    TaskyardError,
    Unauthorized,
    Unavailable,
)
from taskyard.client.events import Event

__all__ = [
    "ENDED",
    "ApiError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Event",
    "Forbidden",
    "Members",
    "NotFound",
    "Refused",
    "ServerFault",
    "StrangeAnswer",
    "Submission",
    "TaskyardError",
    "Unauthorized",
    "Unavailable",
]
