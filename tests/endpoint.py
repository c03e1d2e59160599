"""An OpenAI-compatible endpoint that misbehaves as told, and counts what it was paid for.

`behave(body, n)` says what the n-th request (from 1) meets: words or a choice for a good reply, or one of the faults below.
A reply is paid for when it is made, whether or not it arrives. With `honours_keys`, a repeated Idempotency-Key is paid once."""
import json
import socket
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread


class Status(Exception):
    "Answer with a status"
    def __init__(self, status, headers=(), body=None):
        self.status, self.headers, self.body = status, dict(headers), body if body is not None else {"error": {"message": f"a fault of kind {status}"}}


class Raw(Exception):
    "Answer with these bytes and status 200"
    def __init__(self, data, kind="application/json"): self.data, self.kind = data, kind


class Drop(Exception):
    "Break off in the middle of a reply that was made, and paid for"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        here, key = self.server, (self.headers.get("Idempotency-Key") or "")
        with here.lock:
            here.asked.append(dict(body=body, key=key, path=self.path, time=time.time(), authorization=self.headers.get("Authorization")))
            n = len(here.asked)
        try: said = here.behave(body, n)
        except Status as fault: return self.reply(json.dumps(fault.body).encode() if not isinstance(fault.body, bytes) else fault.body, fault.status, **fault.headers)
        except Raw as fault:
            self.pay(body, key)
            return self.reply(fault.data, **{"Content-Type": fault.kind})
        except Drop: said = None
        self.pay(body, key)
        choice = said if isinstance(said, dict) else dict(message=dict(role="assistant", content=said), finish_reason="stop")
        whole = json.dumps(dict(id="x", object="chat.completion", created=0, model=f"{body['model']}-2026", choices=[dict(index=0, **choice)],
                                usage=dict(prompt_tokens=10, completion_tokens=5, total_tokens=15))).encode()
        if said is not None: return self.reply(whole)
        self.send_response(200)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole[:20])
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def pay(self, body, key):
        with self.server.lock:
            if self.server.honours_keys and key in self.server.keys: return
            self.server.keys.add(key)
            self.server.paid[json.dumps(body, sort_keys=True)] += 1

    def reply(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items(): self.send_header(name, str(value))
        self.end_headers()
        try: self.wfile.write(data)
        except OSError: pass  # it was killed, as it should be

    def log_message(self, *args): pass


class Endpoint(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128
    def __init__(self, behave=lambda body, n: f"On {body['messages'][-1]['content']} by {len(body['messages'])}.", honours_keys=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.honours_keys, self.asked, self.paid, self.keys, self.lock = behave, honours_keys, [], Counter(), set(), Lock()
        self.address = f"http://127.0.0.1:{self.server_port}/v1"
        Thread(target=self.serve_forever, args=(.05,), daemon=True).start()

    def handle_error(self, request, client_address): pass  # clients are killed here
    def __enter__(self): return self
    def __exit__(self, *fault): self.shutdown(); self.server_close()
