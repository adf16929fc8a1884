// Unpacks an archive that another job has made. In: a ZIP file that nothing is believed of, a folder, how many bytes its files may have. Out: regular files below the folder.
//
// Names are plain relative paths, nothing that exists is overwritten, and no byte beyond the limit is written. What is refused may leave files behind: the folder is
// the caller's to remove.

import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";

/** Most files of an archive. */
const FILES = 100_000;

/** Most bytes of the directory of an archive. */
const DIRECTORY_BYTES = 64 << 20;

/** The end of an archive: 22 bytes, a comment of up to 65,535 and, in front, 20 bytes that say where the end for large archives is. */
const END_BYTES = 22 + 65_535 + 20;

/** Bytes that are read at once. */
const CHUNK = 1 << 20;

/** A number that stands for "see the part for large archives". */
const LARGE = 0xffffffff;

const number = (buffer, at) => {
  const value = buffer.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error("the archive has impossible sizes");
  return Number(value);
};

async function read(file, position, length) {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw new Error("the archive ends too early");
  return buffer;
}

/** Where the directory is. */
async function directory(file, size) {
  const length = Math.min(size, END_BYTES);
  const end = await read(file, size - length, length);
  const at = end.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (at < 0 || at + 22 > length) throw new Error("it is not an archive");
  let place = { count: end.readUInt16LE(at + 10), bytes: end.readUInt32LE(at + 12), start: end.readUInt32LE(at + 16) };
  if (place.count === 0xffff || place.bytes === LARGE || place.start === LARGE) {
    if (at < 20 || end.readUInt32LE(at - 20) !== 0x07064b50) throw new Error("the archive has no end for its size");
    const large = await read(file, number(end, at - 12), 56);
    if (large.readUInt32LE(0) !== 0x06064b50) throw new Error("the archive has no end for its size");
    place = { count: number(large, 32), bytes: number(large, 40), start: number(large, 48) };
  }
  if (place.count > FILES || place.bytes > DIRECTORY_BYTES) throw new Error("the archive has too many files");
  return place;
}

/** Sizes and place of a file, where they are too large for the fields that all files have. */
function enlarge(entry, extra) {
  for (let at = 0; at + 4 <= extra.length; ) {
    const [kind, length] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    const field = extra.subarray(at + 4, at + 4 + length);
    if (kind === 1) {
      let next = 0;
      for (const key of ["size", "packed", "start"]) {
        if (entry[key] !== LARGE) continue;
        if (next + 8 > field.length) throw new Error("the archive has a file without a size");
        entry[key] = number(field, next);
        next += 8;
      }
    }
    at += 4 + length;
  }
}

/** The path of a file; none for a folder. */
function pathOf(bytes) {
  const text = bytes.toString("utf8");
  const isPlain = (part) => part !== "" && part !== "." && part !== "..";
  const parts = text.split("/");
  const isFolder = parts.at(-1) === "";
  if (isFolder) parts.pop();
  if (parts.length === 0 || !parts.every(isPlain) || /[\x00-\x1f\\\ufffd]/.test(text)) {
    throw new Error(`the archive has a file called ${JSON.stringify(text.slice(0, 100))}`);
  }
  return isFolder ? undefined : parts.join("/");
}

/** The files of an archive. */
async function entries(file, size) {
  const { count, bytes, start } = await directory(file, size);
  const list = await read(file, start, bytes);
  const found = [];
  for (let at = 0, left = count; left > 0; left -= 1) {
    if (at + 46 > list.length || list.readUInt32LE(at) !== 0x02014b50) throw new Error("the archive's list of files is broken");
    const [names, extras, comments] = [list.readUInt16LE(at + 28), list.readUInt16LE(at + 30), list.readUInt16LE(at + 32)];
    const entry = { method: list.readUInt16LE(at + 10), packed: list.readUInt32LE(at + 20), size: list.readUInt32LE(at + 24), start: list.readUInt32LE(at + 42) };
    if (at + 46 + names + extras > list.length) throw new Error("the archive's list of files is broken");
    entry.path = pathOf(list.subarray(at + 46, at + 46 + names));
    enlarge(entry, list.subarray(at + 46 + names, at + 46 + names + extras));
    // The upper half of these attributes is the file's mode on Unix.
    const kind = (list.readUInt32LE(at + 38) >>> 28) & 0xf;
    if (![0, 4, 8].includes(kind)) throw new Error(`\`${entry.path}\` is not a regular file`);
    if (entry.path !== undefined) found.push(entry);
    at += 46 + names + extras + comments;
  }
  return found;
}

/** Bytes of the file from a place on. */
async function* bytes(file, start, length) {
  for (let at = 0; at < length; at += CHUNK) yield await read(file, start + at, Math.min(CHUNK, length - at));
}

/** What a file of the archive holds. */
function contents(file, start, { method, packed }) {
  const stored = bytes(file, start, packed);
  if (method === 0) return stored;
  const inflated = createInflateRaw();
  // Its error is seen by whoever reads.
  pipeline(Readable.from(stored), inflated).catch(() => {});
  return inflated;
}

/** Unpacks a file into a folder. Out: bytes of all files. */
export async function unpack(archive, to, limit) {
  const file = await open(archive, "r");
  try {
    const { size } = await file.stat();
    let left = limit;
    for (const entry of await entries(file, size)) {
      const head = await read(file, entry.start, 30);
      if (head.readUInt32LE(0) !== 0x04034b50) throw new Error("the archive's list of files is broken");
      const start = entry.start + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
      if (entry.method !== 0 && entry.method !== 8) throw new Error(`\`${entry.path}\` is packed in an unknown way`);
      if (start + entry.packed > size) throw new Error("the archive ends too early");
      if (entry.size > left) throw new Error(`its files have more than ${limit} bytes`);
      const target = path.join(to, entry.path);
      await mkdir(path.dirname(target), { recursive: true });
      let written = 0;
      const out = await open(target, "wx");
      try {
        for await (const chunk of contents(file, start, entry)) {
          written += chunk.length;
          if (written > entry.size) throw new Error(`\`${entry.path}\` has more bytes than the archive says`);
          await out.writeFile(chunk);
        }
      } finally {
        await out.close();
      }
      if (written !== entry.size) throw new Error(`\`${entry.path}\` has fewer bytes than the archive says`);
      left -= written;
    }
    return limit - left;
  } finally {
    await file.close();
  }
}
