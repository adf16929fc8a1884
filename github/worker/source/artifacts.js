// Artifacts of the run as a store that can say "taken". In: names, files. Out: what nixdag's protocol of workers has to know (docs/workers.md).
//
// GitHub makes an artifact in two steps: CreateArtifact reserves the name, for ever, and FinalizeArtifact shows it to others. The first one is sent once for each time that nixdag
// asks: after an answer that was lost, a name that exists may be this worker's own. What follows it changes nothing for others, and is repeated.

import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { lstat, mkdir, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BlockBlobClient } from "@azure/storage-blob";
import archiver from "archiver";
import { getExpiration } from "../node_modules/@actions/artifact/lib/internal/upload/retention.js";
import { unpack } from "./archive.js";
import { Lost, Refused } from "./service.js";

/** How often a request that may be repeated is sent. */
const TRIES = 5;

/** How often nixdag may ask for an artifact that was reserved and cannot be completed. */
const RESUMED = 3;

/** Bytes of a part of an upload, and how many are under way at once. */
const PART = { bytes: 8 << 20, atOnce: 4 };

/** What an archive has beside its files: their names, twice, and their sizes. */
const OVERHEAD = 1 << 20;

/** What another job has made, and nothing will make of use: too large, not an archive, another digest, removed. */
export class Unusable extends Error {}

/** The deepest folder that has all files. */
export function rootOf(files) {
  const parts = files.map((file) => path.dirname(file).split(path.sep));
  const [first] = parts;
  let depth = 0;
  while (depth < first.length && parts.every((other) => other[depth] === first[depth])) depth += 1;
  return first.slice(0, depth).join(path.sep) || path.sep;
}

/** Bytes that pass are counted and digested. */
class Measured extends Transform {
  constructor(limit = Infinity) {
    super();
    this.size = 0;
    this.limit = limit;
    this.hash = createHash("sha256");
  }

  _transform(chunk, _, done) {
    this.size += chunk.length;
    this.hash.update(chunk);
    done(this.size > this.limit ? new Error(`more than ${this.limit} bytes`) : null, chunk);
  }
}

/** Uploads files as an archive, by their paths below `root`. */
async function upload(address, files, root) {
  const zip = archiver("zip", { store: true });
  for (const file of files) zip.file(file, { name: path.relative(root, file), stats: await lstat(file) });
  const measured = new Measured();
  const client = new BlockBlobClient(address, undefined, { retryOptions: { maxTries: 3, tryTimeoutInMs: 300_000 } });
  const stored = client.uploadStream(measured, PART.bytes, PART.atOnce, { blobHTTPHeaders: { blobContentType: "application/zip" } });
  zip.on("warning", (error) => zip.destroy(error));
  await Promise.all([pipeline(zip, measured), zip.finalize(), stored]);
  return { size: measured.size, sha256: measured.hash.digest("hex") };
}

export class Artifacts {
  /** `log` takes lines for people, `pause` waits for milliseconds. */
  constructor(service, log, pause = (time) => new Promise((done) => setTimeout(done, time))) {
    this.service = service;
    this.log = log;
    this.pause = pause;
    /** What this process has reserved and not completed, by name. */
    this.reserved = new Map();
  }

