// What is shipped: its size, its files, its types.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { test } from '../testkit/loopback.js';

const folder = fileURLToPath(new URL('..', import.meta.url));
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const manifest = JSON.parse(read('package.json'));

test('keyhint.js is under 2 kB gzipped, as it is', () => {
  const size = gzipSync(read('keyhint.js'), { level: 9 }).length;
  assert(size < 2000, `it is ${size} bytes`);
});

test('nothing depends on anything', () => {
  for (const name of ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']) assert.equal(manifest[name], undefined);
  for (const name of ['keyhint.js', 'aes.js']) assert.doesNotMatch(read(name), /\bimport\b|\brequire\b|\bprocess\b|\bBuffer\b/);
});

test('the entries export what the types say', async () => {
  assert.deepEqual(Object.keys(await import('keyhint-client')), ['KeyhintError', 'encryptionProvider']);
  assert.deepEqual(Object.keys(await import('keyhint-client/aes')), ['deriveAesKey']);
  for (const entry of Object.values(manifest.exports)) {
    for (const file of Object.values(entry)) assert(manifest.files.includes(file.slice(2)), file);
  }
});

test('npm packs the modules, their types and nothing else', (t) => {
  const npm = spawnSync('npm', ['pack', '--dry-run', '--json', '--loglevel=error'], { cwd: folder, encoding: 'utf8' });
  if (npm.error && !process.env.KEYHINT_REQUIRE_ALL) return t.skip('npm is not installed');
  assert.equal(npm.status, 0, npm.stderr);
  const packed = Object.values(JSON.parse(npm.stdout))[0].files.map((file) => file.path);
  assert.deepEqual(packed.sort(), ['README.md', 'aes.d.ts', 'aes.js', 'keyhint.d.ts', 'keyhint.js', 'package.json']);
});

test('the types take what they must, and nothing else', (t) => {
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--module', 'nodenext', 'testkit/types.ts'];
  const tsc = spawnSync('tsc', options, { cwd: folder, encoding: 'utf8' });
  if (tsc.error) return t.skip('TypeScript is not installed');
  assert.equal(tsc.status, 0, tsc.stdout);
});
