"""A backend server that accepts at once and calls back: `python examples/callback.py`, on http://127.0.0.1:9001."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def call_back(url, body):
    """Tells the node how it went, until it answers. The URL is all the permission that is needed."""
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError as error:
            if error.code < 500:  # 409: nobody waits for this attempt any more
                return False
        except OSError:
            pass  # the node is away: it may be starting again
        time.sleep(1)


def work(asked):
    if not call_back(asked["callback_url"], {"status": "PROCESSING", "progress": 50, "message": "half-way"}):
        return
    time.sleep(0.5)
    text = asked["request"]["payload"].get("text")
    if isinstance(text, str):
        call_back(asked["callback_url"], {"status": "COMPLETED", "result": {"text": text[::-1]}})
    else:
        call_back(asked["callback_url"], {"status": "FAILED", "error": "the payload needs a text"})


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # /health
        self.answer(200, {"status": "healthy"})

    def do_POST(self):  # /predict
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        threading.Thread(target=work, args=(asked,), daemon=True).start()
        self.answer(202, {"status": "accepted"})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9001"))), Backend).serve_forever()
