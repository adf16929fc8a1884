// nixdag's half of a conversation, a line of JSON each: {"id", "do": "create" | "list" | "fetch", …}. Out: answers with the same id, in any order.

import { Unusable } from "./artifacts.js";

/** Most characters of a request: the paths of a large batch. */
const LINE = 4 << 20;

/** Requests that are worked on at once. */
const AT_ONCE = 8;

/** How long workers' artifacts are kept, days. */
const DAYS = 1;

/** The artifact that a request is about. */
function nameOf(request) {
  if (typeof request.name !== "string" || !/^[A-Za-z0-9._-]{1,200}$/.test(request.name)) throw new Error("an artifact's name");
  return request.name;
}

function isPath(value) {
  return typeof value === "string" && value.startsWith("/") && !value.includes("\0");
}

/** Does what a request says. Out: the answer, less its id. */
async function answer(request, artifacts) {
  switch (request.do) {
    case "create": {
      const { files } = request;
      if (!Array.isArray(files) || files.length === 0 || !files.every(isPath)) throw new Error("`files` is not a list of paths");
      return { ok: await artifacts.create(nameOf(request), files, DAYS) };
    }
    case "list":
      return { names: await artifacts.list() };
    case "fetch": {
      const { to, limit } = request;
      if (!isPath(to) || !Number.isSafeInteger(limit) || limit < 0) throw new Error("`to` is not a path, or `limit` not a number of bytes");
      const name = nameOf(request);
      try {
        const bytes = await artifacts.fetch(name, to, limit);
        return bytes === undefined ? { ok: "absent" } : { ok: "fetched", bytes };
      } catch (error) {
        if (error instanceof Unusable) return { ok: "unusable", why: error.message.slice(0, 1000) };
        throw error;
      }
    }
    default:
      throw new Error(`\`${String(request.do).slice(0, 40)}\` is not known`);
  }
}

/** The lines of a stream. */
async function* lines(input) {
  let rest = "";
  input.setEncoding("utf8");
  for await (const chunk of input) {
    rest += chunk;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 1);
    }
    if (rest.length > LINE) throw new Error("nixdag has sent a line that does not end");
  }
  if (rest !== "") throw new Error("nixdag has ended in the middle of a line");
}

/** Answers until `input` ends and nothing is under way. What cannot be read as a request is an error: then the two do not speak the same language. */
export async function serve(input, output, artifacts) {
  const underWay = new Set();
  const creating = new Map();
  for await (const line of lines(input)) {
    let request;
    try {
      request = JSON.parse(line);
    } catch {
      request = undefined;
    }
    if (!Number.isSafeInteger(request?.id)) throw new Error(`nixdag has sent ${JSON.stringify(line.slice(0, 200))}`);
    while (underWay.size >= AT_ONCE) await Promise.race(underWay);
    // One artifact is not made twice at once: the second one goes on where the first has ended.
    const before = request.do === "create" ? creating.get(request.name) : undefined;
    const work = Promise.resolve(before)
      .then(() => answer(request, artifacts))
      .catch((error) => ({ error: String(error?.message ?? error).slice(0, 1000) }))
      .then((said) => {
        underWay.delete(work);
        if (creating.get(request.name) === work) creating.delete(request.name);
        output.write(`${JSON.stringify({ id: request.id, ...said })}\n`);
      });
    underWay.add(work);
    if (request.do === "create") creating.set(request.name, work);
  }
  await Promise.all(underWay);
}
