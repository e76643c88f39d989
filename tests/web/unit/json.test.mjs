import assert from "node:assert/strict";
import test from "node:test";

import { isObject, lines, member, NotJson, seen, tokens } from "../../../taskyard/web/static/core/json.js";

const texts = (text) => [...tokens(text)].map((token) => text.slice(token.start, token.end));

test("every token is a slice of the text, and nothing but white space is left out", () => {
  const text = ' {"seed": 9007199254740993, "b":[1.0,-2e+300,null, true ,"a\\"b\\\\"], "2":1, "1":2, "1":3}\n';
  assert.equal(texts(text).join(""), text.replaceAll(/[ \n]/g, ""));
  assert.ok(texts(text).includes("9007199254740993"));
});

test("a member's value is given byte for byte, at the top only", () => {
  const value = '{"payload": 1, "seed":9007199254740993,  "1": 1.0, "1": 1e400}';
  const text = `{"deep": {"payload": 2}, "payload":  ${value} , "z": "payload"}`;
  assert.equal(member(text, "payload"), value);
  assert.equal(member(text, "z"), '"payload"');
  assert.equal(member(text, "seed"), null);
  assert.equal(member('{"a":null}', "a"), "null");
});

test("lines hold the tokens as they stand, one value a line, brackets paired", () => {
  const found = lines('{"b":{"x":[],"y":[1,{}]},"a":"\\u0000<b>"}');
  const shown = found.map((line) => " ".repeat(line.depth) + line.tokens.map((token) => token.text).join(""));
  assert.deepEqual(shown, ["{", ' "b": {', '  "x": [],', '  "y": [', "   1,", "   {}", "  ]", " },", ' "a": "\\u0000<b>"', "}"]);
  assert.deepEqual(
    found.map((line) => line.end),
    [9, 7, 0, 6, 0, 0, 0, 0, 0, 0],
  );
  assert.equal(found[1].tokens[0].kind, "key");
});

test("what is no JSON is shown as it stands", () => {
  for (const text of ["<html>\noops", '{"a":', "[1}", '"never ends', "]", "{{", '{"a" 1} x'])
    assert.equal(lines(text).map((line) => line.tokens.map((token) => token.text).join("")).join("\n"), text);
  assert.throws(() => [...tokens("nul")], NotJson);
});

test("long and deep texts take no stack", () => {
  const long = `{"a":"${"x\\\\".repeat(1_000_000)}"}`;
  assert.equal(member(long, "a").length, 3_000_002);
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assert.equal(lines(deep).length, 2 * 100_000 - 1);
});

test("characters that cannot be seen are named", () => {
  assert.deepEqual(seen("a\u202eb\u0000"), ["a", "U+202E", "b", "U+0000", ""]);
  assert.deepEqual(seen("plain 文字 é"), ["plain 文字 é"]);
});

test("only an object may be a payload", () => {
  assert.deepEqual(['{"a":1}', " {} ", "[1]", "1", "{", '{"a":nope}', ""].map(isObject), [true, true, false, false, false, false, false]);
});
