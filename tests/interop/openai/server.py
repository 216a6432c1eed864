# SPDX-License-Identifier: Apache-2.0
"""A small server with OpenAI's API, on Python's standard library.

usage: server.py FILE

It listens on any port of 127.0.0.1, writes its URL into FILE, and says each request that its
client left, «left MODEL». The models: `echo` says the last message again, a word a piece;
`slow` waits two seconds before that; `endless` never ends; `full` refuses.
"""
import http.server
import json
import os
import select
import sys
import time

MODELS = ["echo", "slow", "endless", "full"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_json(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_left(self, seconds=0.0):
        return bool(select.select([self.connection], [], [], seconds)[0])

    def send_event(self, text):
        data = ("data: %s\n\n" % text).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def stream(self, model, words):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i, word in enumerate(words):
            if self.is_left(0.05 if model == "endless" else 0):
                raise BrokenPipeError
            self.send_event(json.dumps({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": model,
                "choices": [{"index": 0, "finish_reason": None,
                             "delta": {"content": word if i == 0 else " " + word}}]}))
        self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chat(self, body):
        model, text = body["model"], body["messages"][-1]["content"]
        words = text.split(" ")
        if model == "endless":
            words = iter(lambda: "word", None)
        if model == "slow":
            time.sleep(2)
        if body.get("stream"):
            self.stream(model, words)
            return
        while model == "endless":
            if self.is_left(1):
                raise BrokenPipeError
        self.send_json(200, {
            "id": "c", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

    def answer(self, body):
        if body["model"] == "full":
            self.send_json(400, {"error": {"message": "the context is full", "param": "messages",
                                           "type": "invalid_request_error",
                                           "code": "context_length_exceeded"}})
        elif self.path == "/v1/chat/completions":
            self.chat(body)
        elif self.path == "/v1/embeddings":
            self.send_json(200, {"object": "list", "model": body["model"],
                                 "data": [{"object": "embedding", "index": 0,
                                           "embedding": [0.5, len(body["input"])]}]})
        elif self.path == "/v1/completions":
            self.send_json(200, {"id": "c", "object": "text_completion", "model": body["model"],
                                 "choices": [{"index": 0, "text": body["prompt"] + "!"}]})
        elif self.path == "/v1/responses":
            self.send_json(200, {"id": "r", "object": "response", "model": body["model"],
                                 "output": [{"type": "message", "role": "assistant", "content": [
                                     {"type": "output_text", "text": body["input"],
                                      "annotations": []}]}]})

    def do_GET(self):
        self.send_json(200, {"object": "list", "data": [
            {"id": m, "object": "model", "created": 1, "owned_by": "test"} for m in MODELS]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self.answer(body)
        except OSError:
            print("left", body["model"], flush=True)
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".part", "w") as file:
    file.write("http://127.0.0.1:%d" % server.server_port)
os.rename(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