  /** Repeats what may be repeated. */
  async patiently(what) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await what();
      } catch (error) {
        const mayPass = error instanceof Lost || (error instanceof Refused && error.isBusy);
        if (!mayPass || tried === TRIES) throw error;
        await this.pause(1000 * 2 ** (tried - 1));
      }
    }
  }

  /** Makes an artifact of files unless there is one of this name: `made`, `taken`, `lost` (nobody knows), or `again` (nothing was made). Kept for `days`. Paths in it begin below `root`. */
  async create(name, files, days, root = rootOf(files)) {
    // Before a name is taken for what is not there.
    for (const file of files) if (!(await lstat(file)).isFile()) throw new Error(`\`${file}\` is not a regular file`);
    let reserved = this.reserved.get(name);
    if (!reserved) {
      try {
        reserved = { address: await this.service.create(name, getExpiration(days)), failed: 0 };
      } catch (error) {
        if (error instanceof Refused && error.status === 409) return "taken";
        if (error instanceof Lost) {
          this.log(`artifact ${name}: ${error.message}`);
          return "lost";
        }
        if (!(error instanceof Refused) || !error.isBusy) throw error;
        await this.pause(5000);
        return "again";
      }
      this.reserved.set(name, reserved);
    }
    try {
      await this.complete(name, reserved.address, files, root);
    } catch (error) {
      reserved.failed += 1;
      if (reserved.failed >= RESUMED) throw error;
      this.log(`artifact ${name} is not complete: ${error.message}`);
      return "lost";
    }
    this.reserved.delete(name);
    return "made";
  }

  /** Uploads what a name is reserved for, and shows it. */
  async complete(name, address, files, root) {
    let said;
    for (let tried = 1; said === undefined; tried += 1) {
      try {
        said = await upload(address, files, root);
      } catch (error) {
        if (tried === TRIES) throw new Error(`upload: ${withoutQuery(error.message)}`);
        await this.pause(1000 * 2 ** (tried - 1));
      }
    }
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.service.finalize(name, said.size, said.sha256);
      } catch (error) {
        // An answer may have been lost, and a second request be refused: it is there where it is listed.
        const found = await this.patiently(() => this.service.list(name));
        if (found.some((artifact) => artifact.name === name)) return undefined;
        if (tried === TRIES) throw error;
        await this.pause(1000 * 2 ** (tried - 1));
      }
    }
  }

  /** The names of all artifacts of the run that are complete. */
  async list() {
    const artifacts = await this.patiently(() => this.service.list());
    return artifacts.map(({ name }) => name);
  }

  /** Unpacks an artifact into a folder. Out: bytes of its files, at most `limit`; none where it is not listed. What can never be had is `Unusable`. */
  async fetch(name, to, limit) {
    const artifacts = await this.patiently(() => this.service.list(name));
    const artifact = artifacts.find((artifact) => artifact.name === name);
    if (!artifact) return undefined;
    if (Number(artifact.size) > limit + OVERHEAD) throw new Unusable(`artifact ${name} has ${artifact.size} bytes, ${limit} at most`);
    const folder = await mkdtemp(path.join(process.env.RUNNER_TEMP || os.tmpdir(), "nixdag-"));
    try {
      const archive = path.join(folder, "archive");
      const sha256 = await this.patiently(async () => {
        const message = await this.service.download(await this.service.addressOf(artifact));
        const measured = new Measured(limit + OVERHEAD);
        try {
          await pipeline(message, measured, createWriteStream(archive));
        } catch (error) {
          if (measured.size > measured.limit) throw new Unusable(`artifact ${name} has ${error.message}`);
          throw new Lost(`download: ${error.message}`);
        }
        return measured.hash.digest("hex");
      });
      const said = artifact.digest?.value;
      if (said && said !== `sha256:${sha256}`) throw new Unusable(`artifact ${name} has another digest than the service says`);
      await mkdir(to, { recursive: true });
      return await unpack(archive, to, limit).catch((error) => {
        throw isOfMachine(error) ? error : new Unusable(`artifact ${name}: ${error.message}`);
      });
    } catch (error) {
      throw error instanceof Refused && error.status === 404 ? new Unusable(`artifact ${name} has been removed`) : error;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** True for an error of this machine's files, not of an archive. */
function isOfMachine(error) {
  return typeof error.code === "string" && error.syscall !== undefined;
}

/** Without what is signed in addresses: it lets everybody who reads it in. */
function withoutQuery(text) {
  return String(text).replace(/\?[^\s"'`]*/g, "?…").slice(0, 500);
}
