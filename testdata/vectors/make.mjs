// Prints golden vectors for the suite kh1: node testdata/vectors/make.mjs
//
// It never writes kh1.json. Golden vectors are never regenerated to make a test pass: a value that differs is a
// defect of the implementation that differs, or a new suite. Generating is for adding cases, at the end of their
// list, and the result is compared with the file before it takes its place.
//
// The expected error of every refused case is written by hand. Non-ASCII text is written in escapes.

import { strict as assert } from 'node:assert'
import { createHash } from 'node:crypto'
import {
  checkValue, derive, fingerprint, formatHint, issue, newReference, referenceText, resolve, vectorText,
} from './kh1.mjs'

const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR
const MOMENT = Date.UTC(2025, 8, 1, 9, 30)
const LATEST = 2 ** 48 - 1

const valid = []
const rings = {}
const refused = []

// Everything that looks random is the SHA-256 of a label.

const random = label => createHash('sha256').update(`kh1 vectors: ${label}`).digest()
const randomReference = (label, milliseconds = MOMENT) =>
  newReference(milliseconds, random(`reference ${label}`).subarray(0, 10))

const withCheck = entry => ({ ...entry, check: checkValue(entry) })
const newEntry = (version, label, status = 'enabled') =>
  withCheck({ version, masterKey: random(`master key ${label}`), saltKey: random(`salt key ${label}`), status })

function search(label, candidate, wanted) {
  for (let attempt = 0; ; attempt++) {
    const found = candidate(`${label} ${attempt}`)
    if (wanted(found)) return found
  }
}

const base64url = bytes => bytes.toString('base64url')
const filler = length => '0123456789abcdefghijklmnopqrstuvwxyz-'.repeat(length / 37 + 1).slice(0, length)

// Valid cases

const STANDARD = {
  entry: newEntry(1, 'standard'), reference: randomReference('standard'), namespace: '', documentId: 'doc',
}

function accept(comment, changes) {
  const { entry, reference, namespace, documentId } = { ...STANDARD, ...changes }
  const { salt, key, tag } = derive(entry, reference, namespace, documentId)
  valid.push({
    id: valid.length + 1,
    comment,
    version: entry.version,
    masterKey: entry.masterKey.toString('base64'),
    saltKey: entry.saltKey.toString('base64'),
    reference: referenceText(reference),
    namespace,
    documentId,
    salt: salt.toString('hex'),
    key: base64url(key),
    tag: tag.toString('hex'),
    check: entry.check,
    hint: formatHint(entry.check, reference, tag),
  })
}

accept('the ordinary case: no namespace, a short ASCII id', {})
accept('the ordinary case with a namespace', { namespace: 'tenant-a' })

for (const version of [
  2, 9, 10, 99, 100, 255, 256, 65535, 65536, 2 ** 24 - 1, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1,
]) accept(`version ${version}, the material of case 1`, { entry: newEntry(version, 'standard') })

const another = newEntry(1, 'another')
const madeOf = (masterKey, saltKey) => withCheck({ version: 1, masterKey, saltKey })
for (const [comment, entry] of [
  ['another master key', madeOf(another.masterKey, STANDARD.entry.saltKey)],
  ['another salt key', madeOf(STANDARD.entry.masterKey, another.saltKey)],
  ['the two secrets exchanged', madeOf(STANDARD.entry.saltKey, STANDARD.entry.masterKey)],
]) accept(`material of case 1, but ${comment}`, { entry })

for (const [comment, wanted] of [
  ['both secrets begin with a zero byte', ({ masterKey, saltKey }) => masterKey[0] + saltKey[0] === 0],
  ['both secrets end with a zero byte', ({ masterKey, saltKey }) => masterKey[31] + saltKey[31] === 0],
  ['a fingerprint of digits alone', ({ check }) => /^1-[1-9][0-9]{7}/.test(check)],
  ['a fingerprint that begins with zeros', ({ check }) => /^1-00/.test(check)],
  ['a fingerprint that looks like a float', ({ check }) => /^[1-9][0-9]*e[0-9]+$/.test(fingerprint(check))],
]) accept(comment, { entry: search(comment, label => newEntry(1, label), wanted) })

const zeros = Buffer.alloc(10)
const ones = Buffer.alloc(10, 0xff)
for (const [comment, milliseconds, bits] of [
  ['minimum milliseconds, all random bits zero', 0, zeros],
  ['minimum milliseconds, all random bits one', 0, ones],
  ['maximum milliseconds, all random bits zero', LATEST, zeros],
  ['maximum milliseconds, all random bits one', LATEST, ones],
  ['one millisecond after the epoch', 1, zeros],
  ['milliseconds 2^31', 2 ** 31, zeros],
  ['milliseconds 2^32 - 1', 2 ** 32 - 1, zeros],
  ['milliseconds 2^32', 2 ** 32, zeros],
  ['milliseconds 2^47', 2 ** 47, zeros],
  ['rand_a all one, rand_b all zero: variant digit 8', MOMENT, Buffer.from('0fff0000000000000000', 'hex')],
  ['rand_a all zero, rand_b all one: variant digit b', MOMENT, Buffer.from('00003fffffffffffffff', 'hex')],
  ['variant digit 9', MOMENT, Buffer.from('00001000000000000000', 'hex')],
  ['variant digit a', MOMENT, Buffer.from('00002000000000000000', 'hex')],
]) accept(`reference: ${comment}`, { reference: newReference(milliseconds, bits) })

