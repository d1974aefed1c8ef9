// A Kvorum client for Node.js over @msgpack/msgpack alone, and every conformance case run through it.
// client/conformance/run starts it: conformance.mjs CASES READY.
import { decode, encode } from "@msgpack/msgpack";
import { deepStrictEqual as same, ok } from "node:assert";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";

const { cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ready = JSON.parse(process.argv[3]);
const WIDE = { useBigInt64: true }; // dots exceed 2^53: all 64-bit numbers are bigints
const PATIENCE_MS = 15000; // for a step that gives no time of its own, and for what comes about eventually

// A connection: requests in any number, answers in any order.
class Connection {
  constructor(endpoint, token) {
    [this.waiting, this.lastId, this.unread] = [new Map(), -1, Buffer.alloc(0)];
    const [host, port] = endpoint.split(":");
    this.socket = connect({ host, port, noDelay: true });
    this.socket.on("data", (bytes) => this.read(bytes));
    this.socket.on("error", () => {}); // "close" follows
    this.socket.on("close", () => this.waiting.forEach(({ fail }) => fail(new Error("connection lost"))));
    (this.greeting = this.ask([1, 1, 1, 0, Buffer.from(token)])).catch(() => {}); // whoever asks finds out
  }
  read(bytes) {
    this.unread = Buffer.concat([this.unread, bytes]);
    while (this.unread.length >= 4 && this.unread.length >= 4 + this.unread.readUInt32BE()) {
      const end = 4 + this.unread.readUInt32BE();
      const [tag, id, ...fields] = decode(this.unread.subarray(4, end), WIDE);
      this.unread = this.unread.subarray(end);
      this.waiting.get(Number(id))?.answer([tag, ...fields]);
      this.waiting.delete(Number(id));
    }
  }
  ask([tag, ...fields]) {
    return new Promise((answer, fail) => {
      if (this.socket.destroyed) return fail(new Error("connection lost"));
      this.waiting.set(++this.lastId, { answer, fail });
      const [length, body] = [Buffer.alloc(4), encode([tag, this.lastId, ...fields], WIDE)];
      length.writeUInt32BE(body.length);
      this.socket.write(Buffer.concat([length, body]));
    });
  }
}

// A cluster: one node at a time; when it is lost, the next, and what was in doubt again as a retry.
class Client {
  constructor(token, endpoints = ready.endpoints) { [this.token, this.endpoints] = [token, [...endpoints]]; }
  async ask(request, retry = false) {
    for (let left = this.endpoints.length * 4; ; left--) {
      this.connection ??= new Connection(this.endpoints[0], this.token);
      try {
        const [welcome, error] = await this.connection.greeting;
        return welcome !== 2 ? [1, error] : await this.connection.ask(request(retry));
      } catch (error) {
        if (error.message !== "connection lost" || left === 0) throw error;
        this.connection = undefined;
        this.endpoints.push(this.endpoints.shift());
        retry = true; // it may have been applied: the same operation, said to be a repetition
      }
    }
  }
}

function valueOf(text) {
  const [kind, ...rest] = text.split(":");
  if (kind === "operation") return randomBytes(16);
  if (kind === "repeat") return Buffer.alloc(Number(rest[0]), Buffer.from(rest[1], "hex"));
  return kind === "text" ? rest.join(":") : Buffer.from(rest.join(":"), kind === "hex" ? "hex" : "utf8");
}
const hex = (value) => Buffer.from(value).toString("hex");
const [client, contexts, operations] = [new Client(""), new Map(), new Map()];

function replacing({ replaces = "latest", alter }) {
  if (replaces === "latest" || replaces === "none") return [replaces === "latest" ? 1 : 2];
  const context = Buffer.from(contexts.get(replaces));
  if (alter) context[context.length - 1] ^= 1;
  return [3, context];
}
const plain = (value) =>
  Array.isArray(value) ? value.map(plain) : value instanceof Uint8Array ? hex(value) : value;
const native = (value) =>
  Array.isArray(value) ? value.map(native) : typeof value === "string" ? valueOf(value) : value;
async function request(step, after) {
  const bucket = Buffer.from(step.bucket ?? "default");
  const id = (step.operation && operations.get(step.operation)) ?? randomBytes(16);
  operations.set(step.operation, id);
  const options = (retry) =>
    [id, step.r ?? null, step.w ?? null, step.strict ?? false, true, step.deadline_ms ?? 10000, retry];
  const item = (item) => [valueOf(item.key), valueOf(item.value), replacing(item), randomBytes(16)];
  const items = Array(step.times ?? 1).fill(step.items ?? []).flat().map(item);
  const requests = {
    put: (retry) => [10, bucket, valueOf(step.key), valueOf(step.value), replacing(step), options(retry)],
    get: (retry) => [11, bucket, valueOf(step.key), options(retry)],
    delete: (retry) => [12, bucket, valueOf(step.key), replacing(step), options(retry)],
    list: (retry) => [13, bucket, valueOf(step.prefix), after ?? null, step.limit, false, options(retry)],
    put_batch: (retry) => [14, bucket, items, options(retry)],
    get_batch: (retry) => [15, bucket, step.keys.map(valueOf), options(retry)],
    update: (retry) => [16, bucket, valueOf(step.key), native(step.change), options(retry)],
    read: (retry) => [11, bucket, valueOf(step.key), options(retry)],
    create_bucket: () => [30, [bucket, [0, [step.rule ?? 1], null, null, null]]],
    send: () => native(step.frame),
  };
  const answer = await (step.token ? new Client(step.token, client.endpoints) : client).ask(requests[step.op], step.retry ?? false);
  if (step.op !== "list" || answer[0] !== 13 || answer[2] === null) return answer;
  const rest = await request(step, answer[2]); // the next page
  return [13, [...answer[1], ...rest[1]], null];
}

function trouble(step) {
  const signal = { pause_others: "SIGSTOP", resume: "SIGCONT", kill_coordinator: "SIGKILL" }[step.op];
  const serving = ready.nodes.filter((node) => node.client === client.endpoints[0]);
  const others = ready.nodes.filter((node) => !serving.includes(node));
  (signal === "SIGKILL" ? serving : others).forEach((node) => process.kill(node.pid, signal));
}
function compare([tag, ...fields], expect, failure = 1) {
  if (expect.error) {
    same(tag, failure, "an error");
    ok(expect.error.includes(fields[0][0]), `error ${fields[0]}`);
    return expect.detail === undefined || same(fields[0][1][0], expect.detail);
  }
  ok(tag !== failure, `error ${fields[0]}`);
  const isPut = !Array.isArray(fields[0]); // a put's first field is its context, a read's its values
  if (expect.outcomes) expect.outcomes.forEach((one, at) => compare(fields[0][at], one, 2));
  if (expect.values) same(fields[0].map((value) => hex(value[1])).sort(), expect.values.map(valueOf).map(hex).sort());
  if (expect.count !== undefined) same(fields[0].length, expect.count);
  if (expect.context !== undefined) same(fields[isPut ? 0 : 1] !== null, expect.context);
  if (expect.complete !== undefined) same(fields[2], expect.complete);
  if (expect.replaced !== undefined) same(fields[2].length, expect.replaced);
  if (expect.acked_owners !== undefined) ok(fields[3] >= expect.acked_owners);
  if (expect.retry_checked !== undefined) same(fields[tag === 16 ? 4 : 6], expect.retry_checked);
  if (expect.merged !== undefined) same(plain(fields[tag === 16 ? 5 : 0]), plain(native(expect.merged)));
  if (expect.keys) same(fields[0].map((item) => hex(item[0])), expect.keys.map(valueOf).map(hex));
  if (expect.siblings) same(fields[0].map((item) => item[1]), expect.siblings);
}
function differs(answer, step) {
  try { compare(answer, step.expect); } catch { return true; }
  return false;
}

let passed = 0;
for (const { name, steps } of cases) {
  try {
    for (const step of steps) {
      if (!step.expect) trouble(step);
      for (let times = !step.expect ? 0 : step.items ? 1 : (step.times ?? 1); times > 0; times--) {
        const begun = Date.now();
        let answer = await request(step);
        while (step.eventually && Date.now() - begun < PATIENCE_MS && differs(answer, step)) answer = await request(step);
        ok(Date.now() - begun <= (step.expect.within_ms ?? PATIENCE_MS), "in time");
        compare(answer, step.expect);
        if (step.save) contexts.set(step.save, step.op === "put" ? answer[1] : answer[2]);
      }
    }
    passed++;
  } catch (error) {
    console.error(`javascript: ${name}: ${error.message}`);
  }
}
console.log(`javascript: ${passed} of ${cases.length} conformance cases passed`);
process.exit(passed === cases.length ? 0 : 1);
