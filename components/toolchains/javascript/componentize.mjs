// Makes a component out of a JavaScript module: node componentize.mjs <module> <folder of WIT> <world> <output>

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, worldName, output] = process.argv.slice(2);
// Errors and `console` go to the host's log; `fetch` and times are there for who uses them.
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures: ["fetch-event"] });
await writeFile(output, component);