for (const [comment, wanted] of [
  ['a tag whose last character is A', ({ tag }) => base64url(tag).endsWith('A')],
  ['a tag whose last character is Q', ({ tag }) => base64url(tag).endsWith('Q')],
  ['a tag whose last character is g', ({ tag }) => base64url(tag).endsWith('g')],
  ['a tag whose last character is w', ({ tag }) => base64url(tag).endsWith('w')],
  ['a tag that begins with - and holds _', ({ tag }) => /^-.*_/.test(base64url(tag))],
  ['a tag that begins with a zero byte', ({ tag }) => tag[0] === 0],
  ['a key that begins with _ and holds -', ({ key }) => /^_.*-/.test(base64url(key))],
  ['a key that begins with a zero byte', ({ key }) => key[0] === 0],
  ['a salt that begins with a zero byte', ({ salt }) => salt[0] === 0],
  ['a salt that ends with a zero byte', ({ salt }) => salt[31] === 0],
]) {
  const outcome = reference => derive(STANDARD.entry, reference, STANDARD.namespace, STANDARD.documentId)
  accept(comment, { reference: search(comment, randomReference, reference => wanted(outcome(reference))) })
}

// Besides the limits: 10, 11, 18, 19, 74, 75, 82 and 83 put the HMAC input of the key (45 bytes and the id, after the
// pad block) at 55, 56, 63 and 64 bytes modulo 64, where SHA-256 padding spills over; 14, 15, 22, 23, 78, 79, 86 and
// 87 do so for the tag (41 bytes and the id).
const LENGTHS = { entry: newEntry(3, 'lengths'), reference: randomReference('lengths') }
for (const length of [
  1, 2, 10, 11, 14, 15, 18, 19, 22, 23, 55, 56, 63, 64, 65, 74, 75, 78, 79, 82, 83, 86, 87, 127, 128, 129, 255, 256,
  257, 511, 512, 1022, 1023, 1024,
]) accept(`an id of ${length} bytes`, { ...LENGTHS, documentId: filler(length) })
for (const length of [0, 1, 2, 55, 56, 63, 64, 65, 127, 128]) {
  accept(`a namespace of ${length} bytes`, { ...LENGTHS, namespace: filler(length), documentId: 'document' })
}
accept('the longest namespace with the shortest id', { ...LENGTHS, namespace: filler(128), documentId: 'd' })
accept('the longest namespace with the longest id', { ...LENGTHS, namespace: filler(128), documentId: filler(1024) })

const PAIRS = { entry: newEntry(12, 'pairs'), reference: randomReference('pairs') }
for (const [comment, namespace, documentId] of [
  ['namespace a, id bc', 'a', 'bc'],
  ['namespace ab, id c: the same bytes as the case before, moved', 'ab', 'c'],
  ['no namespace, id abc: the same bytes again', '', 'abc'],
  ['namespace and id exchanged: x, y', 'x', 'y'],
  ['namespace and id exchanged: y, x', 'y', 'x'],
  ['namespace equal to the id', 'x', 'x'],
  ['a namespace that holds a length prefix', 'a\0\0\0\x01b', 'c'],
  ['an id that holds a length prefix', 'a', 'b\0\0\0\x01c'],
  ['no namespace, an id that begins like one of one byte', '', '\0\0\0\x01a'],
  ['a namespace of U+0000', '\0', 'c'],
  ['a namespace of one space', ' ', 'c'],
  ['a namespace in upper case', 'TENANT', 'c'],
  ['the same namespace in lower case', 'tenant', 'c'],
  ['a namespace in NFC: U+00E9', '\u00e9', 'c'],
  ['the same namespace in NFD: e, U+0301', 'e\u0301', 'c'],
  ['a namespace of 128 bytes in 64 characters', '\u00e9'.repeat(64), 'c'],
  ['a namespace of 128 bytes in 32 emoji', '\u{1f600}'.repeat(32), 'c'],
  ['a namespace of 128 bytes in characters of three bytes and one', '\u20ac'.repeat(42) + 'ab', 'c'],
]) accept(comment, { ...PAIRS, namespace, documentId })

