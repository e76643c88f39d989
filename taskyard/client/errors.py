"""What a call to Taskyard can raise: a small tree, with what the server said. Knows nothing of HTTP libraries."""


class TaskyardError(Exception):
    """Any failure of a call; the text says what happened."""


class ConnectionFailed(TaskyardError):
    """No answer: nothing listens at `url`, or the connection broke or was silent for too long."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class StrangeAnswer(TaskyardError):
    """An answer that Taskyard does not give: something else listens at this address."""


class ApiError(TaskyardError):
    """The server refused: `status` (HTTP), its `error`, `details` and `request_id`; `retry_after` in ms or None."""

    def __init__(
        self, status: int, error: str, details: str = "", request_id: str = "", retry_after: int | None = None
    ) -> None:
        told = f": {details}" if details else ""
        super().__init__(f"{error}{told}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.error = error
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after


class Refused(ApiError):
    """400, 413, 415, 422: what was sent is wrong; the same again would be refused again."""


class Unauthorized(ApiError):
    """401: no token, or one that the server does not take."""


class Forbidden(ApiError):
    """403: the token's roles do not allow it."""


class NotFound(ApiError):
    """404, 410: there is none (for this caller), or its data has been purged."""


class Conflict(ApiError):
    """409: the state of the task or server forbids it; `details` names the state."""


class Unavailable(ApiError):
    """429, 503: not now; `retry_after` says when."""


class ServerFault(ApiError):
    """Any other refusal, a 500 among them; the server's log has more under `request_id`."""


BY_STATUS: dict[int, type[ApiError]] = {
    400: Refused,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: Refused,
    415: Refused,
    422: Refused,
    429: Unavailable,
    503: Unavailable,
}
