"""The measured saga as a DBOS workflow behind HTTP: each step is one journaled step, and so is each compensation.

Usage: python service.py PORT DATABASE_FILE

`POST /sagas` with the body {"decline": bool} runs one, under the workflow id in `Idempotency-Key`, and answers when it
has ended: 200, or 409 if it declined.
"""

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dbos import DBOS, SetWorkflowID

# How often a request that found its saga running under another thread, as after a crash, looks for its end.
POLLING_INTERVAL_S = 0.02


class Declined(Exception):
    """The saga was asked to decline, and its steps are undone."""


@DBOS.step()
def noop() -> None:
    """Answers at once and writes nothing."""


@DBOS.workflow()
def saga(decline: bool) -> int:
    done = []
    try:
        for name in ("one", "two", "three", "four"):
            done.append(name)
            noop()
        if decline:
            raise Declined("declined")
        noop()
        return 5
    except Declined:
        for _ in reversed(done):
            noop()
        raise


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for head and body, at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with SetWorkflowID(self.headers["idempotency-key"]):
            handle = DBOS.start_workflow(saga, body["decline"])
        try:
            self.answer(200, {"steps": handle.get_result(polling_interval_sec=POLLING_INTERVAL_S)})
        except Declined:
            self.answer(409, {"declined": True})

    def answer(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing: what is measured is the saga."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN


def main() -> None:
    port, database = int(sys.argv[1]), sys.argv[2]
    DBOS(
        config={
            "name": "saga5",
            "system_database_url": f"sqlite:///{database}",
            "application_version": "1",
            "executor_id": "bench",
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
