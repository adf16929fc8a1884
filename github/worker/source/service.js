// GitHub's artifact service. In: one request. Out: its answer, or what is known of a request that has none.
//
// Each function sends its request once. @actions/artifact would repeat CreateArtifact after an answer that was lost, and take its own artifact for somebody else's then:
// so only its description of the messages is used here.

import { HttpClient } from "@actions/http-client";
import { ArtifactServiceClientJSON, StringValue } from "../node_modules/@actions/artifact/lib/generated/index.js";

/** Most bytes of an answer: a listing of some ten thousand artifacts. */
const ANSWER_BYTES = 32 << 20;

/** How long the service may be silent, milliseconds. */
const SILENCE = 60_000;

/** The service has refused a request, and done nothing. */
export class Refused extends Error {
  constructor(what, status, words) {
    super(`${what}: ${status}${words ? `, ${words}` : ""}`);
    this.status = status;
  }

  /** True where the same request may be taken later. */
  get isBusy() {
    return this.status === 429;
  }
}

/** Nobody knows whether a request has been done. */
export class Lost extends Error {}

/** Reads an answer's text, bounded. */
async function text(message) {
  const chunks = [];
  let size = 0;
  for await (const chunk of message) {
    size += chunk.length;
    if (size > ANSWER_BYTES) throw new Error(`an answer of more than ${ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The ids of the run and of the job, which the runner's token names. */
export function idsOf(token) {
  let claims;
  try {
    claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  } catch {
    throw new Error("the runner's token cannot be read");
  }
  for (const scope of String(claims.scp ?? "").split(" ")) {
    const [kind, run, job, ...rest] = scope.split(":");
    if (kind === "Actions.Results" && run && job && rest.length === 0) return { workflowRunBackendId: run, workflowJobRunBackendId: job };
  }
  throw new Error("the runner's token names neither run nor job");
}

/** The service of a run. */
export class Service {
  /** `address` and `token` are what the runner gives to actions. */
  constructor(address, token) {
    this.address = new URL(address).origin;
    this.ids = idsOf(token);
    // No connection is kept: one that the service has closed meanwhile would lose the next request.
    const options = { allowRedirects: false, allowRetries: false, socketTimeout: SILENCE };
    this.http = new HttpClient("nixdag-worker", [], { ...options, headers: { authorization: `Bearer ${token}` } });
    this.plain = new HttpClient("nixdag-worker", [], options);
    this.client = new ArtifactServiceClientJSON({ request: (service, method, type, data) => this.request(service, method, type, data) });
  }

  async request(service, method, type, data) {
    let status;
    let said;
    try {
      const { message } = await this.http.post(`${this.address}/twirp/${service}/${method}`, JSON.stringify(data), { "content-type": type, accept: type });
      status = message.statusCode;
      said = await text(message);
    } catch (error) {
      // Nothing was sent where nobody listened.
      if (["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"].includes(error.code)) throw new Refused(method, 429, error.code);
      throw new Lost(`${method}: ${error.message}`);
    }
    let body;
    try {
      body = JSON.parse(said);
    } catch {
      body = undefined;
    }
    if (status >= 400 && status < 500 && status !== 408) throw new Refused(method, status, typeof body?.msg === "string" ? body.msg.slice(0, 300) : "");
    if (status !== 200 || body === null || typeof body !== "object") throw new Lost(`${method}: status ${status}`);
    return body;
  }

  /** Reserves a name, until `expires` (a message `Timestamp`). Out: the address to upload to. */
  async create(name, expiresAt) {
    const mimeType = StringValue.create({ value: "application/zip" });
    const answer = await this.client.CreateArtifact({ ...this.ids, name, mimeType, version: 7, expiresAt });
    if (!answer.ok || !answer.signedUploadUrl) throw new Lost("CreateArtifact: not ok");
    return answer.signedUploadUrl;
  }

  /** Shows an artifact to others, once it is uploaded. */
  async finalize(name, size, sha256) {
    const hash = StringValue.create({ value: `sha256:${sha256}` });
    const answer = await this.client.FinalizeArtifact({ ...this.ids, name, size: String(size), hash });
    if (!answer.ok) throw new Lost("FinalizeArtifact: not ok");
  }

  /** The artifacts of the run that are complete; all, or those with a name. */
  async list(name) {
    const nameFilter = name === undefined ? undefined : StringValue.create({ value: name });
    const { artifacts } = await this.client.ListArtifacts({ ...this.ids, nameFilter });
    return artifacts;
  }

  /** The address of an artifact that was listed. */
  async addressOf({ workflowRunBackendId, workflowJobRunBackendId, name }) {
    const { signedUrl } = await this.client.GetSignedArtifactURL({ workflowRunBackendId, workflowJobRunBackendId, name });
    if (!signedUrl) throw new Lost("GetSignedArtifactURL: no address");
    return signedUrl;
  }

  /** What is at such an address: a stream of bytes. */
  async download(address) {
    let message;
    try {
      ({ message } = await this.plain.get(address));
    } catch (error) {
      throw new Lost(`download: ${error.message}`);
    }
    if (message.statusCode === 200) return message;
    message.resume();
    if (message.statusCode >= 500) throw new Lost(`download: status ${message.statusCode}`);
    throw new Refused("download", message.statusCode);
  }
}
