# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, driven by lines over its DevTools pipe; Python's standard library alone.

usage: browser.py CHROMIUM FOLDER

Each line of the input is answered by one:
    open URL            opens the page, and waits until it has loaded
    size W H dark|light a window of that size, in that colour scheme
    eval JAVASCRIPT     its value as JSON; a promise is waited for
    shot FILE           a picture of the whole page, into FILE
    quit                ends it, without an answer
    errors              what the console complained of since the page was opened, as JSON
"""
import base64
import fcntl
import json
import os
import subprocess
import sys


class Browser:
    def __init__(self, program, folder):
        orders, self.out = os.pipe()
        self.into, answers = os.pipe()
        # Chromium reads its orders from descriptor 3 and answers on 4.
        spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (orders, answers)]
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
             "--user-data-dir=" + folder, "--remote-debugging-pipe", "about:blank"],
            pass_fds=[3, 4], preexec_fn=lambda: [os.dup2(spare[i], 3 + i) for i in (0, 1)],
            stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
        for fd in [orders, answers] + spare:
            os.close(fd)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.errors = []
        self.events = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(domain + ".enable")

    def read(self):
        while b"\0" not in self.buffer:
            data = os.read(self.into, 1 << 20)
            if not data:
                raise SystemExit("the browser has ended")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def take(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        self.events.append(method)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(method + ": " + json.dumps(answer["error"]))
                return answer["result"]
            self.take(answer)

    def open(self, url):
        self.errors, self.events = [], []
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self.take(self.read())

    def size(self, width, height, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=int(width), height=int(height),
                  deviceScaleFactor=1, mobile=int(width) < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def eval(self, text):
        result = self.call("Runtime.evaluate", expression=text, awaitPromise=True,
                           returnByValue=True)
        if "exceptionDetails" in result:
            return "!" + json.dumps(result["exceptionDetails"])
        return json.dumps(result["result"].get("value"))

    def shot(self, file):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(file, "wb") as out:
            out.write(base64.b64decode(data))


browser = Browser(sys.argv[1], sys.argv[2])
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    reply = "done"
    if word == "quit":
        break
    if word == "open":
        browser.open(rest)
    elif word == "size":
        browser.size(*rest.split())
    elif word == "eval":
        reply = browser.eval(rest)
    elif word == "shot":
        browser.shot(rest)
    elif word == "errors":
        browser.eval("0")
        reply = json.dumps(browser.errors)
    print(reply, flush=True)
browser.process.terminate()
browser.process.wait()
