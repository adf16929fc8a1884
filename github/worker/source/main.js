// The action. In: its inputs and what the runner gives to actions. It fetches the bundle, runs the script that the plan has for a worker, serves it by a pipe, and leaves its records.
//
// The script has the pipe as descriptors 3 (answers) and 4 (requests), and gives it to nixdag alone. The runner's tokens stay here: neither nixdag nor a builder gets them.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { Artifacts } from "./artifacts.js";
import { serve } from "./pipe.js";
import { Service } from "./service.js";

/** Most bytes of a bundle. */
const BUNDLE_BYTES = 16 * 2 ** 30;

/** How long hand-offs are kept, days. */
const HAND_OFF_DAYS = 1;

/** How long records are kept, days. */
const RECORD_DAYS = 7;

/** What no program that is started here gets: the runner's tokens, and files by which a later step's environment is changed. */
const KEPT_BACK = /^(ACTIONS_.*|INPUT_.*|GITHUB_TOKEN|GITHUB_ENV|GITHUB_OUTPUT|GITHUB_PATH|GITHUB_STATE|GITHUB_STEP_SUMMARY)$/;

const log = (line) => console.log(`nixdag worker: ${line}`);

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`\`${name}\` is not set: this runs as an action on GitHub`);
  return value;
}

/** Regular files below a folder. */
async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => path.resolve(entry.parentPath ?? entry.path, entry.name));
}

/** Leaves the files of some folders below `root` as an artifact; another attempt of a job leaves another one. */
async function keep(artifacts, name, root, folders, days) {
  const files = (await Promise.all(folders.map((folder) => filesBelow(path.join(root, folder))))).flat();
  if (files.length === 0) return;
  const attempt = process.env.GITHUB_RUN_ATTEMPT ?? "1";
  const own = attempt === "1" ? name : `${name}-${attempt}`;
  const said = await artifacts.create(own, files, days, path.resolve(root)).catch((error) => error.message);
  if (said !== "made") log(`the artifact ${own} is not there: ${said}`);
}

/** The jobs of the plan of which this worker has built something. The script has their results in the folder of hand-offs where jobs behind the workers need them. */
async function builtHere() {
  try {
    const read = async (file) => JSON.parse(await readFile(file, "utf8"));
    const [plan, record] = [await read(".nixdag/bundle/plan.json"), await read(".nixdag/results/report.json")];
    const tasks = new Set(plan.workers.crews.flatMap((crew) => crew.lanes.flat()));
    const built = new Set(record.derivations.filter((one) => one.outcome === "built").map((one) => one.derivation));
    const ids = plan.jobs.filter((job) => tasks.has(job.id) && job.derivations.some((one) => built.has(one))).map((job) => job.id);
    return ids.filter((id) => /^[a-z][a-z0-9_-]{0,62}$/.test(id));
  } catch {
    return [];
  }
}

/** Runs the script. Out: its exit code. */
async function run(script, environment, artifacts) {
  const child = spawn("bash", ["-eo", "pipefail", "-c", script], { env: environment, stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"] });
  const [, , , answers, requests] = child.stdio;
  const pass = (signal) => child.kill(signal);
  ["SIGINT", "SIGTERM"].forEach((signal) => process.on(signal, pass));
  // Who has left reads no more answers.
  answers.on("error", () => {});
  const served = serve(requests, answers, artifacts).catch((error) => {
    log(error.message);
    child.kill("SIGTERM");
    return error;
  });
  const code = await new Promise((done, refused) => {
    child.on("error", refused);
    child.on("exit", (code, signal) => done(code ?? (signal ? 1 : 0)));
  });
  // A process in the background may hold the pipe open.
  const failed = await Promise.race([served, new Promise((done) => setTimeout(done, 2000))]);
  requests.destroy();
  answers.destroy();
  return failed ? code || 1 : code;
}

async function main() {
  const [id, script] = [required("INPUT_ID"), required("INPUT_SCRIPT")];
  if (!/^[a-z][a-z0-9_-]{0,62}$/.test(id)) throw new Error("`id` is not the id of a worker");
  const service = new Service(required("ACTIONS_RESULTS_URL"), required("ACTIONS_RUNTIME_TOKEN"));
  const artifacts = new Artifacts(service, log);
  process.chdir(required("GITHUB_WORKSPACE"));
  await rm(".nixdag", { recursive: true, force: true });
  for (const folder of [".nixdag", ".nixdag/handoff"]) await mkdir(folder, { mode: 0o700 });
  if ((await artifacts.fetch("nixdag-bundle", path.resolve(".nixdag/bundle"), BUNDLE_BYTES)) === undefined) {
    throw new Error("the artifact `nixdag-bundle` is not there: start a new run");
  }
  // Artifacts have no mode bits. The script checks the file before it runs it.
  await chmod(".nixdag/bundle/nixdag", 0o755).catch(() => {});

  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !KEPT_BACK.test(name)));
  environment.NIXDAG_JOB = id;
  const token = randomBytes(16).toString("hex");
  // nixdag folds away what it says of each build. Nobody else knows the word.
  environment.NIXDAG_LOG_WORD = token;
  // What a build prints is no command for GitHub.
  console.log(`::stop-commands::${token}`);
  let code;
  try {
    code = await run(script, environment, artifacts);
    await keep(artifacts, `nixdag-job-${id}`, ".nixdag/handoff", await builtHere(), HAND_OFF_DAYS);
    await keep(artifacts, `nixdag-results-${id}`, ".nixdag/results", [""], RECORD_DAYS);
  } finally {
    console.log(`\n::${token}::`);
  }
  return code;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.log(`::error::nixdag worker: ${String(error?.message ?? error).replace(/[%\r\n]/g, " ").slice(0, 1000)}`);
    process.exit(1);
  },
);
