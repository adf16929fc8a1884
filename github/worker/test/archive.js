// Archives for tests, of which any field can be wrong.

import { deflateRawSync } from "node:zlib";

/** An archive of files, each `{name, content}` and, where a reader is to be tried out, other values for its fields. */
export function archiveOf(files, { count = files.length } = {}) {
  const [before, entries] = [[], []];
  let at = 0;
  for (const { name, content, method = 0, size = content.length, packed, mode = 0o100644, offset = at } of files) {
    const bytes = method === 8 ? deflateRawSync(content) : content;
    const title = Buffer.from(name);
    const head = Buffer.alloc(30);
    head.writeUInt32LE(0x04034b50, 0);
    head.writeUInt16LE(title.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(packed ?? bytes.length, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(title.length, 28);
    entry.writeUInt32LE((mode << 16) >>> 0, 38);
    entry.writeUInt32LE(offset, 42);
    before.push(head, title, bytes);
    entries.push(entry, title);
    at += head.length + title.length + bytes.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...before, directory, end]);
}
