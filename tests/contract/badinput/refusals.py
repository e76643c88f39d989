"""What every refusal must look like."""

import httpx


def refused(answer: httpx.Response, code: int, *words: str) -> None:
    """The answer refuses with this code, in our form, says these words, and shows nothing of our inside."""
    assert answer.status_code == code, f"{answer.status_code}: {answer.text[:500]}"
    body = answer.json()
    assert {"error", "requestId"} <= set(body) <= {"error", "details", "requestId", "status"}
    assert body["requestId"] == answer.headers["x-request-id"]
    said = body["error"] + " " + body.get("details", "")
    for word in words:
        assert word in said, said
    assert len(answer.content) < 2000
    for inside in ("Traceback", 'File "', "msgspec", "sqlite", "Error("):
        assert inside not in said
