// The action as GitHub runs it: the committed bundle, the stand-in, and a program at the other end of the pipe.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Artifacts } from "../source/artifacts.js";
import { Service } from "../source/service.js";
import { StandIn } from "./stand-in.js";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = await mkdtemp(path.join(os.tmpdir(), "action-"));
process.env.RUNNER_TEMP = root;
const standIn = await new StandIn({}).start();
after(async () => {
  await standIn.stop();
  await rm(root, { recursive: true });
});

await mkdir(path.join(root, "bundle"));
await writeFile(path.join(root, "bundle/nixdag"), "#!/bin/sh\necho 'the program of the bundle'\n");
const own = new Artifacts(new Service(standIn.url, standIn.job("plan")), () => {});
assert.equal(await own.create("nixdag-bundle", [path.join(root, "bundle/nixdag")], 7), "made");

const peer = (...requests) =>
  `${[process.execPath, path.join(here, "peer.js"), ...requests.map((request) => JSON.stringify(request))].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")} <&3 >&4 3<&- 4>&-`;

/** Runs the action; out: its exit code, what it printed, its folder. */
async function act(id, script, variables = {}, when = () => {}) {
  const workspace = path.join(root, `${id}-workspace`);
  await mkdir(workspace, { recursive: true });
  const environment = {
    PATH: process.env.PATH,
    GITHUB_WORKSPACE: workspace,
    GITHUB_RUN_ID: "1",
    RUNNER_TEMP: root,
    INPUT_ID: id,
    INPUT_SCRIPT: script,
    ACTIONS_RUNTIME_TOKEN: standIn.job(id),
    ACTIONS_RESULTS_URL: standIn.url,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: "secret",
    GITHUB_ENV: "/dev/null",
    GITHUB_TOKEN: "secret",
    ...variables,
  };
  const child = spawn(process.execPath, [path.join(here, "../dist/index.cjs")], { env: environment, cwd: root });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      said += chunk;
      when(said, child);
    });
  }
  const code = await new Promise((done) => child.on("close", done));
  return { code, said, workspace };
}

const answers = (said) => said.split("\n").filter((line) => line.startsWith("answer ")).map((line) => JSON.parse(line.slice(7)));

test("nixdag's requests are served, and its records kept", async () => {
  const file = path.join(root, "claim");
  await writeFile(file, "3");
  const to = path.join(root, "fetched");
  const script = `echo 'from a build ::error::no'; .nixdag/bundle/nixdag\nmkdir -p .nixdag/results/logs; echo {} > .nixdag/results/logs/report.json\n${peer(
    { do: "create", name: "x-claim-0-0", files: [file] },
    { do: "create", name: "x-claim-0-0", files: [file] },
    { do: "list" },
    { do: "fetch", name: "x-claim-0-0", to, limit: 10 },
    { do: "fetch", name: "x-claim-1-0", to, limit: 10 },
    { do: "fetch", name: "nixdag-bundle", to: `${to}-2`, limit: 10 },
    { do: "create", name: "../x", files: [file] },
    { do: "create", name: "x", files: [] },
    { do: "create", name: "x", files: [`${file}-none`] },
    { do: "remove", name: "x-claim-0-0" },
  )}\nexit 3\n`;
  const { code, said } = await act("worker-1", script);
  assert.equal(code, 3, said);
  const [made, taken, list, fetched, absent, large, ...errors] = answers(said);
  assert.deepEqual([made, taken, fetched, absent], [{ id: 1, ok: "made" }, { id: 2, ok: "taken" }, { id: 4, ok: "fetched", bytes: 1 }, { id: 5, ok: "absent" }]);
  assert.deepEqual(list, { id: 3, names: ["nixdag-bundle", "x-claim-0-0"] });
  assert.deepEqual([large.id, large.ok], [6, "unusable"]);
  assert.deepEqual(errors.map(({ id, error }) => [id, typeof error]), [7, 8, 9, 10].map((id) => [id, "string"]), said);
  assert.equal(await readFile(path.join(to, "claim"), "utf8"), "3");
  assert.match(said, /the program of the bundle/);
  const [stop] = said.match(/::stop-commands::[0-9a-f]{32}\n/);
  const end = said.indexOf(`\n::${stop.trim().slice("::stop-commands::".length)}::`);
  assert.ok(said.indexOf(stop) < said.indexOf("from a build") && said.indexOf("from a build") < end, said);
  const names = JSON.parse(said.split("\n").find((line) => line.startsWith("environment ")).slice(12));
  const kept = names.filter((name) => /ACTIONS|INPUT|TOKEN|GITHUB_ENV/.test(name));
  assert.deepEqual([kept, names.includes("GITHUB_RUN_ID"), names.includes("NIXDAG_JOB")], [[], true, true]);
  assert.ok(!said.includes("sig="), said);
  const records = path.join(root, "records");
  assert.equal(await own.fetch("nixdag-results-worker-1", records, 10), 3);
  assert.ok(existsSync(path.join(records, "logs/report.json")));
});

