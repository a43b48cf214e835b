// Verifies the golden vectors: node testdata/vectors/verify.mjs [file]
// Without an argument it reads kh1.json beside this script. Exit status 1 if anything fails.

import { readFileSync } from 'node:fs'
import {
  checkValue, derive, fingerprint, formatHint, hkdfExpand, hkdfExtract, issue, LONE_SURROGATE, parseHint,
  referenceMilliseconds, referenceText, Refusal, resolve, vectorText,
} from './kh1.mjs'

const FILE = {
  suite: 'string', comment: 'string', numberOfValid: 'number', numberOfRefused: 'number', valid: 'object',
  rings: 'object', refused: 'object',
}
const VALID = {
  id: 'number', comment: 'string', version: 'number', masterKey: 'string', saltKey: 'string', reference: 'string',
  namespace: 'string', documentId: 'string', salt: 'string', key: 'string', tag: 'string', check: 'string',
  hint: 'string',
}
const ENTRY = { version: 'number', masterKey: 'string', saltKey: 'string', check: 'string', status: 'string' }
const REFUSED = {
  id: 'number', comment: 'string', ring: 'string', namespace: 'string', documentId: 'string', now: 'number',
  maxAge: 'number', hint: 'string', error: 'string',
}
const STATUSES = ['enabled', 'resolve_only', 'disabled', 'destroyed']
const ERRORS = [
  'malformed-hint', 'unknown-version', 'unknown-fingerprint', 'disabled', 'destroyed', 'tag-mismatch', 'expired',
]
const DAY = 24 * 60 * 60 * 1000

let passed = 0
let failed = 0

verifyFile(process.argv[2] ?? new URL('kh1.json', import.meta.url))
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function verifyFile(file) {
  check('HKDF', verifyHkdf)
  let text, vectors
  check('file', () => {
    text = readFileSync(file, 'utf8')
    vectors = JSON.parse(text)
    hasMembers(vectors, FILE)
    equal('suite', vectors.suite, 'kh1')
    ensure(Array.isArray(vectors.valid) && Array.isArray(vectors.refused), 'valid and refused are not both lists')
  })
  if (failed > 0) return

  const { valid, rings, refused } = vectors
  // Besides the layout this finds duplicate members, which JSON.parse lets pass.
  check('layout', () => ensure(text === vectorText(vectors), 'not two-space indented ASCII with unique members'))
  check('number of valid cases', () => countIs(valid, vectors.numberOfValid, 60))
  check('number of refused cases', () => countIs(refused, vectors.numberOfRefused, 80))
  check('ids', () => allDiffer([...valid, ...refused].map(one => one.id)))
  check('keys', () => allDiffer(valid.map(one => one.key)))
  check('hints', () => allDiffer(valid.map(one => one.hint)))
  check('errors', () => ERRORS.forEach(error => ensure(refused.some(one => one.error === error), `no ${error}`)))

  for (const one of valid) check(`valid ${one?.id}`, () => verifyValid(one))
  for (const name of Object.keys(rings)) check(`ring ${name}`, () => verifyRing(rings[name]))
  for (const one of refused) check(`refused ${one?.id}`, () => verifyRefused(one, rings))
}