const FAMILY = '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466}'
const TEXTS = { entry: newEntry(1, 'texts'), reference: randomReference('texts'), namespace: 'texts' }
for (const [comment, documentId] of [
  ['1024 bytes in 512 characters of two bytes', '\u00e9'.repeat(512)],
  ['1024 bytes in characters of three bytes and one', '\u20ac'.repeat(341) + 'x'],
  ['1024 bytes in 256 characters of four bytes', '\u{1f600}'.repeat(256)],
  ['1024 bytes in ZWJ sequences', FAMILY.repeat(40) + 'x'.repeat(1024 - 40 * Buffer.byteLength(FAMILY))],
  ['one emoji', '\u{1f600}'],
  ['ZWJ sequence: a family of four', FAMILY],
  ['the same family without the joiners', FAMILY.replaceAll('\u200d', '')],
  ['emoji with a skin tone', '\u{1f44d}\u{1f3fd}'],
  ['emoji with variation selector U+FE0F', '\u2764\ufe0f'],
  ['the same emoji without it', '\u2764'],
  ['a flag: two regional indicators', '\u{1f1e8}\u{1f1ed}'],
  ['NFC: caf, U+00E9', 'caf\u00e9'],
  ['NFD: cafe, U+0301', 'cafe\u0301'],
  ['Hangul NFC: U+AC01', '\uac01'],
  ['Hangul NFD: U+1100, U+1161, U+11A8', '\u1100\u1161\u11a8'],
  ['Angstrom sign U+212B, which NFC would turn into U+00C5', '\u212b'],
  ['U+00C5', '\u00c5'],
  ['ligature U+FB01, which NFKC would turn into fi', '\ufb01'],
  ['fi', 'fi'],
  ['combining marks in an order that normalisation would change', 'a\u0301\u0323'],
  ['sharp s U+00DF', 'stra\u00dfe'],
  ['upper case with capital sharp s U+1E9E', 'STRA\u1e9eE'],
  ['Turkish dotted capital and dotless small i', '\u0130\u0131'],
  ['U+0000 alone', '\0'],
  ['two U+0000', '\0\0'],
  ['U+0000 inside', 'a\0b'],
  ['U+0000 at the end', 'a\0'],
  ['U+0000 at the beginning', '\0a'],
  ['no U+0000: sibling of the cases before', 'a'],
  ['one space', ' '],
  ['leading space', ' doc'],
  ['trailing space', 'doc '],
  ['line feed at the end', 'doc\n'],
  ['carriage return and line feed inside', 'a\r\nb'],
  ['line feed inside', 'a\nb'],
  ['tab', '\t'],
  ['control characters of ASCII', '\x01\x02\x03\x04\x05\x06\x07\b\v\f\x0e\x0f\x10\x1b\x1f\x7f'],
  ['C1 control U+0085', '\u0085'],
  ['no-break space U+00A0', '\u00a0'],
  ['zero width space U+200B', 'a\u200bb'],
  ['soft hyphen U+00AD', 'a\u00adb'],
  ['line and paragraph separators U+2028, U+2029', '\u2028\u2029'],
  ['Arabic', '\u0645\u0633\u062a\u0646\u062f'],
  ['Hebrew with Latin and digits', '\u05de\u05e1\u05de\u05da doc 12'],
  ['bidirectional override U+202E', 'a\u202etxt.exe'],
  ['Han, Hiragana', '\u6587\u66f8\u306e'],
  ['Devanagari with conjunct', '\u0915\u094d\u0937'],
  ['Cyrillic that looks like doc', 'd\u043e\u0441'],
  ['full-width letters', '\uff44\uff4f\uff43'],
  ['U+FEFF at the beginning', '\ufeffdoc'],
  ['U+FEFF inside', 'do\ufeffc'],
  ['U+FEFF alone', '\ufeff'],
  ['U+FFFD', '\ufffd'],
  ['two U+FFFD', '\ufffd\ufffd'],
  ['noncharacter U+FFFF', '\uffff'],
  ['noncharacter U+FFFE', '\ufffe'],
  ['noncharacter U+FDD0', '\ufdd0'],
  ['last character of one byte and first of two', '\u007f\u0080'],
  ['last character of two bytes and first of three', '\u07ff\u0800'],
  ['the characters around the surrogates', '\ud7ff\ue000'],
  ['last character of three bytes and first of four', '\uffff\u{10000}'],
  ['the last code point U+10FFFF', '\u{10ffff}'],
  ['astral letters', '\u{1d41d}\u{1d428}\u{1d41c}'],
  ['JSON object', '{"documentId":"a","keyHint":null}'],
  ['JSON string with its quotes', '"doc"'],
  ['quotes, backslashes and slashes', '"\\/\'`'],
  ['six ASCII characters that spell an escape', '\\u0000'],
  ['HTML', '<a href="x">&amp;</a>'],
  ['percent signs', '%00%2F%'],
  ['null', 'null'],
  ['0', '0'],
  ['00', '00'],
  ['1e3', '1e3'],
  ['URL', 'https://example.com/a/../b?c=d&e#f'],
  ['path', '../../etc/passwd'],
  ['UUID in upper case', '0198C2F4-6A31-7CC0-9F3E-5D0A7B1C2D3E'],
  ['UUID in lower case', '0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e'],
  ['a label of the derivation', 'kh1 document key'],
  ['a hint', 'kh1.3-9f86d081.0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e.q1w2e3r4t5y6u7i8o9p0aA'],
]) accept(comment, { ...TEXTS, documentId })

// Rings. The entries with their material stay at hand here, to make hints of disabled and destroyed ones.
// The fingerprint of the enabled entry of the first ring holds letters, which have an upper case.

const entries = {
  rotation: [
    newEntry(1, 'rotation 1', 'destroyed'),
    newEntry(2, 'rotation 2', 'disabled'),
    newEntry(3, 'rotation 3', 'resolve_only'),
    search('rotation 4', label => newEntry(4, label), ({ check }) => /^4-[0-9]{2}[a-f]{2}/.test(check)),
  ],
  conflict: [
    newEntry(1, 'conflict 1 a', 'disabled'),
    newEntry(1, 'conflict 1 b'),
    newEntry(2, 'conflict 2 a', 'resolve_only'),
    newEntry(2, 'conflict 2 b'),
    newEntry(2, 'conflict 2 c', 'destroyed'),
  ],
  twelve: Array.from({ length: 12 }, (_, index) => newEntry(index + 1, `twelve ${index + 1}`)),
  replica: [1, 2, 3, 4].map(version => newEntry(version, `replica ${version}`)),
  single: [newEntry(1, 'single')],
  stopped: [newEntry(1, 'stopped', 'disabled')],
  tombstone: [newEntry(1, 'tombstone', 'destroyed')],
}
for (const [name, list] of Object.entries(entries)) {
  rings[name] = list.map(({ version, masterKey, saltKey, check, status }) => ({
    version,
    masterKey: status === 'destroyed' ? '' : masterKey.toString('base64'),
    saltKey: status === 'destroyed' ? '' : saltKey.toString('base64'),
    check,
    status,
  }))
}

// Refused cases. Each begins with a request that its ring would grant if every entry were enabled, and changes it:
// the request, its hint, or one part of the hint.

