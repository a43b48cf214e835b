// A real keyhint.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));

const { KEYHINT_PROGRAM: built, KEYHINT_REQUIRE_ALL: required } = process.env;

/** Why there is no keyhint to test against, or false. */
export const missing = !built && !required && spawnSync('go', ['version']).error !== undefined && 'Go is not installed';

/** A folder that is removed in the end. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'keyhint-client-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Builds keyhint, unless there is one that is built, and returns a function that starts "keyhint dev" with a ring that stays the same. */
export function buildKeyhint() {
  const folder = temporaryFolder();
  const program = built || join(folder, 'keyhint');
  if (!built) execFileSync('go', ['build', '-buildvcs=false', '-o', program, '.'], { cwd: repository, stdio: ['ignore', 'ignore', 'inherit'] });
  return async (t) => {
    const args = ['dev', '--address', '127.0.0.1:0', '--config', join(folder, 'keyhint.dev.yaml')];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    const kill = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    t.after(kill);
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url] = /^The endpoint is (http:\S+)$/.exec(line) ?? [];
      if (url) {
        child.stdout.resume();
        return { url, kill };
      }
    }
    assert.fail('keyhint dev ended');
  };
}
