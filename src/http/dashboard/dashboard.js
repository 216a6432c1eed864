// SPDX-License-Identifier: Apache-2.0
// The dashboard. GET /v1/status and /metrics are asked for once a second, and are small; the
// lists only when the root of the table or the number of live nodes has changed, or every
// LISTS_MS: two equal roots are two equal tables. What happened is what differs between two
// readings. Only the rows of a list that are in sight are in the page.

const STATUS_MS = 1000, LISTS_MS = 3000, HISTORY = 300, EVENTS_MAX = 50, ROW_PX = 31, SPARE = 10;

const $ = (id) => document.getElementById(id);
const element = (name, text, className) => {
	const e = document.createElement(name);
	if (text !== undefined) e.textContent = text;
	if (className) e.className = className;
	return e;
};

// ---- how things are said

const count = (n) => n.toLocaleString("en");
const short = (id) => id.slice(0, 8);
const bytes = (n) => {
	let i = 0;
	for (; n >= 1024 && i < 5; i++) n /= 1024;
	return (n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][i];
};
const seconds = (s) =>
	s === null || s === undefined ? "–"
	: s < 0.001 ? "<1 ms"
	: s < 1 ? Math.round(s * 1000) + " ms"
	: s < 120 ? s.toFixed(s < 10 ? 1 : 0) + " s"
	: s < 7200 ? Math.round(s / 60) + " min"
	: s < 172800 ? Math.round(s / 3600) + " h"
	: Math.round(s / 86400) + " d";
const STATES = {
	alive: "good", ready: "good", up: "good", suspect: "warn", draining: "warn", dialling: "warn",
	hidden: "soft", left: "soft", dead: "bad", unreachable: "bad", banned: "bad", forgotten: "bad",
};
const state = (text) => element("span", text, STATES[text] || "soft");

const gpus = (hardware) => {
	const names = new Map();
	for (const g of hardware.gpus) names.set(g.name, (names.get(g.name) || 0) + 1);
	return [...names].map(([name, n]) => (n > 1 ? n + " × " : "") + name).join(", ") || "–";
};

// ---- lists

// A column: [heading, row => text or element, class].
const LISTS = {
	nodes: {
		columns: [
			["Name", (n) => n.name],
			["State", (n) => state(n.state)],
			["Workers", (n) => count(n.workers), "number"],
			["CPUs", (n) => n.hardware.cpus, "number wide"],
			["Memory", (n) => bytes(n.hardware.memory), "number wide"],
			["GPUs", (n) => gpus(n.hardware)],
			["Region", (n) => n.region || "–", "wide"],
			["Way", (n) => n.rtt_ms === null ? "–" : Math.round(n.rtt_ms) + " ms", "number wide"],
			["Seen", (n) => seconds(n.last_seen_s), "number wide"],
			["Version", (n) => n.version, "wide"],
			["Id", (n) => short(n.id), "wide"],
		],
	},
	services: {
		columns: [
			["Service", (s) => s.name],
			["Match", (s) => s.match || "any"],
			["Nodes", (s) => count(s.nodes), "number"],
			["Workers", (s) => count(s.workers), "number"],
			["Slots", (s) => count(s.slots), "number"],
		],
	},
	workers: {
		columns: [
			["Worker", (w) => w.id],
			["Node", (w) => w.node_name],
			["State", (w) => state(w.state)],
			["Services", (w) => w.services.map((s) => s.name).join(", ")],
			["Slots", (w) => w.services.length ? count(w.services[0].slots) : "–", "number"],
			["GPUs", (w) => gpus(w.hardware), "wide"],
		],
	},
	links: {
		columns: [
			["Node", (l) => l.name || "–"],
			["State", (l) => state(l.state)],
			["Way", (l) => l.rtt_ms === null ? "–" : Math.round(l.rtt_ms) + " ms", "number"],
			["Sent", (l) => bytes(l.sent_bytes), "number"],
			["Received", (l) => bytes(l.received_bytes), "number wide"],
			["For", (l) => seconds(l.since_s), "number wide"],
			["Address", (l) => l.address, "wide"],
		],
	},
};

const listMake = (name, list) => {
	const table = element("table"), head = element("thead"), row = element("tr");
	for (const [heading, , className] of list.columns) {
		const th = element("th", heading, className);
		th.scope = "col";
		row.append(th);
	}
	head.append(row);
	list.body = element("tbody");
	table.append(head, list.body);
	list.table = table;
	list.place = $("l-" + name);
	list.place.append(table);
	list.rows = [];
	list.words = "";
	list.place.addEventListener("scroll", () => requestAnimationFrame(() => listDraw(list)), { passive: true });
};

const listSet = (name, rows) => {
	LISTS[name].all = rows;
	listFilter(name);
};

const listFilter = (name) => {
	const list = LISTS[name], word = list.words.toLowerCase(), all = list.all || [];
	list.rows = word === "" ? all : all.filter((r) => JSON.stringify(r).toLowerCase().includes(word));
	$("n-" + name).textContent = word === "" ? count(all.length) : count(list.rows.length) + " of " + count(all.length);
	list.table.setAttribute("aria-rowcount", list.rows.length + 1);
	listDraw(list);
};

