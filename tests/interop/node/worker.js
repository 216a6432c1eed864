// SPDX-License-Identifier: Apache-2.0
// node worker.js nats://127.0.0.1:8094 ID
const { connect, headers } = require("nats");
const [url, id] = process.argv.slice(2), queries = new Map();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
let nc, status = "connected";
const announce = () => nc.publish("worker:status", JSON.stringify({
  v: 1, id, status, slots: 4, client_id: nc.info.client_id,
  services: [{ name: "count", match: ["lang=node"] }] }));
function say(m, fields, text = "") {
  const h = headers();
  for (const name in fields) h.set(name, String(fields[name]));
  m.respond(text, { headers: h });
}
async function count(m, q) { // "N": an answer; "N MS": a part every MS
  const [n, ms] = m.string().split(" ");
  if (!(n > 0)) return say(m, { "Nats-Service-Error-Code": 400,
                                "Nats-Service-Error": "say a number" });
  if (ms === undefined) return m.respond("so many: " + n);
  for (let i = 0; i < n && !q.over; i++) {
    while (q.credit === 0 && !q.over) await sleep(1);
    if (!q.over) say(m, { "Ocf-Seq": i }, i + "\n"), q.credit--;
    await sleep(ms);
  }
  say(m, q.over ? { "Nats-Service-Error-Code": 499 } : { "Ocf-End": n });
}
async function take(error, m) {
  const q = { credit: 16 }, req = m.headers.get("Ocf-Req-Id");
  queries.set(req, q), await count(m, q), queries.delete(req);
}
function control(error, m) {
  const { op, id, n } = m.json(), q = queries.get(id);
  if (q && op === "credit") q.credit += n;
  if (q && op === "cancel") q.over = true, console.log("cancelled", id);
}
connect({ servers: url, maxReconnectAttempts: -1 }).then((connection) => {
  nc = connection;
  nc.subscribe("ocf.d." + id, { callback: take });
  nc.subscribe("ocf.c." + id, { callback: control });
  nc.subscribe("ocf.hello", { callback: announce });
  setInterval(announce, 5000), announce();
  process.on("SIGTERM", async () => {
    for (status = "draining", announce(); queries.size > 0;) await sleep(10);
    status = "disconnected", announce(), await nc.drain(), process.exit(0);
  });
});
