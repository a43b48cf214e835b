// The key derivation suite kh1 in JavaScript, on node:crypto alone. It was written from the specification
// and not from the service's own code, so that the golden vectors rest on two independent readings.
//
// An entry is {version, masterKey, saltKey, check, status}: secrets as Buffers, check as text ("3-9f86d081884c7d65").
// A ring is an array of entries. References and tags are Buffers of 16 bytes.

import { createHmac, timingSafeEqual } from 'node:crypto'

export const MAX_VERSION = 2 ** 32 - 1
export const MAX_NAMESPACE_BYTES = 128
export const MAX_DOCUMENT_ID_BYTES = 1024
export const LONE_SURROGATE = /\p{Surrogate}/u

// HKDF, RFC 5869, with HMAC-SHA-256. Not crypto.hkdfSync: it has no separate Expand, and refuses an info of
// more than 1024 bytes, which a long document id exceeds.

const hmac = (key, message) => createHmac('sha256', key).update(message).digest()

export const hkdfExtract = (salt, inputKey) => hmac(salt, inputKey)

export function hkdfExpand(pseudorandomKey, info, length) {
  let block = Buffer.alloc(0)
  let output = Buffer.alloc(0)
  for (let counter = 1; output.length < length; counter++) {
    block = hmac(pseudorandomKey, Buffer.concat([block, info, Buffer.of(counter)]))
    output = Buffer.concat([output, block])
  }
  return output.subarray(0, length)
}

// Derivation

export function derive({ version, masterKey, saltKey }, reference, namespace, documentId) {
  const context = Buffer.concat([
    u32(version),
    exactly(16, reference),
    lengthPrefixed(utf8(namespace, 0, MAX_NAMESPACE_BYTES)),
    lengthPrefixed(utf8(documentId, 1, MAX_DOCUMENT_ID_BYTES)),
  ])
  const salt = hkdfExpand(exactly(32, saltKey), labelled('kh1 salt', reference), 32)
  const pseudorandomKey = hkdfExtract(salt, exactly(32, masterKey))
  return {
    salt,
    key: hkdfExpand(pseudorandomKey, labelled('kh1 document key', context), 32),
    tag: hkdfExpand(pseudorandomKey, labelled('kh1 hint tag', context), 16),
  }
}

export function checkValue({ version, masterKey, saltKey }) {
  const pseudorandomKey = hkdfExtract(exactly(32, saltKey), exactly(32, masterKey))
  const check = hkdfExpand(pseudorandomKey, labelled('kh1 check value', u32(version)), 8)
  return `${version}-${check.toString('hex')}`
}

export const fingerprint = check => check.split('-')[1].slice(0, 8)

const labelled = (label, bytes) => Buffer.concat([Buffer.from(label, 'ascii'), bytes])

const lengthPrefixed = bytes => Buffer.concat([u32(bytes.length), bytes])

function u32(number) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

function exactly(length, bytes) {
  if (bytes.length !== length) throw new RangeError(`${bytes.length} bytes instead of ${length}`)
  return bytes
}

function utf8(text, minimum, maximum) {
  // Buffer.from would turn a lone surrogate into U+FFFD, and so two different ids into one.
  if (LONE_SURROGATE.test(text)) throw new TypeError('text with a lone surrogate')
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length < minimum || bytes.length > maximum) throw new RangeError(`text of ${bytes.length} bytes`)
  return bytes
}

// Salt reference: UUIDv7, RFC 9562 section 5.7. Six of the 80 random bits give way to the version and the variant.

export function newReference(milliseconds, random) {
  const reference = Buffer.alloc(16)
  reference.writeUIntBE(milliseconds, 0, 6)
  exactly(10, random).copy(reference, 6)
  reference[6] = 0x70 | (reference[6] & 0x0f)
  reference[8] = 0x80 | (reference[8] & 0x3f)
  return reference
}

export const referenceMilliseconds = reference => reference.readUIntBE(0, 6)

export const referenceText = reference =>
  reference.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

// Hint

export class Refusal extends Error {}

export const formatHint = (check, reference, tag) =>
  `kh1.${check.split('-')[0]}-${fingerprint(check)}.${referenceText(reference)}.${tag.toString('base64url')}`

// The last character of a tag carries two bits of it; the four others are zero in A, Q, g and w only.
const HINT = new RegExp([
  /^kh1\.([1-9][0-9]{0,9})-([0-9a-f]{8})\./,
  /([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\./,
  /([A-Za-z0-9_-]{21}[AQgw])$/,
].map(part => part.source).join(''))

export function parseHint(hint) {
  const match = HINT.exec(hint)
  if (!match || Number(match[1]) > MAX_VERSION) throw new Refusal('malformed-hint')
  return {
    version: Number(match[1]),
    fingerprint: match[2],
    reference: Buffer.from(match[3].replaceAll('-', ''), 'hex'),
    tag: Buffer.from(match[4], 'base64url'),
  }
}

// Issue and resolve. Times are in milliseconds; a maximum age of 0 means that hints never expire.

export function issue(entry, reference, namespace, documentId) {
  const { key, tag } = derive(entry, reference, namespace, documentId)
  return { key: key.toString('base64url'), hint: formatHint(entry.check, reference, tag) }
}

export function resolve(ring, { namespace, documentId, hint, now, maxAge }) {
  const { version, fingerprint, reference, tag } = parseHint(hint)
  const entry = findEntry(ring, version, fingerprint)
  if (entry.status === 'disabled' || entry.status === 'destroyed') throw new Refusal(entry.status)
  const derived = derive(entry, reference, namespace, documentId)
  if (!timingSafeEqual(derived.tag, tag)) throw new Refusal('tag-mismatch')
  if (maxAge > 0 && now - referenceMilliseconds(reference) > maxAge) throw new Refusal('expired')
  return derived.key.toString('base64url')
}

function findEntry(ring, version, wanted) {
  const numbered = ring.filter(entry => entry.version === version)
  if (numbered.length === 0) throw new Refusal('unknown-version')
  const entry = numbered.find(({ check }) => fingerprint(check) === wanted)
  if (!entry) throw new Refusal('unknown-fingerprint')
  return entry
}

// The text of a vector file: ASCII alone, so that no editor normalises an id.

export const vectorText = vectors =>
  JSON.stringify(vectors, null, 2).replace(/[\u007f-\uffff]/g, unit =>
    '\\u' + unit.charCodeAt(0).toString(16).padStart(4, '0')) + '\n'
