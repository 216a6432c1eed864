// SPDX-License-Identifier: Apache-2.0
// What a program does with npm's `openai`: one call, and what came of it as a line.
//
// usage: client.js URL CALL [ARG…]
const OpenAI = require("openai");
const [url, call, ...args] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
const message = (content) => [{ role: "user", content }];

const calls = {
	async models() {
		const ids = [];
		for await (const model of client.models.list()) ids.push(model.id);
		return ids.sort().join(" ");
	},
	async model(id) {
		return (await client.models.retrieve(id)).id;
	},
	async chat(model, text) {
		const reply = await client.chat.completions.create({ model, messages: message(text) });
		return reply.choices[0].message.content;
	},
	// A picture makes a request large, and Python's client writes the model last.
	async large(model, bytes) {
		const picture = "data:image/png;base64," + "A".repeat(Number(bytes));
		const content = [{ type: "image_url", image_url: { url: picture } }];
		const messages = [...message(content), ...message("large")];
		const reply = await client.chat.completions.create({ messages, model });
		return reply.choices[0].message.content;
	},
	async stream(model, text) {
		const stream = await client.chat.completions.create({
			model, messages: message(text), stream: true,
		});
		const pieces = [];
		for await (const chunk of stream) pieces.push(chunk.choices[0].delta.content);
		return pieces.length + ": " + pieces.join("");
	},
	// Leaves after so many pieces.
	async leave(model, count) {
		const stream = await client.chat.completions.create({
			model, messages: message("x"), stream: true,
		});
		let n = 0;
		for await (const _ of stream) if (++n === Number(count)) break;
		return "left";
	},
	// Leaves before anything has come.
	async abort(model, ms) {
		const abort = new AbortController();
		setTimeout(() => abort.abort(), Number(ms));
		await client.chat.completions.create({ model, messages: message("x") }, { signal: abort.signal });
	},
	async embed(model, input) {
		return JSON.stringify((await client.embeddings.create({
			model, input, encoding_format: "float",
		})).data[0].embedding);
	},
	async complete(model, prompt) {
		return (await client.completions.create({ model, prompt })).choices[0].text;
	},
	async respond(model, input) {
		return (await client.responses.create({ model, input })).output_text;
	},
};

calls[call](...args).then(
	(line) => console.log(line),
	(error) => console.log([error.constructor.name, error.status, error.type, error.code].join(" ")),
);
