// What json-stable-stringify makes of a value, and the id that @togedo/job-manager makes of it: a line of JSON in
// [type, value], a line out {text, id}. Values that JSON has not are written {"$date": ms}, {"$buffer": base64},
// {"$undefined": true}, {"$number": "-0" | "NaN" | ...}.
const crypto = require('crypto')
const readline = require('readline')

function revive (value) {
  if (Array.isArray(value)) return value.map(revive)
  if (value === null || typeof value !== 'object') return value
  if ('$date' in value) return new Date(value.$date)
  if ('$buffer' in value) return Buffer.from(value.$buffer, 'base64')
  if ('$undefined' in value) return undefined
  if ('$number' in value) return Number(value.$number)
  const made = {}
  for (const key of Object.keys(value)) {
    Object.defineProperty(made, key, { value: revive(value[key]), enumerable: true })
  }
  return made
}

// The package's algorithm: sorted keys, toJSON asked first, undefined left out of objects and null in arrays.
function stable (node) {
  if (node && node.toJSON && typeof node.toJSON === 'function') node = node.toJSON()
  if (node === undefined) return undefined
  if (typeof node !== 'object' || node === null) return JSON.stringify(node)
  if (Array.isArray(node)) return '[' + node.map(item => stable(item) || 'null').join(',') + ']'
  const pairs = []
  for (const key of Object.keys(node).sort()) {
    const value = stable(node[key])
    if (value) pairs.push(JSON.stringify(key) + ':' + value)
  }
  return '{' + pairs.join(',') + '}'
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const [type, value] = JSON.parse(line)
  const text = stable(revive(value))
  const id = crypto.createHash('sha1').update(type + text).digest('hex')
  process.stdout.write(JSON.stringify({ text: text === undefined ? null : text, id }) + '\n')
})
