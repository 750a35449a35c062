// Shows an OpenAPI document and sends requests to what it describes. Whatever comes from the document or from an answer is
// put into the page as text, never as markup.
"use strict";

const METHODS = ["get", "head", "post", "put", "patch", "delete", "options"];
const MAX_DEPTH = 8;
const byId = (id) => document.getElementById(id);
let api = {};

/** An element with attributes and children; a child that is no element becomes text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** What a reference leads to; anything else is itself. */
function followed(value) {
  for (let hops = 0; value && typeof value.$ref === "string" && hops < 16; hops += 1) {
    const steps = value.$ref.replace(/^#\//, "").split("/");
    value = steps.reduce((at, step) => at?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  }
  return value ?? {};
}

function kind(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const type = [].concat(schema.type ?? (schema.properties ? "object" : "any")).join(" | ");
  return schema.format ? `${type} (${schema.format})` : type;
}

function bounds(schema) {
  const words = [];
  for (const [key, sign] of [["minLength", "length ≥"], ["maxLength", "length ≤"], ["minimum", "≥"], ["maximum", "≤"],
    ["exclusiveMinimum", ">"], ["exclusiveMaximum", "<"], ["minItems", "items ≥"], ["maxItems", "items ≤"], ["pattern", "matches"]]) {
    if (schema[key] !== undefined) words.push(`${sign} ${schema[key]}`);
  }
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

/** A schema as a list of its parts. */
function shape(written, depth = 0) {
  const schema = followed(written);
  const line = make("span", {}, kind(schema));
  const limits = bounds(schema);
  if (limits) line.append(" ", make("span", { class: "note", text: limits }));
  if (schema.description) line.append(" ", make("span", { class: "note", text: schema.description }));
  const list = make("ul");
  if (depth < MAX_DEPTH) {
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      const needed = (schema.required ?? []).includes(name);
      list.append(make("li", {}, make("span", { class: needed ? "name needed" : "name", text: name }), " ", shape(property, depth + 1)));
    }
    if (schema.items) list.append(make("li", {}, make("span", { class: "name", text: "[each]" }), " ", shape(schema.items, depth + 1)));
    for (const key of ["oneOf", "anyOf", "allOf"]) {
      for (const one of schema[key] ?? []) list.append(make("li", {}, make("span", { class: "note", text: key }), " ", shape(one, depth + 1)));
    }
  }
  return make("span", { class: "schema" }, line, list.childNodes.length ? list : undefined);
}

/** A value that the schema takes, to begin with. */
function example(written, depth = 0) {
  const schema = followed(written);
  if (schema.examples?.length) return schema.examples[0];
  for (const key of ["example", "default", "const"]) if (schema[key] !== undefined) return schema[key];
  if (schema.enum) return schema.enum[0];
  const choice = schema.oneOf?.[0] ?? schema.anyOf?.[0];
  if (choice && depth < MAX_DEPTH) return example(choice, depth + 1);
  const type = [].concat(schema.type ?? (schema.properties ? "object" : "string")).find((one) => one !== "null");
  if (type === "object") {
    const needed = schema.required ?? [];
    const names = Object.keys(schema.properties ?? {}).filter((name) => needed.includes(name) || depth < 1);
    return depth < MAX_DEPTH ? Object.fromEntries(names.map((name) => [name, example(schema.properties[name], depth + 1)])) : {};
  }
  if (type === "array") return [];
  if (type === "integer" || type === "number") return schema.minimum ?? 1;
  if (type === "boolean") return false;
  return schema.format === "email" ? "ada@example.com" : "text".padEnd(schema.minLength ?? 0, "x");
}

function access(operation) {
  const ways = operation.security ?? api.security ?? [];
  const words = [];
  if (!ways.length || ways.some((way) => !Object.keys(way).length)) words.push("public");
  else words.push(ways.flatMap(Object.keys).join(" or "));
  if (operation["x-required-roles"]) words.push(`role ${operation["x-required-roles"].join(" or ")}`);
  if (operation["x-required-permissions"]) words.push(`permission ${operation["x-required-permissions"].join(" and ")}`);
  return words.join(", ");
}

function parameterTable(parameters) {
  if (!parameters.length) return undefined;
  const table = make("table");
  for (const { parameter, input } of parameters) {
    const name = make("td", {}, make("code", { class: parameter.required ? "needed" : "", text: parameter.name }), ` ${parameter.in}`);
    table.append(make("tr", {}, name, make("td", {}, input), make("td", {}, shape(parameter.schema ?? {}), " ", make("span", { class: "note", text: parameter.description ?? "" }))));
  }
  return make("section", {}, make("h3", { text: "Parameters" }), table);
}

function answers(operation) {
  const table = make("table");
  for (const [status, written] of Object.entries(operation.responses ?? {})) {
    const response = followed(written);
    const what = make("td", {}, response.description ?? "");
    const kinds = (response["x-problem-types"] ?? []).map((type) => type.replace("urn:weft:problem:", ""));
    if (kinds.length) what.append(make("div", { class: "note", text: kinds.join(", ") }));
    const content = response.content?.["application/json"];
    if (content) what.append(make("div", {}, shape(content.schema ?? {})));
    table.append(make("tr", {}, make("td", {}, make("code", { text: status })), what));
  }
  return make("section", {}, make("h3", { text: "Answers" }), table);
}

/** The request as the inputs say. */
function requestOf(path, method, parameters, body) {
  const headers = { accept: "application/json" };
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of parameters) {
    const value = input.value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, value);
    else headers[parameter.name] = value;
  }
  const token = byId("token").value.trim();
  const key = byId("api-key").value.trim();
  if (token) headers.authorization = `Bearer ${token}`;
  else if (key) headers["x-api-key"] = key;
  const options = { method: method.toUpperCase(), headers, cache: "no-store", credentials: "same-origin" };
  if (body && body.value !== "") {
    headers["content-type"] = "application/json";
    options.body = body.value;
  }
  const text = query.toString();
  return [text ? `${target}?${text}` : target, options];
}