function granted(ring, entry, { namespace = 'team', documentId = 'minutes', label = '', milliseconds } = {}) {
  const referenceBytes = randomReference(`${ring} ${entry.check} ${label}`, milliseconds)
  const { hint } = issue(entry, referenceBytes, namespace, documentId)
  const [suite, entryPart, reference, tag] = hint.split('.')
  const [version, fingerprint] = entryPart.split('-')
  const request = { ring, namespace, documentId, now: MOMENT + HOUR, maxAge: 0, hint }
  return { ...request, entry, referenceBytes, suite, version, fingerprint, reference, tag }
}

function refuse(error, comment, base, changes) {
  const allEnabled = entries[base.ring].map(entry => ({ ...entry, status: 'enabled' }))
  assert.ok(resolve(allEnabled, base), comment)
  for (const name in changes) assert.notEqual(changes[name], base[name] ?? assert.fail(name), comment)

  const { suite, version, fingerprint, reference, tag, ...request } = { ...base, ...changes }
  const { ring, namespace, documentId, now, maxAge } = request
  const hint = changes.hint ?? `${suite}.${version}-${fingerprint}.${reference}.${tag}`
  refused.push({ id: 1001 + refused.length, comment, ring, namespace, documentId, now, maxAge, hint, error })
}

// The tag that an entry would give the base's request.
function tagWith(entry, { referenceBytes, namespace, documentId }, changes) {
  const request = { namespace, documentId, ...changes }
  return base64url(derive(entry, referenceBytes, request.namespace, request.documentId).tag)
}

function flipBit(bytes, index, mask) {
  const flipped = Buffer.from(bytes)
  flipped[index] ^= mask
  return flipped
}

const [DESTROYED, DISABLED, RESOLVE_ONLY, ENABLED] = entries.rotation
// The tag of the plain case holds both - and _, which the standard alphabet spells otherwise.
const plain = search('plain', label => granted('rotation', ENABLED, { label }), ({ tag }) => /-.*_/.test(tag))
const old = granted('rotation', RESOLVE_ONLY)
const disabled = granted('rotation', DISABLED)
const destroyed = granted('rotation', DESTROYED)
const single = granted('single', entries.single[0])

// Tag mismatch: another document
for (const [comment, documentId, other] of [
  ['another document', 'minutes', 'agenda'],
  ['first letter in upper case', 'minutes', 'Minutes'],
  ['all in upper case', 'minutes', 'MINUTES'],
  ['trailing space', 'minutes', 'minutes '],
  ['leading space', 'minutes', ' minutes'],
  ['trailing space missing', 'minutes ', 'minutes'],
  ['trailing line feed', 'minutes', 'minutes\n'],
  ['trailing U+0000', 'minutes', 'minutes\0'],
  ['trailing U+0000 missing', 'minutes\0', 'minutes'],
  ['differs only after a U+0000', 'minutes\0a', 'minutes\0b'],
  ['prefix: shorter by one byte', 'minutes', 'minute'],
  ['longer by one byte', 'minutes', 'minutes2'],
  ['given twice', 'minutes', 'minutesminutes'],
  ['trailing slash', 'minutes', 'minutes/'],
  ['leading zero', '7', '07'],
  ['NFD sibling of an NFC id', 'caf\u00e9', 'cafe\u0301'],
  ['NFC sibling of an NFD id', 'cafe\u0301', 'caf\u00e9'],
  ['NFC sibling of Hangul in NFD', '\u1100\u1161\u11a8', '\uac01'],
  ['NFC of the Angstrom sign', '\u212b', '\u00c5'],
  ['NFKC of a ligature', '\ufb01le', 'file'],
  ['full-width sibling', 'doc', '\uff44\uff4f\uff43'],
  ['Cyrillic look-alike', 'doc', 'd\u043ec'],
  ['case folding of sharp s', 'stra\u00dfe', 'strasse'],
  ['Kelvin sign for k', 'k', '\u212a'],
  ['U+FEFF at the beginning missing', '\ufeffdoc', 'doc'],
  ['zero width space added', 'doc', 'do\u200bc'],
  ['joiners missing', FAMILY, FAMILY.replaceAll('\u200d', '')],
  ['variation selector missing', '\u2764\ufe0f', '\u2764'],
  ['one U+FFFD for a noncharacter', '\uffff', '\ufffd'],
  ['one U+FFFD for an astral character', '\u{1f600}', '\ufffd'],
  ['percent-encoded', 'a b', 'a%20b'],
  ['escape spelled out', 'a\0', 'a\\u0000'],
  ['1024 bytes that differ in the last', filler(1023) + 'x', filler(1023) + 'y'],
  ['1023 of 1024 bytes', filler(1024), filler(1023)],
]) refuse('tag-mismatch', `document: ${comment}`, granted('rotation', ENABLED, { documentId }), { documentId: other })

// Tag mismatch: another namespace
for (const [comment, namespace, other] of [
  ['another namespace', 'team', 'group'],
  ['absent instead of present', 'team', ''],
  ['present instead of absent', '', 'team'],
  ['upper case', 'team', 'TEAM'],
  ['trailing space', 'team', 'team '],
  ['trailing U+0000', 'team', 'team\0'],
  ['shorter by one byte', 'team', 'tea'],
  ['NFD sibling of an NFC namespace', '\u00e9quipe', 'e\u0301quipe'],
  ['128 bytes that differ in the last', filler(127) + 'x', filler(127) + 'y'],
]) refuse('tag-mismatch', `namespace: ${comment}`, granted('rotation', ENABLED, { namespace }), { namespace: other })
for (const [comment, namespace, documentId, otherNamespace, otherDocument] of [
  ['a byte moved from the id to the namespace', 'a', 'bc', 'ab', 'c'],
  ['a byte moved from the namespace to the id', 'ab', 'c', 'a', 'bc'],
  ['all of the namespace moved to the id', 'ab', 'c', '', 'abc'],
  ['namespace and id exchanged', 'a', 'b', 'b', 'a'],
  ['namespace and id joined by a slash', 'team', 'doc', '', 'team/doc'],
]) {
  refuse('tag-mismatch', `namespace: ${comment}`, granted('rotation', ENABLED, { namespace, documentId }),
    { namespace: otherNamespace, documentId: otherDocument })
}

