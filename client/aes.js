// From a session's key to an AES key, as TinyMCE's RTC plugin does it.

const form = /^[\w-]{43}$/;

/**
 * Derives an AES-256-GCM key that cannot be exported: PBKDF2 with HMAC-SHA-512
 * and 10,000 iterations over the key's text, not over the bytes that it encodes.
 * The key is random already; the iterations are there because RTC has them.
 *
 * The salt is 32 random bytes, made once for a session and stored in the clear
 * with its hint. One salt is for one pair of usages.
 */
export async function deriveAesKey(keyString, { salt, usages = ['wrapKey', 'unwrapKey'], crypto = globalThis.crypto }) {
  if (typeof keyString !== 'string' || !form.test(keyString)) throw new TypeError('the key must be the 43 characters that the endpoint issued');
  if (salt?.byteLength !== 32) throw new TypeError('the salt must be 32 bytes');
  if (!crypto?.subtle) throw new TypeError('there is no WebCrypto: the page must come from https or localhost');
  const secret = await crypto.subtle.importKey('raw', new TextEncoder().encode(keyString), 'PBKDF2', false, ['deriveKey']);
  return crypto.subtle.deriveKey(
    { name: 'PBKDF2', hash: 'SHA-512', salt, iterations: 10000 },
    secret, { name: 'AES-GCM', length: 256 }, false, usages,
  );
}