// RFC 5869, appendix A.1
function verifyHkdf() {
  const hex = text => Buffer.from(text, 'hex')
  const pseudorandomKey = hkdfExtract(hex('000102030405060708090a0b0c'), Buffer.alloc(22, 0x0b))
  equal('PRK', pseudorandomKey.toString('hex'), '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5')
  equal('OKM', hkdfExpand(pseudorandomKey, hex('f0f1f2f3f4f5f6f7f8f9'), 42).toString('hex'),
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865')
}

function verifyValid(one) {
  hasMembers(one, VALID)
  ensure(one.comment !== '', 'no comment')
  const entry = entryOf({ ...one, status: 'enabled' })
  const hint = parseHint(one.hint)
  const reference = hint.reference
  const derived = derive(entry, reference, one.namespace, one.documentId)
  equal('check', checkValue(entry), one.check)
  equal('reference', referenceText(reference), one.reference)
  equal('salt', derived.salt.toString('hex'), one.salt)
  equal('key', derived.key.toString('base64url'), one.key)
  equal('tag', derived.tag.toString('hex'), one.tag)

  equal('version in the hint', hint.version, one.version)
  equal('fingerprint in the hint', hint.fingerprint, fingerprint(one.check))
  equal('tag in the hint', hint.tag.toString('hex'), one.tag)
  equal('hint', formatHint(one.check, reference, hint.tag), one.hint)
  equal('issued hint', issue(entry, reference, one.namespace, one.documentId).hint, one.hint)

  const issuedAt = referenceMilliseconds(reference)
  const resolveAt = (now, maxAge) => resolve([entry], { ...one, now, maxAge })
  equal('key without a maximum age', resolveAt(issuedAt + 2 ** 48, 0), one.key)
  equal('key at exactly the maximum age', resolveAt(issuedAt + DAY, DAY), one.key)
  equal('one millisecond later', refusal(() => resolveAt(issuedAt + DAY + 1, DAY)), 'expired')
  equal('key with a clock that is behind', resolveAt(0, 1), one.key)
  equal('key from resolve_only', resolve([{ ...entry, status: 'resolve_only' }], { ...one, maxAge: 0 }), one.key)
}

function verifyRing(ring) {
  ensure(Array.isArray(ring) && ring.length > 0, 'not a list of entries')
  for (const one of ring) {
    hasMembers(one, ENTRY)
    ensure(STATUSES.includes(one.status), `unknown status ${one.status}`)
    ensure(one.check.startsWith(`${one.version}-`) && /-[0-9a-f]{16}$/.test(one.check), `check value ${one.check}`)
    if (one.status === 'destroyed') equal('destroyed material', one.masterKey + one.saltKey, '')
    else equal('check', checkValue(entryOf(one)), one.check)
  }
  const versions = new Set(ring.map(one => one.version))
  for (let version = 1; version <= versions.size; version++) {
    ensure(versions.has(version), `no entry has the number ${version}`)
    const enabled = ring.filter(one => one.version === version && one.status === 'enabled')
    ensure(enabled.length <= 1, `two enabled entries have the number ${version}`)
  }
  allDiffer(ring.map(one => `${one.version}-${fingerprint(one.check)}`))
  allDiffer(ring.flatMap(one => [one.masterKey, one.saltKey]).filter(secret => secret !== ''))
}

function verifyRefused(one, rings) {
  hasMembers(one, REFUSED)
  ensure(one.comment !== '', 'no comment')
  ensure(ERRORS.includes(one.error), `unknown error ${one.error}`)
  ensure(Object.hasOwn(rings, one.ring), `unknown ring ${one.ring}`)
  ensure(Number.isSafeInteger(one.now) && Number.isSafeInteger(one.maxAge), 'times are not whole numbers')
  const ring = rings[one.ring].map(entryOf)
  equal('error', refusal(() => resolve(ring, one)), one.error)
  if (one.error === 'malformed-hint') return

  const { version, fingerprint, reference, tag } = parseHint(one.hint)
  equal('hint', formatHint(`${version}-${fingerprint}`, reference, tag), one.hint)
  // Age is checked last: at exactly the maximum age nothing else may stand in the way.
  if (one.error === 'expired') resolve(ring, { ...one, now: referenceMilliseconds(reference) + one.maxAge })
}

function entryOf({ version, masterKey, saltKey, check, status }) {
  return { version, masterKey: secretOf(masterKey), saltKey: secretOf(saltKey), check, status }
}

function secretOf(text) {
  const bytes = Buffer.from(text, 'base64')
  ensure(bytes.toString('base64') === text, 'a secret is not standard base64 with padding')
  return bytes
}

function refusal(action) {
  try {
    action()
  } catch (error) {
    if (error instanceof Refusal) return error.message
    throw error
  }
  return 'none'
}

function check(name, test) {
  try {
    test()
    passed++
  } catch (error) {
    failed++
    console.log(`${name}: ${error.message}`.replaceAll('\n', ' '))
  }
}

function ensure(condition, message) {
  if (!condition) throw new Error(message)
}

function equal(what, actual, wanted) {
  ensure(actual === wanted, `${what} is ${JSON.stringify(actual)}, the file wants ${JSON.stringify(wanted)}`)
}

function hasMembers(object, shape) {
  ensure(typeof object === 'object' && object !== null, 'not an object')
  const members = Object.keys(object).join()
  ensure(members === Object.keys(shape).join(), `members ${members} instead of ${Object.keys(shape).join()}`)
  for (const name in shape) {
    ensure(typeof object[name] === shape[name] && object[name] !== null, `${name} is not of type ${shape[name]}`)
    ensure(shape[name] !== 'string' || !LONE_SURROGATE.test(object[name]), `${name} has a lone surrogate`)
  }
}

function countIs(list, declared, minimum) {
  equal('number of cases', list.length, declared)
  ensure(list.length >= minimum, `${list.length} cases, at least ${minimum} are required`)
}

function allDiffer(values) {
  const twice = values.find((value, index) => values.indexOf(value) !== index)
  ensure(twice === undefined, `${twice} appears twice`)
}
