// A stand-in for GitHub's artifact service, as strict as what is written about it: names are unique in a run and stay so, artifacts do not change, and show themselves when they are
// complete, some listings later. It can lose answers.
//
// As a program: `node stand-in.js OPTIONS` listens on the loopback, and prints a line `{"url", "tokens"}` with a token for each job. Options are those of `StandIn` in JSON, and `jobs`, their names.

import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { unpack } from "../source/archive.js";
import { archiveOf } from "./archive.js";

const SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/";
const FIELDS = {
  CreateArtifact: ["workflow_run_backend_id", "workflow_job_run_backend_id", "name", "expires_at", "version", "mime_type"],
  FinalizeArtifact: ["workflow_run_backend_id", "workflow_job_run_backend_id", "name", "size", "hash"],
  ListArtifacts: ["workflow_run_backend_id", "workflow_job_run_backend_id", "name_filter", "id_filter"],
  GetSignedArtifactURL: ["workflow_run_backend_id", "workflow_job_run_backend_id", "name"],
};

/** A token as the runner has it; its signature is not looked at by anybody here. */
export function tokenOf(run, job) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ scp: `Actions.GenericRead:1 Actions.Results:${run}:${job}` })}.${randomBytes(12).toString("base64url")}`;
}

class Fault extends Error {
  constructor(status, code, msg) {
    super(msg);
    Object.assign(this, { status, code });
  }
}

const refuse = (condition, status, code, msg) => {
  if (condition) throw new Fault(status, code, msg);
};

export class StandIn {
  /**
   * `faults`: each `{on, name?, how, times?}`, where `on` is a method, `upload` or `download`; `how` is `lost` (done, and the connection breaks), `dropped` (not done, the same), `error` (done, answered 500),
   * `busy` (not done, 429), `garbage` (done, answered with something else). `late`: how many listings an artifact is missing from. `folder`: artifacts are in folders
   * of their names there, too, where actions that stand in for GitHub's own leave and find them.
   */
  constructor({ faults = [], late = 0, perJob = 500, folder } = {}) {
    Object.assign(this, { faults: faults.map((fault) => ({ times: 1, ...fault })), late, perJob, folder });
    this.run = "run-1";
    this.tokens = new Map();
    this.artifacts = new Map();
    this.asked = [];
    this.next = 1;
    this.server = createServer((request, response) => this.serve(request, response));
  }

  async start() {
    await new Promise((done) => this.server.listen(0, "127.0.0.1", done));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** The token of another job of the run. */
  job(name) {
    const token = tokenOf(this.run, name);
    this.tokens.set(token, name);
    return token;
  }

  /** How often a method was asked for. */
  count(method) {
    return this.asked.filter((asked) => asked.method === method).length;
  }

  fault(on, name) {
    const fault = this.faults.find((fault) => fault.on === on && fault.times > 0 && (fault.name === undefined || fault.name === name));
    if (fault) fault.times -= 1;
    return fault?.how;
  }

  async serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url, this.url);
    const send = (status, type, bytes) => response.writeHead(status, { "content-type": type }).end(bytes);
    const json = (status, value) => send(status, "application/json", JSON.stringify(value));
    try {
      const method = url.pathname.startsWith(SERVICE) ? url.pathname.slice(SERVICE.length) : request.method === "PUT" ? "upload" : "download";
      const parsed = url.pathname.startsWith(SERVICE) ? JSON.parse(body.toString("utf8")) : {};
      const how = this.fault(method, parsed.name ?? decodeURIComponent(url.pathname.split("/").at(-1)));
      this.asked.push({ method, name: parsed.name });
      if (how === "dropped") return request.socket.destroy();
      refuse(how === "busy", 429, "resource_exhausted", "slow down");
      await this.read();
      const answer = method === "upload" ? this.upload(request, url, body) : method === "download" ? this.download(request, url) : this.call(request, method, parsed);
      await this.write();
      if (how === "lost") return request.socket.destroy();
      if (how === "error") return json(500, { code: "internal", msg: "an internal error" });
      if (how === "garbage") return send(200, "text/html", "<html>a proxy</html>");
      if (answer instanceof Buffer) return send(200, "application/zip", answer);
      if (method === "upload") return response.writeHead(201, { "x-ms-request-id": "1", etag: '"1"', "last-modified": new Date().toUTCString() }).end();
      return json(200, answer);
    } catch (error) {
      if (!(error instanceof Fault)) return json(400, { code: "malformed", msg: String(error) });
      return json(error.status, { code: error.code, msg: error.message });
    }
  }

  /** Takes in what others have left in the folder. */
  async read() {
    if (this.folder === undefined) return;
    for (const name of readdirSync(this.folder).filter((name) => !this.artifacts.has(name))) {
      const files = readdirSync(path.join(this.folder, name), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      const paths = files.map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
      const content = archiveOf(paths.map((file) => ({ name: path.relative(path.join(this.folder, name), file), content: readFileSync(file) })));
      const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
      this.artifacts.set(name, { name, job: "others", key: randomBytes(16).toString("hex"), parts: new Map(), content, digest, id: this.next, missing: 0 });
      this.next += 1;
    }
  }

  /** Leaves there what became complete here. */
  async write() {
    for (const { name, id, content } of this.folder === undefined ? [] : this.artifacts.values()) {
      const to = path.join(this.folder, name);
      if (id === undefined || existsSync(to)) continue;
      mkdirSync(to);
      const archive = `${this.folder}-${id}`;
      writeFileSync(archive, content);
      await unpack(archive, to, content.length);
      rmSync(archive);
    }
  }

  call(request, method, said) {
    refuse(request.method !== "POST" || request.headers["content-type"] !== "application/json", 404, "bad_route", "not a call");
    refuse(!FIELDS[method], 404, "bad_route", `no handler for ${method}`);
    const job = this.tokens.get((request.headers.authorization ?? "").replace(/^Bearer /, ""));
    refuse(job === undefined, 401, "unauthenticated", "the token is not valid");
    const unknown = Object.keys(said).find((key) => !FIELDS[method].includes(key));
    refuse(unknown, 400, "malformed", `the field ${unknown}`);
    refuse(said.workflow_run_backend_id !== this.run, 403, "permission_denied", "another run");
    const owns = ["CreateArtifact", "FinalizeArtifact"].includes(method);
    refuse(owns && said.workflow_job_run_backend_id !== job, 403, "permission_denied", "another job");
    return this[method](said, job);
  }

  CreateArtifact({ name, version, mime_type, expires_at }, job) {
    refuse(typeof name !== "string" || name === "" || /["':<>|*?\r\n\\/]/.test(name), 400, "invalid_argument", "the artifact's name");
    refuse(version !== 7 && version !== 4, 400, "invalid_argument", "the version");
    refuse(version === 7 && typeof mime_type !== "string", 400, "invalid_argument", "the type");
    refuse(expires_at !== undefined && !(Date.parse(expires_at) > Date.now()), 400, "invalid_argument", "it has expired");
    refuse(this.artifacts.has(name), 409, "already_exists", "an artifact with this name already exists on the workflow run");
    const own = [...this.artifacts.values()].filter((artifact) => artifact.job === job).length;
    refuse(own >= this.perJob, 400, "failed_precondition", `a job has ${this.perJob} artifacts at most`);
    const key = randomBytes(16).toString("hex");
    this.artifacts.set(name, { name, job, key, parts: new Map(), content: undefined, id: undefined, missing: this.late });
    return { ok: true, signed_upload_url: `${this.url}/blobs/${encodeURIComponent(name)}?sig=${key}&sp=cw` };
  }

  FinalizeArtifact({ name, size, hash }, job) {
    const artifact = this.artifacts.get(name);
    refuse(!artifact || artifact.job !== job, 404, "not_found", "no such artifact");
    refuse(artifact.id !== undefined, 409, "already_exists", "it is complete");
    refuse(!artifact.content, 412, "failed_precondition", "nothing has been uploaded");
    refuse(String(size) !== String(artifact.content.length), 400, "invalid_argument", `the size ${size}`);
    const digest = `sha256:${createHash("sha256").update(artifact.content).digest("hex")}`;
    refuse(hash !== undefined && hash !== digest, 400, "invalid_argument", "the digest");
    Object.assign(artifact, { id: this.next, digest });
    this.next += 1;
    return { ok: true, artifact_id: String(artifact.id) };
  }

  ListArtifacts({ name_filter, id_filter }) {
    const shown = [];
    for (const artifact of this.artifacts.values()) {
      if (artifact.id === undefined || (name_filter !== undefined && name_filter !== artifact.name)) continue;
      if (id_filter !== undefined && id_filter !== String(artifact.id)) continue;
      artifact.missing -= 1;
      if (artifact.missing >= 0) continue;
      shown.push({
        workflow_run_backend_id: this.run,
        workflow_job_run_backend_id: artifact.job,
        database_id: String(artifact.id),
        name: artifact.name,
        size: String(artifact.content.length),
        created_at: new Date().toISOString(),
        digest: artifact.digest,
      });
    }
    return { artifacts: shown };
  }

  GetSignedArtifactURL({ name, workflow_job_run_backend_id }) {
    const artifact = this.artifacts.get(name);
    refuse(artifact?.id === undefined || artifact.job !== workflow_job_run_backend_id, 404, "not_found", "no such artifact");
    return { signed_url: `${this.url}/blobs/${encodeURIComponent(name)}?sig=${artifact.key}&sp=r` };
  }

  blob(request, url, permission) {
    const artifact = this.artifacts.get(decodeURIComponent(url.pathname.replace("/blobs/", "")));
    refuse(request.headers.authorization !== undefined, 400, "malformed", "a token goes to no store of blobs");
    refuse(!artifact || url.searchParams.get("sig") !== artifact.key || url.searchParams.get("sp") !== permission, 403, "AuthenticationFailed", "the signature");
    return artifact;
  }

  upload(request, url, body) {
    const artifact = this.blob(request, url, "cw");
    refuse(artifact.id !== undefined, 403, "AuthenticationFailed", "the artifact is complete");
    if (url.searchParams.get("comp") === "block") {
      artifact.parts.set(url.searchParams.get("blockid"), body);
      return {};
    }
    refuse(url.searchParams.get("comp") !== "blocklist", 400, "malformed", "an upload in one part");
    const ids = [...body.toString("utf8").matchAll(/<Latest>([^<]*)<\/Latest>/g)].map(([, id]) => id);
    refuse(!ids.every((id) => artifact.parts.has(id)), 400, "InvalidBlockList", "a part is missing");
    artifact.content = Buffer.concat(ids.map((id) => artifact.parts.get(id)));
    return {};
  }

  download(request, url) {
    const { content } = this.blob(request, url, "r");
    refuse(request.method !== "GET", 405, "bad_method", "not a download");
    return content;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { jobs = ["job-1"], ...options } = JSON.parse(process.argv[2] ?? "{}");
  const standIn = await new StandIn(options).start();
  console.log(JSON.stringify({ url: standIn.url, tokens: jobs.map((job) => standIn.job(job)) }));
}
