# SPDX-License-Identifier: Apache-2.0
# python3 worker2023.py 127.0.0.1 8094 MODEL: the 2023 protocol on a plain socket
import json, signal, socket, sys
host, port, model = sys.argv[1:]
bus = socket.create_connection((host, int(port)))
lines = bus.makefile("rb")
client_id = json.loads(lines.readline()[len("INFO "):])["client_id"]
def publish(subject, message):
    data = json.dumps(message).encode()
    bus.sendall(b"PUB %s %d\r\n%s\r\n" % (subject, len(data), data))
def announce(status):
    publish(b"worker:status", {"service": "inference:" + model, "gpus": [],
                               "client_id": client_id, "status": status})
def leave(number, frame):
    announce("disconnected")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
bus.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n'
            b"SUB inference:%s workers 1\r\n" % model.encode())
announce("connected")
for line in lines:
    if line.startswith(b"PING"):
        bus.sendall(b"PONG\r\n")
    elif line.startswith(b"MSG"):
        reply, size = line.split()[3:]
        query = json.loads(lines.read(int(size) + 2))
        publish(reply, {"model": model, "answer": query["params"].get("say")})