const space = (list, rows) => {
	const tr = element("tr", undefined, "space"), td = element("td");
	td.colSpan = list.columns.length;
	td.style.height = rows * ROW_PX + "px";
	tr.setAttribute("aria-hidden", "true");
	tr.append(td);
	return tr;
};

const listDraw = (list) => {
	const seen = Math.ceil(list.place.clientHeight / ROW_PX);
	const first = Math.max(0, Math.min(Math.floor(list.place.scrollTop / ROW_PX) - SPARE, list.rows.length - seen));
	const last = Math.min(list.rows.length, first + Math.max(seen, 20) + 2 * SPARE);
	const rows = [];

	if (first > 0) rows.push(space(list, first));
	for (let i = first; i < last; i++) {
		const tr = element("tr");
		tr.setAttribute("aria-rowindex", i + 2);
		for (const [, show, className] of list.columns) {
			const what = show(list.rows[i]), td = element("td", undefined, className);
			td.append(what);
			if (typeof what === "string" && what.length > 20) td.title = what;
			tr.append(td);
		}
		rows.push(tr);
	}
	if (last < list.rows.length) rows.push(space(list, list.rows.length - last));
	list.body.replaceChildren(...rows);
};

// ---- what happened

const happened = (text, className) => {
	const li = element("li"), time = element("time", new Date().toLocaleTimeString("en", { hour12: false }));
	time.dateTime = new Date().toISOString();
	li.append(time, element("span", text, className));
	$("l-events").prepend(li);
	while ($("l-events").children.length > EVENTS_MAX) $("l-events").lastChild.remove();
	$("e-none").hidden = true;
};

// Of two readings of a list: what came, changed and went, each in a line, or all in one.
const compare = (kind, was, now, key, name, look) => {
	const before = new Map(was.map((x) => [key(x), x])), lines = [];
	for (const x of now) {
		const y = before.get(key(x));
		before.delete(key(x));
		if (y === undefined) lines.push([kind + " " + name(x) + " came: " + look(x), STATES[look(x)]]);
		else if (look(x) !== look(y)) lines.push([kind + " " + name(x) + " is " + look(x) + ", was " + look(y), STATES[look(x)]]);
	}
	for (const x of before.values()) lines.push([kind + " " + name(x) + " is gone", "soft"]);
	if (lines.length > 10) happened(lines.length + " changes of a " + kind);
	else for (const line of lines) happened(...line);
};

// ---- charts

const history = { rate: [], p50: [], p99: [], queued: [], running: [] };
const remember = (name, value) => {
	history[name].push(value);
	if (history[name].length > HISTORY) history[name].shift();
};

const chart = (id, names, say) => {
	const canvas = $(id), scale = window.devicePixelRatio || 1;
	const w = canvas.clientWidth, h = canvas.clientHeight;
	const style = getComputedStyle(document.documentElement);
	const g = canvas.getContext("2d");
	const values = names.flatMap((n) => history[n].filter((v) => v !== null));
	const top = Math.max(...values, 1e-9);

	if (canvas.width !== w * scale) [canvas.width, canvas.height] = [w * scale, h * scale];
	g.setTransform(scale, 0, 0, scale, 0, 0);
	g.clearRect(0, 0, w, h);
	g.font = "11px system-ui, sans-serif";
	g.fillStyle = style.getPropertyValue("--soft");
	if (values.length) g.fillText(say(top), 2, 11);
	names.forEach((name, k) => {
		g.strokeStyle = style.getPropertyValue(k === 0 ? "--mark" : "--mark2");
		g.lineWidth = 1.5;
		g.setLineDash(k === 0 ? [] : [4, 3]);
		g.beginPath();
		let down = false;
		history[name].forEach((v, i, all) => {
			if (v === null) {
				down = false;
				return;
			}
			const x = w - (all.length - 1 - i) * (w / (HISTORY - 1)), y = h - 2 - (v / top) * (h - 18);
			if (down) g.lineTo(x, y);
			else g.moveTo(x, y);
			down = true;
		});
		g.stroke();
	});
	canvas.setAttribute("aria-label", canvas.nextElementSibling.textContent + ": now " +
		names.map((n) => say(history[n].at(-1))).join(" and ") + ", at most " + (values.length ? say(top) : "–"));
};

// ---- metrics

