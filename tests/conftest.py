"""What holds for all tests: the logs of nodes within the process go nowhere, as other tests look at what is printed."""

import structlog

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
