# SPDX-License-Identifier: Apache-2.0
# python3 worker.py nats://127.0.0.1:8094 ID
import asyncio, json, nats, signal, sys
url, me = sys.argv[1:]
nc, status, queries = None, "connected", {}
async def announce(m=None):
    await nc.publish("worker:status", json.dumps({
        "v": 1, "id": me, "status": status, "slots": 4, "client_id": nc.client_id,
        "services": [{"name": "count", "match": ["lang=python"]}]}).encode())
async def say(m, fields, text=""):
    await nc.publish(m.reply, text.encode(), headers=fields)
async def count(m, q):  # "N": an answer; "N MS": a part every MS
    n, *ms = m.data.decode().split()
    if not n.isdigit():
        return await say(m, {"Nats-Service-Error-Code": "400",
                             "Nats-Service-Error": "say a number"})
    if not ms:
        return await say(m, None, "so many: " + n)
    for i in range(int(n)):
        await q["credit"].acquire()
        if q["over"]:
            return await say(m, {"Nats-Service-Error-Code": "499"})
        await say(m, {"Ocf-Seq": str(i)}, "%d\n" % i)
        await asyncio.sleep(int(ms[0]) / 1000)
    await say(m, {"Ocf-End": n})
async def take(m):  # a task for each, or the slots would not be used
    q = {"credit": asyncio.Semaphore(16), "over": False}
    req = m.headers["Ocf-Req-Id"]
    queries[req] = q
    asyncio.create_task(count(m, q)).add_done_callback(lambda t: queries.pop(req))
async def control(m):
    c = json.loads(m.data)
    q = queries.get(c["id"], {"credit": asyncio.Semaphore()})
    if c["op"] == "cancel":
        q["over"] = print("cancelled", c["id"], flush=True) is None
    for i in range(c.get("n", 1)):
        q["credit"].release()
async def main():
    global nc, status
    nc, stop = await nats.connect(url, max_reconnect_attempts=-1), asyncio.Event()
    await nc.subscribe("ocf.d." + me, cb=take)
    await nc.subscribe("ocf.c." + me, cb=control)
    await nc.subscribe("ocf.hello", cb=announce)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not stop.is_set():
        await announce()
        await asyncio.wait([asyncio.create_task(stop.wait())], timeout=5)
    for status in "draining", "disconnected":
        await announce()
        while queries:
            await asyncio.sleep(0.01)
    await nc.drain()
asyncio.run(main())