// NAME{LABELS} VALUE, a line each.
const metricsRead = (text) => {
	const all = new Map();
	for (const line of text.split(String.fromCharCode(10))) {
		const at = line.lastIndexOf(" ");
		if (at > 0 && line[0] !== "#") all.set(line.slice(0, at), Number(line.slice(at + 1)));
	}
	return all;
};
const DURATION = "ocf_query_duration_seconds";
// The counts of queries by how long they took, up to so many seconds.
const buckets = (metrics) => {
	const all = [], begin = DURATION + '_bucket{le="';
	for (const [name, n] of metrics)
		if (name.startsWith(begin)) all.push([Number(name.slice(begin.length, -2).replace("+Inf", "Infinity")), n]);
	return all.sort((a, b) => a[0] - b[0]);
};
// The time that a share of the queries between two readings took, as Prometheus reckons it.
const quantile = (now, before, share) => {
	const counts = now.map(([le, n], i) => [le, n - (before[i] ? before[i][1] : 0)]);
	const all = counts.length ? counts.at(-1)[1] : 0;
	let low = 0, under = 0;
	if (all <= 0) return null;
	for (const [le, n] of counts) {
		if (n >= share * all)
			return le === Infinity ? low : low + (le - low) * (share * all - under) / Math.max(n - under, 1);
		[low, under] = [le, n];
	}
	return low;
};

let readings = [];
const metricsTake = (text) => {
	const metrics = metricsRead(text), now = performance.now();
	const done = metrics.get(DURATION + "_count") || 0;
	readings.push({ now, done, buckets: buckets(metrics) });
	if (readings.length > 11) readings.shift();
	const last = readings.at(-2), first = readings[0];
	const rate = last ? (done - last.done) / ((now - last.now) / 1000) : 0;
	const p50 = quantile(readings.at(-1).buckets, first.buckets, 0.5);
	const p99 = quantile(readings.at(-1).buckets, first.buckets, 0.99);
	const slots = metrics.get("ocf_slots_busy") || 0;
	remember("rate", Math.max(0, rate));
	remember("p50", p50);
	remember("p99", p99);
	$("t-rate").textContent = rate < 10 ? rate.toFixed(1) : count(Math.round(rate));
	$("t-latency").textContent = p50 === null ? "–" : seconds(p50) + ", " + seconds(p99);
	$("t-slots").textContent = count(slots);
};

// ---- what the node says

const tile = (id, text, small) => {
	const dd = $(id);
	dd.textContent = text;
	if (small) dd.append(" ", element("small", small));
};

const statusTake = (s) => {
	document.title = s.node.name + " – OCF";
	$("self").textContent = s.node.name;
	$("version").textContent = "version " + s.node.version + ", up " + seconds(s.node.uptime_s);
	$("cluster").textContent = "cluster " + short(s.cluster.id);
	tile("t-nodes", count(s.cluster.alive), "of " + count(s.cluster.nodes));
	tile("t-workers", count(s.table.workers), s.table.services + (s.table.services === 1 ? " service" : " services"));
	tile("t-queued", count(s.queue.queued), s.queue.forwarded + " elsewhere");
	tile("t-table", count(s.table.rows), short(s.table.root));
	tile("t-bus", s.bus.state, s.bus.trouble || "");
	remember("queued", s.queue.queued);
	remember("running", s.queue.running);
};

const live = (className, text) => {
	const p = $("live");
	if (p.textContent !== text) p.textContent = text;
	p.className = className;
};

const ask = async (path, as) => {
	const reply = await fetch(path, { cache: "no-store" });
	if (!reply.ok) throw new Error(path + ": " + reply.status);
	return reply[as]();
};

let known = "", listed = -Infinity;
const listsTake = async (status) => {
	const now = [status.table.root, status.cluster.alive, status.cluster.nodes].join();
	const isNew = now !== known;
	if (!isNew && performance.now() - listed < LISTS_MS) return;
	listed = performance.now();
	const [nodes, links] = await Promise.all([ask("/v1/nodes", "json"), ask("/v1/peers", "json")]);
	if (LISTS.nodes.all) compare("node", LISTS.nodes.all, nodes, (n) => n.id, (n) => n.name, (n) => n.state);
	listSet("nodes", nodes);
	listSet("links", links);
	if (!isNew) return;
	const [services, workers] = await Promise.all([ask("/v1/services", "json"), ask("/v1/workers", "json")]);
	listSet("services", services);
	if (LISTS.workers.all)
		compare("worker", LISTS.workers.all, workers, (w) => w.node + w.id, (w) => w.id + " at " + w.node_name, (w) => w.state);
	listSet("workers", workers);
	known = now;
};

const turn = async () => {
	try {
		const [status, metrics] = await Promise.all([ask("/v1/status", "json"), ask("/metrics", "text")]);
		statusTake(status);
		metricsTake(metrics);
		await listsTake(status);
		live("good", "live");
		chart("c-rate", ["rate"], (v) => (v < 10 ? v.toFixed(1) : count(Math.round(v))) + " a second");
		chart("c-latency", ["p50", "p99"], seconds);
		chart("c-queue", ["queued", "running"], (v) => count(Math.round(v)));
	} catch (error) {
		live("bad", "no answer from this node; trying again");
	}
	setTimeout(turn, STATUS_MS);
};

for (const [name, list] of Object.entries(LISTS)) listMake(name, list);
for (const input of document.querySelectorAll("[data-find]"))
	input.addEventListener("input", () => {
		LISTS[input.dataset.find].words = input.value;
		listFilter(input.dataset.find);
	});
window.addEventListener("resize", () => Object.values(LISTS).forEach(listDraw));
turn();
