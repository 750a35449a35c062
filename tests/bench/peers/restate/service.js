// The measured saga as a Restate service: each step is one journaled `ctx.run`, and so is each compensation.
// Usage: node service.js PORT
import { createServer } from "node:http2";
import { createEndpointHandler, service, TerminalError } from "@restatedev/restate-sdk";

// The SDK uses what node has from version 22 on.
Promise.withResolvers ??= function withResolvers() {
  const deferred = {};
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};

/** Answers at once and writes nothing. */
const noop = async () => {};

const run = async (ctx, { decline }) => {
  const done = [];
  try {
    for (const name of ["one", "two", "three", "four"]) {
      done.push(name);
      await ctx.run(name, noop);
    }
    if (decline) throw new TerminalError("declined", { errorCode: 409 });
    await ctx.run("five", noop);
    return { steps: 5 };
  } catch (error) {
    // Anything else is the end of this attempt, and not of the saga.
    if (!(error instanceof TerminalError)) throw error;
    for (const name of done.reverse()) await ctx.run(`undo ${name}`, noop);
    throw error;
  }
};

const saga5 = service({ name: "saga5", handlers: { run } });
createServer(createEndpointHandler({ services: [saga5] })).listen(Number(process.argv[2]), "127.0.0.1");
