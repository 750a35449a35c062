//! Notes, as `spin-app` keeps them, written in JavaScript: `PUT /notes/<name>` keeps the body by key-value and writes it
//! into SQLite, `GET /notes/<name>` reads it back with a greeting out of a variable.

import { Store } from "fermyon:spin/key-value@2.0.0";
import { Connection } from "fermyon:spin/sqlite@2.0.0";
import { get as variable } from "fermyon:spin/variables@2.0.0";

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const name = new URL(request.url).pathname.replace(/^\/notes\//, "");
  if (request.method === "PUT") {
    keep(name, new Uint8Array(await request.arrayBuffer()));
    return answer(201, "");
  }
  const text = Store.open("default").get(name);
  if (text === undefined) return answer(404, `no note ${name}\n`);
  const note = new TextDecoder().decode(text);
  return answer(200, `${variable("greeting")}! ${note} (written ${timesWritten(name)} times)\n`);
}

function answer(status, text) {
  return new Response(text, { status, headers: { "content-type": "text/plain" } });
}

function keep(name, text) {
  Store.open("default").set(name, text);
  const history = Connection.open("default");
  history.execute(
    "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL)",
    [],
  );
  history.execute("INSERT INTO notes (name, text) VALUES (?, ?)", [
    { tag: "text", val: name },
    { tag: "blob", val: text },
  ]);
}

function timesWritten(name) {
  const counted = Connection.open("default").execute("SELECT COUNT(*) FROM notes WHERE name = ?", [
    { tag: "text", val: name },
  ]);
  return counted.rows[0].values[0].val;
}