// Tag mismatch: parts of other hints, and flipped bits in canonical form
{
  const later = granted('rotation', ENABLED, { label: 'later', milliseconds: MOMENT + 1 })
  const derived = derive(ENABLED, plain.referenceBytes, plain.namespace, plain.documentId)
  const exchanged = { version: 4, masterKey: ENABLED.saltKey, saltKey: ENABLED.masterKey }
  for (const [comment, tag] of [
    ['the tag of another document', tagWith(ENABLED, plain, { documentId: 'agenda' })],
    ['the tag of another namespace', tagWith(ENABLED, plain, { namespace: 'group' })],
    ['the tag of another reference', later.tag],
    ['the tag of another version', tagWith(RESOLVE_ONLY, plain)],
    ['the tag of the same material under another version', tagWith({ ...ENABLED, version: 3 }, plain)],
    ['the tag of another master key', tagWith({ ...ENABLED, masterKey: RESOLVE_ONLY.masterKey }, plain)],
    ['the tag of another salt key', tagWith({ ...ENABLED, saltKey: RESOLVE_ONLY.saltKey }, plain)],
    ['the tag of exchanged secrets', tagWith(exchanged, plain)],
    ['the first 16 bytes of the key', base64url(derived.key.subarray(0, 16))],
    ['the first 16 bytes of the salt', base64url(derived.salt.subarray(0, 16))],
    ['all zero', base64url(Buffer.alloc(16))],
    ['all one', base64url(Buffer.alloc(16, 0xff))],
    ['first bit flipped: another first character', base64url(flipBit(derived.tag, 0, 0x80))],
    ['bit in the middle flipped', base64url(flipBit(derived.tag, 8, 0x10))],
    ['last bit flipped: another last character', base64url(flipBit(derived.tag, 15, 0x01))],
    ['bytes in reverse order', base64url(Buffer.from(derived.tag).reverse())],
  ]) refuse('tag-mismatch', `tag: ${comment}`, plain, { tag })

  for (const [comment, reference] of [
    ['the reference of another hint', later.referenceBytes],
    ['first bit of the milliseconds flipped', flipBit(plain.referenceBytes, 0, 0x80)],
    ['last bit of the milliseconds flipped', flipBit(plain.referenceBytes, 5, 0x01)],
    ['last bit of rand_a flipped', flipBit(plain.referenceBytes, 7, 0x01)],
    ['first bit of rand_b flipped', flipBit(plain.referenceBytes, 8, 0x20)],
    ['last bit of rand_b flipped', flipBit(plain.referenceBytes, 15, 0x01)],
  ]) refuse('tag-mismatch', `reference: ${comment}`, plain, { reference: referenceText(reference) })
  refuse('tag-mismatch', 'resolve_only resolves, but not another document', old, { documentId: 'agenda' })
}

// Malformed: the suite, the version, the fingerprint, the reference, the tag
const malformed = (comment, changes, base = plain) => refuse('malformed-hint', comment, base, changes)

for (const [comment, suite] of [
  ['kh2', 'kh2'], ['KH1', 'KH1'], ['Kh1', 'Kh1'], ['kh01', 'kh01'], ['kh', 'kh'], ['empty', ''], ['kh11', 'kh11'],
  ['trailing space', 'kh1 '], ['full-width digit', 'kh\uff11'], ['U+0000 at its end', 'kh1\0'],
]) malformed(`suite: ${comment}`, { suite })

for (const [comment, version] of [
  ['leading zero', '04'], ['plus sign', '+4'], ['minus sign', '-4'], ['zero', '0'], ['two zeros', '00'],
  ['2^32', '4294967296'], ['2^32 + 4, which wraps to 4', '4294967300'], ['9999999999', '9999999999'],
  ['2^64', '18446744073709551616'], ['2^64 + 4, which wraps to 4', '18446744073709551620'],
  ['hexadecimal', '0x4'], ['letter', 'a'], ['fraction', '4.0'], ['exponent', '4e0'], ['leading space', ' 4'],
  ['trailing space', '4 '], ['empty', ''], ['full-width digit', '\uff14'], ['Arabic-Indic digit', '\u0664'],
  ['superscript digit', '\u2074'], ['underscore at its end', '4_'], ['U+0000 at its end', '4\0'], ['with a v', 'v4'],
]) malformed(`version: ${comment}`, { version })
{
  const twelfth = granted('twelve', entries.twelve[11])
  malformed('version: underscore between digits', { version: '1_2' }, twelfth)
  malformed('version: comma between digits', { version: '1,2' }, twelfth)
}

