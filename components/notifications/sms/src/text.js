//! What a text message says and how much of the network it takes: templates, the alphabet of GSM 03.38, parts. Pure;
//! sending is `channel.js`.

/// Parts that one message may have; what is longer is cut at a word.
export const MAX_PARTS = 3;

const BASIC = new Set(
  "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà",
);
/// Two places each: an escape comes before them.
const EXTENDED = new Set("^{}\\[~]|€\f");
/// What typography adds and the alphabet lacks; one such character would halve the room.
const PLAIN = new Map([
  ["“", '"'],
  ["”", '"'],
  ["„", '"'],
  ["‘", "'"],
  ["’", "'"],
  ["–", "-"],
  ["—", "-"],
  ["…", "..."],
]);

/// How a kind of message is worded; every other is its title and its body.
const TEMPLATES = new Map([
  ["identity.user-registered", "{body}"],
  ["enrollment.enrolled", "{body} See you there!"],
  ["enrollment.cancelled", "{body}"],
]);
const OTHERWISE = "{title}: {body}";

/// The text of a message, in characters that a telephone shows; empty if there is nothing to say.
export function render({ kind, title, body }) {
  const values = { title: plain(title), body: plain(body) };
  if (values.title === "" && values.body === "") return "";
  const template = TEMPLATES.get(kind) ?? OTHERWISE;
  // One pass: what stands in a value is never a place to fill.
  const text = template.replace(/\{(title|body)\}/g, (_, name) => values[name]);
  return shorten(text.replace(/^: |: $/g, "").trim());
}

/// Without control characters, runs of white space and typography.
function plain(text) {
  // Spelled out: the engine in the component is built without the tables behind `\p{...}`.
  const spaced = text.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, " ").trim();
  return Array.from(spaced, (character) => PLAIN.get(character) ?? character).join("");
}

/// Into how many parts the network cuts it.
export function parts(text) {
  const characters = Array.from(text);
  const gsm = characters.every((character) => BASIC.has(character) || EXTENDED.has(character));
  const size = (character) => (gsm ? (EXTENDED.has(character) ? 2 : 1) : character.length);
  const [alone, joined] = gsm ? [160, 153] : [70, 67];
  const total = characters.reduce((sum, character) => sum + size(character), 0);
  if (total <= alone) return 1;
  // A character of two places is never cut, so that parts may end one place early.
  let [count, used] = [1, 0];
  for (const character of characters) {
    if (used + size(character) > joined) [count, used] = [count + 1, 0];
    used += size(character);
  }
  return count;
}

/// At most MAX_PARTS, cut at a word where there is one.
function shorten(text) {
  if (parts(text) <= MAX_PARTS) return text;
  const characters = Array.from(text);
  const cut = (length) => characters.slice(0, length).join("").trimEnd() + "...";
  // The longest beginning that fits, by bisection: more characters never take fewer parts.
  let [fits, over] = [0, characters.length];
  while (over - fits > 1) {
    const middle = (fits + over) >> 1;
    if (parts(cut(middle)) <= MAX_PARTS) fits = middle;
    else over = middle;
  }
  const word = characters.slice(0, fits + 1).lastIndexOf(" ");
  return cut(word > fits / 2 ? word : fits);
}

/// A telephone number as E.164 has it, or nothing. `00` stands for `+`; spaces and the usual marks are left out.
export function number(text) {
  const digits = text.trim().replace(/^00/, "+").replace(/[\s().\/-]/g, "");
  return /^\+[1-9][0-9]{6,14}$/.test(digits) ? digits : undefined;
}
