// The store that the action makes of artifacts, against the stand-in.

import assert from "node:assert/strict";
import { mkdtemp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { unpack } from "../source/archive.js";
import { PassThrough, Readable } from "node:stream";
import { Artifacts, Unusable, rootOf } from "../source/artifacts.js";
import { serve } from "../source/pipe.js";
import { Service } from "../source/service.js";
import { archiveOf } from "./archive.js";
import { StandIn } from "./stand-in.js";

process.env.RUNNER_TEMP = await mkdtemp(path.join(os.tmpdir(), "worker-"));
const started = [];
after(async () => {
  await Promise.all(started.map((standIn) => standIn.stop()));
  await rm(process.env.RUNNER_TEMP, { recursive: true });
});

async function store(options) {
  const standIn = await new StandIn(options).start();
  started.push(standIn);
  const log = [];
  const artifacts = (job) => new Artifacts(new Service(standIn.url, standIn.job(job)), (line) => log.push(line), async () => {});
  return { standIn, log, artifacts };
}

async function folder(files) {
  const root = await mkdtemp(path.join(process.env.RUNNER_TEMP, "files-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), content);
  }
  return root;
}

test("of several workers one makes a name, and all can read what it holds", async () => {
  const { artifacts } = await store();
  const from = await folder({ "a.narinfo": "a", "nar/b": Buffer.alloc(20_000_000, 7), empty: "" });
  const files = ["a.narinfo", "nar/b", "empty"].map((name) => path.join(from, name));
  const workers = ["one", "two", "three"].map(artifacts);
  const said = await Promise.all(workers.map((worker) => worker.create("claim-0-0", files, 1)));
  assert.deepEqual(said.sort(), ["made", "taken", "taken"]);
  assert.deepEqual(await workers[1].list(), ["claim-0-0"]);
  const to = path.join(from, "to");
  assert.equal(await workers[2].fetch("claim-0-0", to, 20_000_001), 20_000_001);
  assert.equal(await readFile(path.join(to, "a.narinfo"), "utf8"), "a");
  assert.equal((await readFile(path.join(to, "nar/b"))).length, 20_000_000);
  assert.equal(await workers[2].fetch("none", to, 1), undefined);
  await assert.rejects(workers[0].fetch("claim-0-0", path.join(from, "small"), 1000), (error) => error instanceof Unusable && /bytes/.test(error.message));
});

test("what somebody has made that is too large is of no use, and no error of the store", async () => {
  const { artifacts } = await store();
  const from = await folder({ claim: Buffer.alloc(600, 1), big: Buffer.alloc(3 << 20, 1) });
  const worker = artifacts("one");
  for (const name of ["claim", "big"]) {
    assert.equal(await worker.create(name, [path.join(from, name)], 1), "made");
    // Within what an archive may have beside its files, and beyond.
    await assert.rejects(worker.fetch(name, path.join(from, `to-${name}`), 512), Unusable);
  }
  const answers = new PassThrough();
  const requests = ["claim", "big", "none"].map((name, id) => `${JSON.stringify({ id, do: "fetch", name, to: path.join(from, `at-${name}`), limit: 512 })}\n`);
  await serve(Readable.from(requests), answers, worker);
  const said = answers.read().toString().trim().split("\n").map((line) => JSON.parse(line)).sort((a, b) => a.id - b.id);
  assert.deepEqual(said.map((one) => one.ok), ["unusable", "unusable", "absent"]);
  assert.match(said[0].why, /bytes/);
});

for (const how of ["lost", "error", "garbage"]) {
  test(`an answer to a claim that is ${how} is not repeated, and never counts as somebody else's`, async () => {
    const { standIn, artifacts } = await store({ faults: [{ on: "CreateArtifact", how }] });
    const files = [path.join(await folder({ a: "1" }), "a")];
    const worker = artifacts("one");
    assert.equal(await worker.create("claim-0-0", files, 1), "lost");
    assert.equal(standIn.count("CreateArtifact"), 1);
    assert.equal(await worker.create("claim-0-0", files, 1), "taken", "asked once more by nixdag, which knows that an answer was lost");
  });
}

test("a request that never came through is lost too, and can be made later", async () => {
  const { artifacts } = await store({ faults: [{ on: "CreateArtifact", how: "dropped" }] });
  const files = [path.join(await folder({ a: "1" }), "a")];
  const worker = artifacts("one");
  assert.deepEqual([await worker.create("n", files, 1), await worker.create("n", files, 1)], ["lost", "made"]);
});

test("a service that is busy, or not there, has made nothing", async () => {
  const { standIn, artifacts } = await store({ faults: [{ on: "CreateArtifact", how: "busy" }] });
  const files = [path.join(await folder({ a: "1" }), "a")];
  const worker = artifacts("one");
  assert.deepEqual([await worker.create("n", files, 1), await worker.create("n", files, 1)], ["again", "made"]);
  await standIn.stop();
  started.splice(started.indexOf(standIn), 1);
  assert.equal(await worker.create("m", files, 1), "again");
});

test("what follows the claim is repeated, whatever is lost", async () => {
  for (const on of ["upload", "FinalizeArtifact", "ListArtifacts", "GetSignedArtifactURL", "download"]) {
    for (const how of ["lost", "dropped", "error", "busy"]) {
      const { standIn, artifacts } = await store({ faults: [{ on, how }], late: on === "FinalizeArtifact" ? 1 : 0 });
      const files = [path.join(await folder({ a: "1" }), "a")];
      const worker = artifacts("one");
      assert.equal(await worker.create("n", files, 1), "made", `${on} ${how}`);
      assert.equal(standIn.count("CreateArtifact"), 1);
      let bytes;
      for (let tried = 0; bytes === undefined && tried < 3; tried += 1) bytes = await artifacts("two").fetch("n", path.join(path.dirname(files[0]), "to"), 10);
      assert.equal(bytes, 1, `${on} ${how}`);
    }
  }
});

test("a name that was reserved and not completed is completed when nixdag asks again", async () => {
  const { standIn, artifacts } = await store({ faults: [{ on: "FinalizeArtifact", how: "dropped", times: 5 }] });
  const files = [path.join(await folder({ a: "1" }), "a")];
  const worker = artifacts("one");
  assert.equal(await worker.create("n", files, 1), "lost");
  assert.equal(await artifacts("two").create("n", files, 1), "taken");
  assert.deepEqual(await worker.list(), []);
  assert.equal(await worker.create("n", files, 1), "made");
  assert.equal(standIn.count("CreateArtifact"), 2, "the other worker's and the first one");
});

test("what is late in a listing is absent until it shows itself", async () => {
  const { artifacts } = await store({ late: 2 });
  const from = await folder({ a: "1" });
  const worker = artifacts("one");
  assert.equal(await worker.create("n", [path.join(from, "a")], 1), "made");
  const seen = [await worker.list(), await worker.list(), await worker.list()].map((names) => names.length);
  assert.deepEqual(seen, [0, 0, 1]);
});

test("a wrong token is an error, not an answer", async () => {
  const { standIn, artifacts } = await store();
  const files = [path.join(await folder({ a: "1" }), "a")];
  standIn.tokens.clear();
  const worker = artifacts("one");
  standIn.tokens.clear();
  await assert.rejects(worker.create("n", files, 1), /401/);
  await assert.rejects(worker.list(), /401/);
  assert.throws(() => new Service(standIn.url, "a.b.c"), /token/);
});

test("files are archived from their deepest common folder on", () => {
  assert.equal(rootOf(["/a/b/c"]), "/a/b");
  assert.equal(rootOf(["/a/b/c", "/a/bd/c"]), "/a");
  assert.equal(rootOf(["/a", "/b/c"]), "/");
});

const archive = (file) => archiveOf([{ name: "a", content: Buffer.from("words"), ...file }], file);

test("an archive is taken with plain names and the sizes that it says, and not otherwise", async () => {
  const unpacked = async (bytes, limit = 100) => {
    const root = await folder({ archive: bytes });
    const said = await unpack(path.join(root, "archive"), path.join(root, "to"), limit);
    return [said, root];
  };
  for (const method of [0, 8]) {
    const [bytes, root] = await unpacked(archive({ name: "x/y", method }));
    assert.deepEqual([bytes, await readFile(path.join(root, "to/x/y"), "utf8")], [5, "words"]);
  }
  for (const name of ["../a", "/a", "a/../b", "a//b", "./a", "a\\b", "a\n", "", ".."]) await assert.rejects(unpacked(archive({ name })), /called/, name);
  const wrong = [{ mode: 0o120777 }, { mode: 0o060644 }, { size: 4 }, { size: 6 }, { packed: 500 }, { method: 99 }, { offset: 7 }, { count: 2 }, { count: 0xffff }];
  for (const field of wrong) await assert.rejects(unpacked(archive(field)), Error, JSON.stringify(field));
  await assert.rejects(unpacked(archive({ content: Buffer.alloc(200), method: 8 })), /more than 100/);
  await assert.rejects(unpacked(archive({ content: Buffer.alloc(1_000_000), size: 50, method: 8 })), /more bytes/);
  await assert.rejects(unpacked(Buffer.from("words")), /not an archive/);
  await assert.rejects(unpacked(Buffer.alloc(0)), /not an archive/);
  const good = archive({ name: "x/y" });
  for (let cut = 1; cut < good.length; cut += 1) await assert.rejects(unpacked(good.subarray(0, cut)), Error, String(cut));
});

test("a file of the archive overwrites nothing and follows no link", async () => {
  const root = await folder({ archive: archive({}), "to/a": "mine", elsewhere: "mine" });
  await assert.rejects(unpack(path.join(root, "archive"), path.join(root, "to"), 100), /EEXIST/);
  await rm(path.join(root, "to/a"));
  await symlink("../elsewhere", path.join(root, "to/a"));
  await assert.rejects(unpack(path.join(root, "archive"), path.join(root, "to"), 100), /EEXIST/);
  assert.equal(await readFile(path.join(root, "elsewhere"), "utf8"), "mine");
});