{
  const short = plain.fingerprint
  const long = ENABLED.check.slice(2)
  for (const [comment, spelling] of [
    ['upper case', short.toUpperCase()], ['one letter in upper case', short.replace(/[a-f]/, x => x.toUpperCase())],
    ['7 digits', short.slice(0, 7)], ['9 digits', long.slice(0, 9)], ['all 16 digits', long], ['empty', ''],
    ['the letter g', 'g' + short.slice(1)], ['0x in front', '0x' + short.slice(2)],
    ['space inside', short.slice(0, 4) + ' ' + short.slice(5)],
    ['leading space', ' ' + short], ['dash inside', short.slice(0, 4) + '-' + short.slice(4)],
    ['full-width digit', short.replace(/[0-9]/, digit => String.fromCharCode(0xff10 + Number(digit)))],
  ]) malformed(`fingerprint: ${comment}`, { fingerprint: spelling })
}

{
  const text = plain.reference
  for (const [comment, reference] of [
    ['upper case', text.toUpperCase()], ['one letter in upper case', text.replace(/[a-f]/, x => x.toUpperCase())],
    ['braces', `{${text}}`], ['urn:uuid:', `urn:uuid:${text}`], ['no dashes', text.replaceAll('-', '')],
    ['last dash missing', text.slice(0, 23) + text.slice(24)],
    ['a dash moved by one', text.slice(0, 7) + '-' + text[7] + text.slice(9)],
    ['underscores for dashes', text.replaceAll('-', '_')], ['U+2010 for dashes', text.replaceAll('-', '\u2010')],
    ['one digit short', text.slice(0, -1)], ['one digit more', text + '0'], ['empty', ''],
    ['the letter g', text.slice(0, -1) + 'g'], ['trailing space', text + ' '], ['leading space', ' ' + text],
    ['base64url', base64url(plain.referenceBytes)], ['full-width digit', text.replace(/^0/, '\uff10')],
    ['U+0000 at its end', text + '\0'], ['line feed at its end', text + '\n'],
  ]) malformed(`reference: ${comment}`, { reference })

  // With a tag made for it, a reference that is not a UUIDv7 is wrong in its form alone.
  const rightFor = reference => ({ hint: issue(ENABLED, reference, plain.namespace, plain.documentId).hint })
  const withDigit = (index, digit) =>
    Buffer.from((text.slice(0, index) + digit + text.slice(index + 1)).replaceAll('-', ''), 'hex')
  for (const digit of '01468f') {
    malformed(`reference: UUID version digit ${digit}, tag right`, rightFor(withDigit(14, digit)))
  }
  for (const digit of '07cdef') {
    const bits = parseInt(digit, 16).toString(2).padStart(4, '0')
    malformed(`reference: UUID variant bits ${bits}, tag right`, rightFor(withDigit(19, digit)))
  }
  malformed('reference: nil UUID, tag right', rightFor(Buffer.alloc(16)))
  malformed('reference: max UUID, tag right', rightFor(Buffer.alloc(16, 0xff)))
}

{
  const { tag } = plain
  const middle = inserted => tag.slice(0, 11) + inserted + tag.slice(11)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const lastPlus = bits => tag.slice(0, -1) + alphabet[alphabet.indexOf(tag.at(-1)) + bits]
  for (const [comment, spelling] of [
    ['padding of two', tag + '=='], ['padding of one', tag + '='], ['padding percent-encoded', tag + '%3D%3D'],
    ['standard alphabet', tag.replaceAll('-', '+').replaceAll('_', '/')],
    ['+ for -', tag.replaceAll('-', '+')], ['/ for _', tag.replaceAll('_', '/')],
    ['21 characters', tag.slice(0, 21)], ['23 characters', tag + 'A'], ['24 characters', tag + 'AA'], ['empty', ''],
    ['lowest trailing bit not zero', lastPlus(1)], ['highest trailing bit not zero', lastPlus(8)],
    ['all trailing bits not zero', lastPlus(15)],
    ['line feed in the middle', middle('\n')], ['carriage return and line feed in the middle', middle('\r\n')],
    ['space in the middle', middle(' ')], ['U+0000 in the middle', middle('\0')], ['= in the middle', middle('=')],
    ['line feed in place of a character', tag.slice(0, 11) + '\n' + tag.slice(12)],
    ['leading space', ' ' + tag], ['hexadecimal', Buffer.from(tag, 'base64url').toString('hex')],
    ['full-width letter', '\uff21' + tag.slice(1)], ['! in place of a character', '!' + tag.slice(1)],
    ['32 bytes', base64url(Buffer.concat([Buffer.from(tag, 'base64url'), Buffer.alloc(16)]))],
  ]) malformed(`tag: ${comment}`, { tag: spelling })
}

