"""What people come for, from the sign-in to the result, by clicking and typing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from taskyard.prove.processes import steady_port
from tests.contract.api.yard import Backend, Yard, eventually, token
from tests.web.conftest import PATIENCE_MS, Visitor

expect.set_options(timeout=PATIENCE_MS)

# Numbers that a double rounds, keys that an object reorders, markup, and a character that turns what follows around.
PAYLOAD = (
    '{"seed": 9007199254740993, "2":1.0,"1" : 1e400, "html":"<img src=x onerror=alert(1)>",'
    ' "bell":"\\u0007", "turned":"\u202eabc"}'
)


def test_from_the_sign_in_to_a_tasks_result(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    yard, server = own_yard(), backend(lambda _: (200, {"status": "success", "result": {"seconds": 3}}))
    page = visit(yard).page
    page.goto("/servers")
    page.get_by_label("Token").fill(token("admin"))
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("button", name="Add a server").first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("gpu-1")
    form.get_by_label("Predict URL").fill(server.endpoints["predict"])
    form.get_by_label("Health URL").fill("http://127.0.0.1:9/health")
    form.get_by_label("Capabilities").fill("video,")
    form.get_by_role("button", name="Register and check").click()
    expect(form.get_by_role("status")).to_contain_text("refused")
    form.get_by_role("button", name="Change the form").click()
    form.get_by_label("Health URL").fill(server.endpoints["health"])
    form.get_by_role("button", name="Register and check").click()
    expect(form.get_by_role("status")).to_contain_text("it takes tasks now")
    form.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="gpu-1")).to_contain_text("online")

    body = f'{{"type":"film","capabilities":["video","8k"],"payload":{PAYLOAD}}}'.encode()
    task_id = yard.client("admin").post("/api/task", content=body).json()["id"]
    page.goto(f"/task/{task_id}")
    expect(page.locator(".verdict")).to_contain_text("No server has “8k”")
    page.get_by_role("button", name=": video, 8k").click()
    expect(page.get_by_text("Completed on", exact=False)).to_be_visible()
    expect(page.get_by_text("Undo")).to_be_visible()

    page.get_by_text("Payload", exact=True).click()
    shown = page.get_by_role("group", name="Payload")
    for piece in ("9007199254740993", '"1": 1e400', "<img src=x onerror=alert(1)>", "\\u0007", "U+202E"):
        expect(shown).to_contain_text(piece)

    page.keyboard.press("e")
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Payload")).to_have_value(PAYLOAD)
    form.get_by_label("Priority").fill("7")
    form.get_by_role("button", name="Submit a new task").click()
    page.get_by_role("button", name="Open it").click()
    expect(page.get_by_text("priority 7")).to_be_visible()
    expect(page.get_by_role("link", name=task_id)).to_be_visible()
    again = page.url.rpartition("/")[2]
    server.task(again)
    assert any(PAYLOAD.encode() in sent and again.encode() in sent for sent in server.raw)


def test_what_failed_is_retried_and_what_waits_is_cancelled(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    yard, admin = own_yard(), None
    mended = False

    def behave(task: dict[str, Any]) -> tuple[int, Any]:
        size = task["request"]["payload"]["size"]
        return (
            (200, {"status": "success"}) if mended else (422, {"error": f"width must be a multiple of 8, not {size}"})
        )

    server = backend(behave)
    admin = yard.client("admin")
    admin.post("/api/servers", json={"name": "gpu-1", "endpoints": server.endpoints, "capabilities": ["ocr"]})
    tasks: list[dict[str, Any]] = [
        {"type": "ocr", "capabilities": ["ocr"], "payload": {"size": 500 + n}} for n in range(12)
    ]
    tasks += [{"type": "later", "delay": 3_600_000, "payload": {}} for _ in range(3)]
    admin.post("/api/tasks", json={"tasks": tasks})
    eventually(lambda: len(admin.get("/api/tasks?status=FAILED").json()["tasks"]) == 12)

    page = visit(yard, "admin").page
    page.goto("/failures?window=1h")
    expect(page.get_by_text("in 1 group", exact=False)).to_be_visible()
    expect(page.get_by_text("The task itself is wrong", exact=False)).to_be_visible()
    page.get_by_role("link", name="Open 12").click()
    expect(page.get_by_text("12 shown")).to_be_visible()

    page.keyboard.press("a")
    expect(page.get_by_text("Held", exact=True)).to_be_visible()
    page.keyboard.press("r")
    mended = True
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Retry 12 tasks?")
    form.get_by_role("button", name="Retry 12").click()
    expect(page.get_by_text("12 tasks queued again.")).to_be_visible()
    eventually(lambda: len(admin.get("/api/tasks?status=COMPLETED").json()["tasks"]) == 12)

    page.goto("/tasks?status=PENDING")
    page.get_by_label("Filter", exact=True).fill("type:later")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{yard.url}/tasks?status=PENDING&type=later")
    page.get_by_label("Select all shown").check()
    page.get_by_role("region", name="3 selected").get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 3 tasks").click()
    expect(page.get_by_text("3 tasks cancelled.")).to_be_visible()
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_the_algorithm_the_language_and_a_maintenance(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    yard, server = own_yard(), backend()
    admin = yard.client("admin")
    given = {"id": "gpu-1", "name": "gpu-1", "endpoints": server.endpoints}
    admin.post("/api/servers", json=given)

    def algorithm() -> Any:
        return admin.get("/api/loadbalancer/status").json()["algorithm"]

    page = visit(yard, "admin").page
    page.goto("/balance")
    card = page.locator(".option", has=page.get_by_role("heading", name="Least connections"))
    card.get_by_role("button", name="Use this").click()
    expect(card).to_contain_text("in force")
    assert algorithm() == "least-connections"
    page.get_by_role("button", name="Undo").click()
    expect(card.get_by_role("button", name="Use this")).to_be_visible()
    assert algorithm() == "weighted-round-robin"

    page.get_by_label("Language").first.select_option("zh-CN")
    expect(page.get_by_role("heading", name="负载均衡")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="最少连接")).to_be_visible()
    page.get_by_label("语言").first.select_option("en")

    page.goto("/servers/gpu-1")
    page.get_by_role("button", name="Maintenance", exact=True).click()
    page.get_by_label("Reason").fill("disk swap")
    page.keyboard.press("Enter")
    expect(page.get_by_text("In maintenance (disk swap)", exact=False)).to_be_visible()
    page.get_by_role("button", name="End maintenance").click()
    expect(page.get_by_text("Online: 0 of 10 slots", exact=False)).to_be_visible()
    page.get_by_role("button", name="Drain and remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain and remove").click()
    expect(page.get_by_text("No server yet")).to_be_visible()
    page.goto("/system?tab=audit")
    expect(page.get_by_role("cell", name="gpu-1").first).to_be_visible()


def test_a_lost_connection_is_said_and_comes_back(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    # A port that no other program is given while the node is away.
    port = steady_port()
    yard, server = own_yard(port=port), backend()
    admin = yard.client("admin")
    admin.post("/api/servers", json={"id": "gpu-1", "name": "gpu-1", "endpoints": server.endpoints})
    page = visit(yard, "admin").page
    page.goto("/servers")
    expect(page.get_by_role("row", name="gpu-1")).to_contain_text("online")
    yard.stop()
    expect(page.get_by_text("Lost since", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Add a server")).to_be_disabled()
    expect(page.get_by_role("row", name="gpu-1")).to_be_visible()
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    own_yard(port=port)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Add a server")).to_be_enabled()


def test_a_user_sees_what_is_its_own(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    yard, server = own_yard(), backend()
    admin, uma = yard.client("admin", sub="ann"), yard.client("user", sub="uma")
    admin.post("/api/servers", json={"id": "gpu-1", "name": "gpu-1", "endpoints": server.endpoints})
    other = admin.post("/api/task", json={"type": "hers", "payload": {}}).json()["id"]
    own = uma.post("/api/task", json={"type": "own", "payload": {}}).json()["id"]
    page = visit(yard, "user", sub="uma").page
    page.goto("/tasks")
    expect(page.get_by_role("row", name=own[-6:])).to_be_visible()
    expect(page.get_by_role("row", name=other[-6:])).to_have_count(0)
    page.goto(f"/task/{other}")
    expect(page.get_by_role("heading", name=f"No {other} here")).to_be_visible()
    page.goto("/servers/gpu-1")
    expect(page.get_by_text("Online: 0 of 10 slots", exact=False)).to_be_visible()
    for name in ("Maintenance", "Edit", "Drain and remove", "Check now"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    assert server.url not in page.content()
    page.goto("/system?tab=settings")
    expect(page.get_by_role("link", name="Licences")).to_be_visible()
    expect(page.get_by_role("link", name="Settings")).to_have_count(0)


def test_a_session_that_ends_is_said_until_someone_signs_in(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor]
) -> None:
    visitor = visit(own_yard(), "admin")
    page = visitor.page
    page.goto("/failures")
    expect(page.get_by_text("No failures in the last hour")).to_be_visible()
    visitor.context.clear_cookies()
    expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("Signed out.", exact=False)).to_be_visible()
    expect(page.get_by_text("could not be loaded again", exact=False)).to_be_visible()
    expect(page.get_by_text("No failures in the last hour")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    form = page.get_by_role("dialog", name="Your session has ended")
    form.get_by_label("Token").fill(token("admin"))
    form.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Signed out.", exact=False)).to_have_count(0)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_text("could not be loaded again", exact=False)).to_have_count(0)
