"""A backend server that answers directly: `python examples/direct.py`, then register http://127.0.0.1:9000."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # /health
        self.answer({"status": "healthy"})

    def do_POST(self):  # /predict
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked["request"]["payload"].get("text")
        if isinstance(text, str):
            self.answer({"status": "success", "result": {"text": text.upper()}})
        else:  # 422: the task is wrong itself, trying it again does not help
            self.answer({"error": 'the payload needs a text, as in {"text": "hello"}'}, 422)

    def answer(self, body, status=200):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Backend).serve_forever()
