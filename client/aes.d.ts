export interface DeriveOptions {
  /** 32 random bytes, made once for a session and stored in the clear with its hint. */
  salt: BufferSource;
  /**
   * What the AES key is for. Default: `['wrapKey', 'unwrapKey']`, as in TinyMCE's RTC, where it wraps a random content
   * key. `['encrypt', 'decrypt']` is for encrypting with it at once. Use one salt for one of the two.
   */
  usages?: KeyUsage[];
  /** Used in place of the global `crypto`, which Node 18 does not have. */
  crypto?: Crypto;
}

/**
 * Derives an AES-256-GCM key that cannot be exported from a session's key: PBKDF2, HMAC-SHA-512, 10,000 iterations.
 * Rejects with a TypeError if the key or the salt is not what it must be, or if there is no WebCrypto.
 */
export function deriveAesKey(keyString: string, options: DeriveOptions): Promise<CryptoKey>;
