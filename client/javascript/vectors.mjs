// Every golden message written and read by @msgpack/msgpack. client/conformance/run starts it: vectors.mjs VECTORS.
import { decode, encode } from "@msgpack/msgpack";
import { deepStrictEqual as same, ok } from "node:assert";
import { readFileSync, readdirSync } from "node:fs";

const folder = process.argv[2];
const WIDE = { useBigInt64: true }; // so a number beyond 32 bits has to be a bigint, or it is written as a float

// What msgpack is to write for the readable form: an object is an array of its values, and of one more when a later version wrote it.
function readable(value, surplus) {
  if (Array.isArray(value)) return value.map((each) => readable(each, surplus));
  if (typeof value === "number") return value > 0xffffffff ? BigInt(value) : value;
  if (typeof value === "string") {
    const rest = value.slice(value.indexOf(":") + 1);
    const kind = value.slice(0, value.indexOf(":"));
    if (kind === "uint") return BigInt(rest);
    return kind === "text" ? rest : Buffer.from(rest, kind === "hex" ? "hex" : "utf8");
  }
  if (value === null || typeof value === "boolean") return value;
  return [...Object.values(value).map((each) => readable(each, surplus)), ...(surplus ? [[0, "later"]] : [])];
}

const names = readdirSync(folder).filter((name) => name.endsWith(".json") && !name.startsWith("routing"));
for (const name of names) {
  const vector = JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
  for (const [surplus, field] of [[false, "hex"], [true, "surplus_hex"]]) {
    const frame = Buffer.from(vector[field].join(""), "hex");
    same(frame.readUInt32BE(), frame.length - 4, name);
    const body = frame.subarray(4).toString("hex");
    same(Buffer.from(encode(readable(vector.frame, surplus), WIDE)).toString("hex"), body, name);
    same(Buffer.from(encode(decode(frame.subarray(4), WIDE), WIDE)).toString("hex"), body, name);
  }
}
ok(names.length >= 46, "there are vectors");
console.log(`javascript: ${names.length} golden messages written and read`);