async function send(target, options, into) {
  const began = performance.now();
  into.replaceChildren("…");
  try {
    const response = await fetch(target, options);
    const text = await response.text();
    const took = Math.round(performance.now() - began);
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* Not JSON: shown as it came. */ }
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    into.replaceChildren(
      make("p", {}, make("b", { class: response.ok ? "get" : "bad", text: `${response.status} ${response.statusText}` }), ` ${options.method} ${target}, ${took} ms`),
      make("pre", { text: shown || "(no body)" }),
      make("details", {}, make("summary", { text: "Headers" }), make("pre", { text: headers })),
    );
  } catch (error) {
    into.replaceChildren(make("p", { class: "bad", text: `No answer: ${error.message}` }));
  }
}

/** Builds the inside of an operation when it is opened for the first time. */
function inside(path, method, operation) {
  const parameters = (operation.parameters ?? []).map(followed).map((parameter) => {
    const choices = followed(parameter.schema ?? {}).enum;
    const input = choices
      ? make("select", {}, make("option", { value: "" }), ...choices.map((one) => make("option", { value: one, text: one })))
      : make("input", { placeholder: parameter.name });
    return { parameter, input };
  });
  const content = operation.requestBody?.content?.["application/json"];
  const takesBody = content || ["post", "put", "patch"].includes(method);
  const body = takesBody ? make("textarea", { spellcheck: "false" }) : undefined;
  if (content) body.value = JSON.stringify(example(content.schema ?? {}), null, 2);
  const answer = make("div", { class: "answer" });
  const button = make("button", { text: "Send" });
  button.addEventListener("click", () => send(...requestOf(path, method, parameters, body), answer));
  return [
    operation.description ? make("p", { text: operation.description }) : undefined,
    parameterTable(parameters),
    body ? make("section", {}, make("h3", { text: "Body" }), content ? shape(content.schema ?? {}) : undefined, body) : undefined,
    make("p", {}, button), answer, answers(operation),
  ].filter(Boolean);
}

function row(path, method, operation) {
  const details = make("details", { class: "operation", id: operation.operationId },
    make("summary", {},
      make("span", { class: `method ${method}`, text: method }),
      make("span", { class: "path", text: path }),
      make("span", { class: "summary", text: operation.summary ?? operation.operationId ?? "" }),
      make("span", { class: "access", text: access(operation) })));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(make("div", {}, ...inside(path, method, operation)));
  });
  details.dataset.words = [path, method, operation.operationId, operation.summary, ...(operation.tags ?? [])].join(" ").toLowerCase();
  return details;
}

function show() {
  byId("title").textContent = `${api.info?.title ?? ""} ${api.info?.version ?? ""}`;
  byId("about").textContent = api.info?.description ?? "";
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS.filter((one) => item[one])) {
      const tag = item[method].tags?.[0] ?? "";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(row(path, method, item[method]));
    }
  }
  const sections = [...groups].filter(([, rows]) => rows.length).map(([tag, rows]) => make("section", {}, make("h2", { text: tag }), ...rows));
  byId("operations").replaceChildren(...sections);
  const opened = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (opened instanceof HTMLDetailsElement) { opened.open = true; opened.scrollIntoView(); }
}

function find() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of byId("operations").children) {
    const rows = [...section.querySelectorAll("details.operation")];
    for (const one of rows) one.hidden = !words.every((word) => one.dataset.words.includes(word));
    section.hidden = rows.length > 0 && rows.every((one) => one.hidden);
  }
}

async function load() {
  const token = byId("token").value.trim();
  const path = document.querySelector("meta[name=openapi]").content;
  const response = await fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  if (response.status === 401 || response.status === 403) {
    byId("operations").replaceChildren(make("p", { text: "The document takes a token: put one into the field above." }));
    return;
  }
  if (!response.ok) throw new Error(`${path} answers ${response.status}`);
  api = await response.json();
  show();
}

function begin() {
  const failed = (error) => byId("operations").replaceChildren(make("p", { class: "bad", text: `The document cannot be shown: ${error.message}` }));
  byId("token").addEventListener("change", () => { if (!api.paths) load().catch(failed); });
  byId("find").addEventListener("input", find);
  load().catch(failed);
}

begin();
