"""How a command ends early: with one message and an exit code."""


class Stop(Exception):
    """The message goes to stderr. Code 1: the call or the task failed; 2: it was not asked rightly."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