// Malformed: separators, surroundings, truncations, extensions, other things
{
  const { hint } = plain
  const [, entryPart, referencePart, tag] = hint.split('.')
  const dashed = entryPart.replace('4-', '')
  for (const [comment, changed] of [
    ['separators: no dot after the suite', hint.replace('.', '')],
    ['separators: dash after the suite', hint.replace('.', '-')],
    ['separators: dot for the dash', hint.replace('-', '.')],
    ['separators: colon for the dash', hint.replace('-', ':')],
    ['separators: no dash', hint.replace('-', '')],
    ['separators: two dashes', hint.replace('-', '--')],
    ['separators: two dots', hint.replace('.', '..')],
    ['separators: colons for dots', hint.replaceAll('.', ':')],
    ['separators: slashes for dots', hint.replaceAll('.', '/')],
    ['separators: full-width stops for dots', hint.replaceAll('.', '\uff0e')],
    ['separators: a letter where a pattern would take any character', hint.replace('.', 'x')],
    ['separators: no dot before the tag', `kh1.${entryPart}.${referencePart}${tag}`],
    ['fields: no version', `kh1.${dashed}.${referencePart}.${tag}`],
    ['fields: fingerprint before version', `kh1.${dashed}-4.${referencePart}.${tag}`],
    ['fields: no suite', `${entryPart}.${referencePart}.${tag}`],
    ['fields: no reference', `kh1.${entryPart}.${tag}`],
    ['fields: reference and tag exchanged', `kh1.${entryPart}.${tag}.${referencePart}`],
    ['surroundings: space in front', ' ' + hint],
    ['surroundings: space at the end', hint + ' '],
    ['surroundings: tab in front', '\t' + hint],
    ['surroundings: tab at the end', hint + '\t'],
    ['surroundings: line feed in front', '\n' + hint],
    ['surroundings: line feed at the end', hint + '\n'],
    ['surroundings: carriage return and line feed at the end', hint + '\r\n'],
    ['surroundings: U+0000 at the end', hint + '\0'],
    ['surroundings: U+0000 in front', '\0' + hint],
    ['surroundings: U+FEFF in front', '\ufeff' + hint],
    ['surroundings: U+FEFF at the end', hint + '\ufeff'],
    ['surroundings: no-break space at the end', hint + '\u00a0'],
    ['surroundings: zero width space at the end', hint + '\u200b'],
    ['surroundings: line separator U+2028 at the end', hint + '\u2028'],
    ['surroundings: combining accent at the end', hint + '\u0301'],
    ['surroundings: quotes', `"${hint}"`],
    ['truncated: k', 'k'],
    ['truncated: after the suite', 'kh1'],
    ['truncated: after the first dot', 'kh1.'],
    ['truncated: after the version', 'kh1.4'],
    ['truncated: after the dash', 'kh1.4-'],
    ['truncated: inside the fingerprint', hint.slice(0, 10)],
    ['truncated: after the fingerprint', `kh1.${entryPart}`],
    ['truncated: after the second dot', `kh1.${entryPart}.`],
    ['truncated: inside the reference', `kh1.${entryPart}.${referencePart.slice(0, 18)}`],
    ['truncated: after the reference', `kh1.${entryPart}.${referencePart}`],
    ['truncated: inside the tag', hint.slice(0, -11)],
    ['truncated: the first character missing', hint.slice(1)],
    ['extended: another field', hint + '.x'],
    ['extended: an empty field', hint + '.'],
    ['extended: a dot in front', '.' + hint],
    ['extended: an empty field before the tag', `kh1.${entryPart}.${referencePart}..${tag}`],
    ['extended: another field before the tag', `kh1.${entryPart}.${referencePart}.x.${tag}`],
    ['extended: the hint twice', hint + hint],
    ['extended: the hint twice, on two lines', `${hint}\n${hint}`],
    ['extended: a comma', hint + ','],
    ['extended: 10,000 characters, a hint and then A', hint.padEnd(10000, 'A')],
    ['long: 10,000 dots', '.'.repeat(10000)],
    ['long: a version of 10,000 digits', hint.replace('.4', '.' + '4'.repeat(10000))],
    ['long: 84 characters, a version of eleven digits', hint.replace('.4', '.10000000004')],
    ['other: empty', ''],
    ['other: one space', ' '],
    ['other: one dot', '.'],
    ['other: three dots', '...'],
    ['other: null', 'null'],
    ['other: undefined', 'undefined'],
    ['other: 0', '0'],
    ['other: JSON object', JSON.stringify({ keyHint: hint })],
    ['other: the key in place of the hint', resolve(entries.rotation, plain)],
    ['other: the check value in place of the hint', ENABLED.check],
    ['other: the reference in place of the hint', referencePart],
    ['other: the hint in base64url', base64url(Buffer.from(hint))],
    ['other: the hint percent-encoded', hint.replaceAll('.', '%2E')],
    ['other: all in upper case', hint.toUpperCase()],
  ]) malformed(comment, { hint: changed })
}

// Unknown version
for (const [comment, base, version] of [
  ['one above the highest', plain, '5'],
  ['one above the highest of a ring of one', single, '2'],
  ['one above the highest of a ring of twelve', granted('twelve', entries.twelve[0]), '13'],
  ['a known number and a digit', plain, '40'],
  ['2^31', plain, '2147483648'],
  ['2^32 - 1: the longest hint, 83 characters', plain, '4294967295'],
  ['bit flipped in the digit: 4 to 6', plain, '6'],
]) refuse('unknown-version', `version: ${comment}`, base, { version })
refuse('unknown-version', 'a ring that does not have the number yet', plain, { ring: 'single' })

// Unknown fingerprint
{
  const short = plain.fingerprint
  const flipped = index => flipBit(Buffer.from(short, 'hex'), index, index === 0 ? 0x80 : 0x01).toString('hex')
  for (const [comment, spelling] of [
    ['first bit flipped', flipped(0)], ['last bit flipped', flipped(3)], ['all zero', '00000000'],
    ['the fingerprint of another version', fingerprint(RESOLVE_ONLY.check)],
    ['the second half of the check value', ENABLED.check.slice(-8)],
    ['digits in reverse order', [...short].reverse().join('')],
  ]) refuse('unknown-fingerprint', `fingerprint: ${comment}`, plain, { fingerprint: spelling })
  refuse('unknown-fingerprint', 'version: a known one with this fingerprint of another', plain, { version: '3' })
  refuse('unknown-fingerprint', 'version: bit flipped in the digit: 3 to 1, a destroyed one', old, { version: '1' })
  const second = granted('twelve', entries.twelve[1])
  refuse('unknown-fingerprint', 'version: a digit more, 2 to 12', second, { version: '12' })
  refuse('unknown-fingerprint', 'another ring with other material under the same number', plain, { ring: 'replica' })
  refuse('unknown-fingerprint', 'another ring of one with other material', single, { ring: 'tombstone' })
}