test("what a worker has built is handed on by job, where something is behind the workers", async () => {
  const plan = { workers: { crews: [{ lanes: [["a", "b"], ["c"]] }] }, jobs: ["a", "b", "c", "d"].map((id) => ({ id, derivations: [`/${id}.drv`] })) };
  const record = { derivations: [{ derivation: "/a.drv", outcome: "built" }, { derivation: "/c.drv", outcome: "substituted" }, { derivation: "/d.drv", outcome: "built" }] };
  const script = `mkdir -p .nixdag/results .nixdag/handoff/{a,b,c,d}/nar; for job in a b c d; do echo "$job" > .nixdag/handoff/$job/nar/x; done
    echo '${JSON.stringify(plan)}' > .nixdag/bundle/plan.json; echo '${JSON.stringify(record)}' > .nixdag/results/report.json`;
  assert.equal((await act("nixdag-worker-0", script)).code, 0);
  const to = path.join(root, "handed");
  assert.equal(await own.fetch("nixdag-job-nixdag-worker-0", to, 10), 2);
  assert.equal(await readFile(path.join(to, "a/nar/x"), "utf8"), "a\n");
});

test("a later attempt keeps its records beside those of the first", async () => {
  const { code } = await act("worker-1", "mkdir .nixdag/results; echo {} > .nixdag/results/a", { GITHUB_RUN_ATTEMPT: "2" });
  assert.equal(code, 0);
  assert.ok((await own.list()).includes("nixdag-results-worker-1-2"));
});

test("what is not a request ends the worker", async () => {
  for (const send of ["words\n", "[]\n", '{"do":"list"}\n', "null\n"]) {
    const { code, said } = await act("worker-2", peer({ send }));
    assert.notEqual(code, 0, said);
    assert.match(said, /nixdag has sent /);
  }
});

test("a process that a build leaves behind holds nothing up", async () => {
  const { code, said } = await act("worker-3", "sleep 60 >/dev/null 2>&1 & echo $!; exit 0");
  process.kill(Number(said.match(/^(\d+)$/m)[1]));
  assert.equal(code, 0, said);
});

test("what the runner sends to the action reaches nixdag", async () => {
  const script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done";
  const { code, said } = await act("worker-4", script, {}, (said, child) => said.endsWith("ready\n") && child.kill("SIGINT"));
  assert.equal(code, 9, said);
  assert.match(said, /interrupted/);
});

test("what is missing is named", async () => {
  for (const [variables, words] of [
    [{ ACTIONS_RUNTIME_TOKEN: "" }, /ACTIONS_RUNTIME_TOKEN/],
    [{ ACTIONS_RUNTIME_TOKEN: "a.b.c" }, /token/],
    [{ INPUT_ID: "A b" }, /`id`/],
  ]) {
    const { code, said } = await act("worker-5", "true", variables);
    assert.equal(code, 1);
    assert.match(said, words);
    assert.match(said, /^::error::nixdag worker: /m);
  }
});
