/** What is asked of the endpoint. */
export interface KeyRequest {
  documentId: string;
  /** `null` for the key of a new session; otherwise the hint, exactly as it came with the earlier key. */
  keyHint: string | null;
}

/** A key, and what brings it back. */
export interface SessionKey {
  /** 32 bytes in base64url without padding: 43 characters. Keep it secret. */
  key: string;
  /** Not secret. Store it, as it is, with what the key encrypts. On a resolve it is the hint that was sent. */
  keyHint: string;
}

/** For one call. */
export interface CallOptions {
  /** Ends this call, which then rejects with the signal's reason. Others that wait for the same answer still get it. */
  signal?: AbortSignal;
}

export interface ProviderOptions {
  /** The endpoint, such as `https://keys.example.com/v1/key`. */
  url: string | URL;
  /**
   * Sent as `Authorization: Bearer …`. A function is called before every request, repeated ones included; what it
   * throws, the call rejects with. If the option is given, nothing is sent without a token.
   */
  token?: string | ((documentId: string) => string | Promise<string>);
  /** As for `fetch`. `"include"` sends the cookies of an endpoint on another origin too. Default: fetch's. */
  credentials?: RequestCredentials;
  /** Used in place of the global `fetch`. */
  fetch?: (url: string | URL, init: RequestInit) => Promise<Response>;
  /** Milliseconds in which a call settles, with all its repetitions and pauses. Default: 30,000. */
  timeout?: number;
  /** How often a request is repeated at most, after 409, 429 and 503. Default: 3. */
  retries?: number;
  /** Ends all calls, now and later; for when the editor is closed. They reject with its reason. */
  signal?: AbortSignal;
}

/** Has the shape of TinyMCE's `rtc_encryption_provider`. */
export type EncryptionProvider = (request: KeyRequest, options?: CallOptions) => Promise<SessionKey>;

/** Returns a function that asks the endpoint for keys. Make one for each user. */
export function encryptionProvider(options: ProviderOptions): EncryptionProvider;

/** Why there is no key. Holds neither keys nor tokens. */
export class KeyhintError extends Error {
  constructor(status: number, type: string, detail: string, options?: { cause?: unknown });
  readonly name: 'KeyhintError';
  /** The HTTP status, or 0 if the endpoint did not answer. */
  readonly status: number;
  /**
   * What to tell errors apart by: the type of the endpoint's problem document, `about:blank` if it says no more than
   * its status, or one of this module's own: `urn:keyhint:bad-answer`, `urn:keyhint:no-answer`, `urn:keyhint:timeout`.
   */
  readonly type: string;
  /** A sentence for people. It comes from the endpoint: show it as text, never as HTML. */
  readonly detail: string;
}
