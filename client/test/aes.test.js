// From the session's key to an AES key, compared with Node's own crypto.
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes, webcrypto } from 'node:crypto';
import { deriveAesKey } from 'keyhint-client/aes';
import { key, test } from '../testkit/loopback.js';

const crypto = webcrypto; // Node 18 has no global one
const salt = Uint8Array.from({ length: 32 }, (_, n) => n * 7);

const expected = (salt) => pbkdf2Sync(Buffer.from(key, 'ascii'), salt, 10000, 32, 'sha512');

function decrypt(raw, iv, sealed) {
  const decipher = createDecipheriv('aes-256-gcm', raw, iv);
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

function encrypt(raw, iv, plain) {
  const cipher = createCipheriv('aes-256-gcm', raw, iv);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

const notAllowed = { name: /^InvalidAccess/ }; // Node ends it in Exception at times

test('the documented scheme: it wraps a content key', async () => {
  const wrapping = await deriveAesKey(key, { salt, crypto });
  assert.deepEqual({ ...wrapping.algorithm }, { name: 'AES-GCM', length: 256 });
  assert.equal(wrapping.extractable, false);
  assert.deepEqual([...wrapping.usages].sort(), ['unwrapKey', 'wrapKey']);
  await assert.rejects(crypto.subtle.exportKey('raw', wrapping), notAllowed);
  await assert.rejects(crypto.subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, wrapping, salt), notAllowed);

  const iv = randomBytes(12);
  const content = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt', 'decrypt']);
  const wrapped = new Uint8Array(await crypto.subtle.wrapKey('raw', content, wrapping, { name: 'AES-GCM', iv }));
  const raw = Buffer.from(await crypto.subtle.exportKey('raw', content));
  assert.deepEqual(decrypt(expected(salt), iv, wrapped), raw);
  assert.deepEqual(encrypt(expected(salt), iv, raw), Buffer.from(wrapped));

  const same = await deriveAesKey(key, { salt, crypto });
  const unwrapped = await crypto.subtle.unwrapKey('raw', wrapped, same, { name: 'AES-GCM', iv }, 'AES-GCM', false, ['decrypt']);
  const message = new Uint8Array(encrypt(raw, iv, Buffer.from('hello')));
  assert.equal(Buffer.from(await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, unwrapped, message)).toString(), 'hello');
});

test('or it encrypts', async () => {
  const iv = randomBytes(12);
  for (const given of [salt, salt.buffer, new DataView(salt.buffer)]) {
    const aes = await deriveAesKey(key, { salt: given, usages: ['encrypt', 'decrypt'], crypto });
    assert.deepEqual([...aes.usages].sort(), ['decrypt', 'encrypt']);
    assert.equal(aes.extractable, false);
    const sealed = Buffer.from(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, aes, Buffer.from('hello')));
    assert.equal(decrypt(expected(salt), iv, sealed).toString(), 'hello');
  }
});

test('another salt is another key', async () => {
  const other = salt.map((byte) => byte ^ 1);
  const iv = randomBytes(12);
  const aes = await deriveAesKey(key, { salt: other, usages: ['encrypt'], crypto });
  const sealed = Buffer.from(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, aes, Buffer.from('hello')));
  assert.throws(() => decrypt(expected(salt), iv, sealed));
  assert.equal(decrypt(expected(other), iv, sealed).toString(), 'hello');
});

test('what is no key is refused, and not shown', async () => {
  for (const bad of [undefined, null, '', 43, key.slice(1), `${key}=`, `${key}\n`, [key], { key }]) {
    await assert.rejects(deriveAesKey(bad, { salt, crypto }), (error) => error instanceof TypeError && !error.message.includes(key.slice(1)));
  }
});

test('what is no salt of 32 bytes is refused', async () => {
  for (const bad of [undefined, null, '', 'x'.repeat(32), [], Array(32).fill(1), new Uint8Array(16), new Uint8Array(33)]) {
    await assert.rejects(deriveAesKey(key, { salt: bad, crypto }), { name: 'TypeError', message: 'the salt must be 32 bytes' });
  }
});

test('a page that is not secure has no WebCrypto, and is told so', async () => {
  for (const bad of [null, {}]) await assert.rejects(deriveAesKey(key, { salt, crypto: bad }), /https or localhost/);
});
