// The encryption of TinyMCE's RTC, with the session's key from keyhint: the key and
// a salt give an AES key, which wraps a random content key, which encrypts messages.
import { deriveAesKey } from './client/aes.js';

const algorithm = { name: 'AES-GCM', length: 256 };
const usages = ['encrypt', 'decrypt'];
const newIV = () => crypto.getRandomValues(new Uint8Array(12));

/** Makes a content key, and what is stored of it in the clear, beside the hint. */
export async function wrapNewKey(key) {
  const salt = crypto.getRandomValues(new Uint8Array(32));
  const iv = newIV();
  const wrapping = await deriveAesKey(key, { salt });
  const made = await crypto.subtle.generateKey(algorithm, true, usages);
  const wrapped = new Uint8Array(await crypto.subtle.wrapKey('raw', made, wrapping, { name: 'AES-GCM', iv }));
  const stored = { salt, iv, wrapped };
  return { stored, content: await unwrapKey(key, stored) };
}

/** The content key, which cannot be exported. Rejects if the key is not the one that wrapped it. */
export async function unwrapKey(key, { salt, iv, wrapped }) {
  const wrapping = await deriveAesKey(key, { salt });
  return crypto.subtle.unwrapKey('raw', wrapped, wrapping, { name: 'AES-GCM', iv }, algorithm, false, usages);
}

export async function seal(content, value) {
  const iv = newIV();
  const plain = new TextEncoder().encode(JSON.stringify(value));
  return { iv, data: new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, content, plain)) };
}

/** What was sealed. Rejects if anything of it has changed. */
export async function unseal(content, { iv, data }) {
  const plain = await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, content, data);
  return JSON.parse(new TextDecoder().decode(plain));
}

/** Eight hex digits by which people can tell keys apart, as "0123 4567". No key can be found from them. */
export async function fingerprint(key) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('fingerprint ' + key));
  const [left, right] = [0, 2].map((start) => hex(new Uint8Array(digest, start, 2)));
  return `${left} ${right}`;
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
