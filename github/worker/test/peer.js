// Takes nixdag's place at the pipe: sends the requests that its arguments are, one after another, and writes each answer to standard error. `{"send": text}` sends text as it is.

import { createInterface } from "node:readline";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
console.error(`environment ${JSON.stringify(Object.keys(process.env))}`);
let id = 0;
for (const argument of process.argv.slice(2)) {
  const request = JSON.parse(argument);
  id += 1;
  process.stdout.write(request.send ?? `${JSON.stringify({ id, ...request })}\n`);
  const { value } = await answers.next();
  console.error(`answer ${value}`);
}
process.exit(0);