// Status
refuse('disabled', 'status: disabled', disabled, {})
refuse('destroyed', 'status: destroyed', destroyed, {})
refuse('disabled', 'status: disabled, the only entry', granted('stopped', entries.stopped[0]), {})
refuse('destroyed', 'status: destroyed, the only entry', granted('tombstone', entries.tombstone[0]), {})

// Two entries under one number
{
  const [oneDisabled, oneEnabled, twoOld, twoEnabled, twoDestroyed] = entries.conflict
  for (const [error, comment, entry, claimed] of [
    ['disabled', 'disabled, though another entry with its number is enabled', oneDisabled, oneDisabled],
    ['destroyed', 'destroyed, though another entry with its number is enabled', twoDestroyed, twoDestroyed],
    ['tag-mismatch', 'the fingerprint of the enabled sibling', twoOld, twoEnabled],
    ['tag-mismatch', 'the fingerprint of the resolve_only sibling', twoEnabled, twoOld],
    ['disabled', 'the fingerprint of the disabled sibling', oneEnabled, oneDisabled],
    ['destroyed', 'the fingerprint of the destroyed sibling', twoEnabled, twoDestroyed],
    ['unknown-fingerprint', 'a fingerprint of the other number', twoEnabled, oneEnabled],
  ]) {
    const changes = claimed === entry ? {} : { fingerprint: fingerprint(claimed.check) }
    refuse(error, `conflict: ${comment}`, granted('conflict', entry), changes)
  }
}

// Expired. At exactly the maximum age the same hint resolves; the verifier looks at that too.
for (const [comment, base, maxAge, age] of [
  ['by one millisecond, maximum 30 days', plain, 30 * DAY, 30 * DAY + 1],
  ['by one millisecond, maximum one millisecond', plain, 1, 2],
  ['by one millisecond, resolve_only', old, HOUR, HOUR + 1],
  ['age 20 years, maximum 10: more milliseconds than 32 bits hold', plain, 3650 * DAY, 7300 * DAY],
  ['by 2^32 milliseconds, so that 32 bits would wrap to the maximum', plain, HOUR, HOUR + 2 ** 32],
]) refuse('expired', `expired: ${comment}`, base, { maxAge, now: MOMENT + age })
{
  const first = granted('rotation', ENABLED, { milliseconds: 0 })
  const last = granted('rotation', ENABLED, { milliseconds: LATEST })
  refuse('expired', 'expired: a reference of the epoch', first, { maxAge: DAY })
  refuse('expired', 'expired: the last reference, by one millisecond', last, { maxAge: DAY, now: LATEST + DAY + 1 })
}

// The order of the checks: two flaws, and the first one is reported.
{
  const unknown = '00000000'
  const documentId = 'agenda'
  const maxAge = 1
  const hint = `${plain.hint} `
  const tagOfFifth = tagWith({ ...ENABLED, version: 5 }, plain)
  const fresh = referenceText(newReference(plain.now, plain.referenceBytes.subarray(6)))
  for (const [error, comment, base, changes] of [
    ['malformed-hint', 'malformed before unknown version', plain, { version: '5', tag: `${plain.tag}==` }],
    ['malformed-hint', 'malformed before unknown fingerprint', plain, { fingerprint: unknown, tag: `${plain.tag}=` }],
    ['malformed-hint', 'malformed before disabled', disabled, { tag: `${disabled.tag}=` }],
    ['malformed-hint', 'malformed before destroyed', destroyed, { tag: `${destroyed.tag}\n` }],
    ['malformed-hint', 'malformed before tag mismatch', plain, { hint, documentId }],
    ['malformed-hint', 'malformed before expired', plain, { hint, maxAge }],
    ['unknown-version', 'unknown version before unknown fingerprint', plain, { version: '5', fingerprint: unknown }],
    ['unknown-version', 'unknown version, right tag', plain, { version: '5', tag: tagOfFifth }],
    ['unknown-version', 'unknown version before tag mismatch', plain, { version: '5', documentId }],
    ['unknown-version', 'unknown version before expired', plain, { version: '5', maxAge }],
    ['unknown-fingerprint', 'unknown fingerprint before disabled', disabled, { fingerprint: unknown }],
    ['unknown-fingerprint', 'unknown fingerprint before destroyed', destroyed, { fingerprint: unknown }],
    ['unknown-fingerprint', 'unknown fingerprint before tag mismatch', plain, { fingerprint: unknown, documentId }],
    ['unknown-fingerprint', 'unknown fingerprint before expired', plain, { fingerprint: unknown, maxAge }],
    ['disabled', 'disabled before tag mismatch', disabled, { documentId }],
    ['disabled', 'disabled before expired', disabled, { maxAge }],
    ['destroyed', 'destroyed before tag mismatch', destroyed, { documentId }],
    ['destroyed', 'destroyed before expired', destroyed, { maxAge }],
    ['tag-mismatch', 'tag mismatch before expired', plain, { documentId, maxAge }],
  ]) refuse(error, `order: ${comment}`, base, changes)
  refuse('tag-mismatch', 'reference: milliseconds moved forward, to escape expiry', plain, { reference: fresh, maxAge })
}

process.stdout.write(vectorText({
  suite: 'kh1',
  comment: 'Golden vectors of the key derivation suite kh1. Values are never changed, cases are only added.',
  numberOfValid: valid.length,
  numberOfRefused: refused.length,
  valid,
  rings,
  refused,
}))
