// Is compiled, never run: what the types must take, and what they must not.
import { encryptionProvider, KeyhintError, type EncryptionProvider, type SessionKey } from 'keyhint-client';
import { deriveAesKey } from 'keyhint-client/aes';

const keys: EncryptionProvider = encryptionProvider({
  url: new URL('https://keys.example.com/v1/key'), token: async (documentId) => documentId, credentials: 'include', fetch,
  timeout: 1000, retries: 2, signal: new AbortController().signal,
});
encryptionProvider({ url: '/v1/key', token: () => 'abc' });

// As TinyMCE types its option.
const rtc_encryption_provider: (params: { documentId: string; keyHint: string | null }) => Promise<{ key: string; keyHint: string }> = keys;

export async function use(documentId: string, hint?: string): Promise<SessionKey> {
  try {
    // @ts-expect-error: no hint is not the same as null
    await keys({ documentId, keyHint: hint });
    // @ts-expect-error: keyHint is required
    await keys({ documentId });
    await rtc_encryption_provider({ documentId, keyHint: null });
    const session = await keys({ documentId, keyHint: hint ?? null }, { signal: new AbortController().signal });
    const aes: CryptoKey = await deriveAesKey(session.key, { salt: new Uint8Array(32) });
    await deriveAesKey(session.key, { salt: new ArrayBuffer(32), usages: ['encrypt', 'decrypt'], crypto });
    // @ts-expect-error: the salt is required
    await deriveAesKey(session.key, {});
    return aes.extractable ? { key: '', keyHint: '' } : session;
  } catch (error) {
    if (error instanceof KeyhintError) {
      const shown: [number, string, string, 'KeyhintError', unknown] = [error.status, error.type, error.detail, error.name, error.cause];
      throw new KeyhintError(error.status, shown[1], shown[2], { cause: error });
    }
    throw error;
  }
}

// @ts-expect-error: url is required
encryptionProvider({});
// @ts-expect-error: misspelt
encryptionProvider({ url: '/v1/key', retry: 1 });
