// Makes stored.ndjson: data as the driver of the package stores them, and the ids that it makes of them.
// npm install bson@4.7.2 json-stable-stringify@1.0.1 && node fixture.js > stored.ndjson
const BSON = require('bson')
const stringify = require('json-stable-stringify')
const crypto = require('crypto')

const values = [
  undefined, null, true, false, 0, -0, 1, -1, 1.5, -2.25, 2147483647, 2147483648, -2147483648, -2147483649,
  1764265200000, 9007199254740991, -9007199254740991, 9007199254740993, 1e15, 123456789012345680000, 1e20, 1e21,
  1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e-6, 1e-7, 1.5e-7, 0.000001234, 0.1, 0.2 + 0.1, 1 / 3,
  100, 1e2, 4.35, 1e300, -1e-300, 12345678.9, 5e20,
  '', 'a', 'é', '日本', '\u2028\u2029', '\x00\x01\x1f\x7f\x80', '"\\/\b\f\n\r\t', '😀', '</script>', ' ',
  [], {}, [[]], [{}], [null], [undefined, 1], [1, [2, [3]]], { a: undefined }, { a: null }, { a: undefined, b: 1 },
  { a: { b: undefined, c: null } }, { b: 1, a: 2 }, { 10: 1, 9: 2, a: 3, A: 4 }, { é: 1, z: 2, '😀': 3, '\uffee': 4 },
  { '': 1 }, { 'a"b': 1 }, { nested: { z: [1, { y: 2, x: 3 }], a: null } }, { constructor: 1, toString: 2 },
  new Date(0), new Date(1764265200123), { date: new Date(-1) }, new Date('0099-01-02T03:04:05.006Z'),
  new Date('9999-12-31T23:59:59.999Z'), { at: [new Date(1e12)] },
  Buffer.from([1, 2, 255]), { b: Buffer.alloc(0) },
  new BSON.ObjectId('507f1f77bcf86cd799439011'), { ref: new BSON.ObjectId('507f1f77bcf86cd799439011') },
  BSON.Decimal128.fromString('1.50'),
  { to: 'ann@example.org', subject: 'Hello', tries: 3, at: 1764265200000, tags: ['a', 'b'], opts: { html: true } }
]
values.forEach((data, index) => {
  const type = ['mail', 'a', 'résumé', 'a1'][index % 4]
  const id = crypto.createHash('sha1').update(type + stringify(data)).digest('hex')
  const stored = BSON.serialize({ type, data }).toString('hex')
  process.stdout.write(JSON.stringify({ type, stored, id }) + '\n')
})
