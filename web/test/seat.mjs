// A seat in a headless Chromium, for tests: answers every call, takes commands, a line each, tells what happens, a line
// each, and writes what it heard.
//
//   node seat.mjs LINE EXTENSION HOST SECRET MICROPHONE.wav HEARD.wav

import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const RATE = 8000;
const [line, extension, realm, secret, microphone, heard] = process.argv.slice(2);
const tell = (...words) => console.log(words.join(' '));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-dev-shm-usage',
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    `--use-file-for-fake-audio-capture=${microphone}`,
    '--autoplay-policy=no-user-gesture-required',
    // A page has a microphone over HTTPS alone, or from the machine itself.
    `--unsafely-treat-insecure-origin-as-secure=${line}`,
  ],
});
const context = await browser.newContext({ bypassCSP: true, ignoreHTTPSErrors: true, permissions: ['microphone'] });
const page = await context.newPage();
page.on('pageerror', (error) => tell('error', error.message));
page.on('console', (message) => message.type() === 'error' && tell('console', message.text()));
await page.exposeFunction('tell', tell);
await page.goto(`${line}/healthz`);
await page.addScriptTag({ path: fileURLToPath(new URL('../dist/phone.js', import.meta.url)) });
await page.evaluate(({ line, extension, realm, secret, RATE }) => {
  const audio = document.body.appendChild(document.createElement('audio'));
  const pieces = [];
  const listen = () => {
    const sound = new AudioContext({ sampleRate: RATE });
    const ear = sound.createScriptProcessor(1024, 1, 1);
    ear.onaudioprocess = ({ inputBuffer }) => pieces.push([...inputBuffer.getChannelData(0)]);
    sound.createMediaStreamSource(audio.srcObject).connect(ear);
    ear.connect(sound.destination);
  };
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const websocket = `${line.replace(/^http/, 'ws')}/sip`;
  window.heard = () => pieces.flat().map((sample) => Math.round(sample * 32767));
  window.phone = hotline.telephone({ websocket, extension, realm, secret, audio, microphone: plain }, (...words) => {
    window.tell(...words);
    if (words[0] === 'ringing') window.phone.answer();
    if (words[0] === 'talking') listen();
  });
}, { line, extension, realm, secret, RATE });

for await (const command of createInterface({ input: process.stdin })) {
  const [word, argument] = command.split(' ');
  if (word === 'quit') break;
  await page.evaluate(([word, argument]) => window.phone[word](argument), [word, argument]);
}
const samples = Int16Array.from(await page.evaluate(() => window.heard()));
const header = Buffer.alloc(44);
header.write('RIFF', 0);
header.writeUInt32LE(36 + samples.byteLength, 4);
header.write('WAVEfmt ', 8);
header.writeUInt32LE(16, 16);
header.writeUInt16LE(1, 20);
header.writeUInt16LE(1, 22);
header.writeUInt32LE(RATE, 24);
header.writeUInt32LE(2 * RATE, 28);
header.writeUInt16LE(2, 32);
header.writeUInt16LE(16, 34);
header.write('data', 36);
header.writeUInt32LE(samples.byteLength, 40);
writeFileSync(heard, Buffer.concat([header, Buffer.from(samples.buffer)]));
await page.evaluate(() => window.phone.stop());
await browser.close();
process.exit();
