//! What a text message says: node --test

import assert from "node:assert/strict";
import test from "node:test";
import { MAX_PARTS, number, parts, render } from "../src/text.js";

const message = (kind, title, body) => ({ kind, title, body });

test("a kind has its template, and every other its title and body", () => {
  assert.equal(render(message("enrollment.enrolled", "Enrolled", "You are in.")), "You are in. See you there!");
  assert.equal(render(message("content.published", "Content", "Read it.")), "Content: Read it.");
  assert.equal(render(message("content.published", "", "Read it.")), "Read it.");
  assert.equal(render(message("content.published", " \n", "\u0007")), "");
});

test("what stands in a value is never a place to fill", () => {
  assert.equal(render(message("x", "{body}", "$& {title}")), "{body}: $& {title}");
});

test("typography is put plainly, so that it does not halve the room", () => {
  const text = render(message("x", "“New” – it’s", "here…\u00a0now"));
  assert.equal(text, `"New" - it's: here... now`);
  assert.equal(parts(text), 1);
});

test("parts are those of the network", () => {
  assert.equal(parts("a".repeat(160)), 1);
  assert.equal(parts("a".repeat(161)), 2);
  assert.equal(parts("a".repeat(306)), 2);
  assert.equal(parts("a".repeat(307)), 3);
  // The sign of the euro takes two places, and is not cut in two.
  assert.equal(parts("€".repeat(80)), 1);
  assert.equal(parts("a".repeat(152) + "€".repeat(77)), 3);
  // One character that the alphabet lacks, and all are counted in UCS-2.
  assert.equal(parts("a".repeat(69) + "č"), 1);
  assert.equal(parts("a".repeat(70) + "č"), 2);
  assert.equal(parts("😀".repeat(35)), 1);
  assert.equal(parts("😀".repeat(36)), 2);
  // Joined parts have 67 places: 33 of such characters and not half of another.
  assert.equal(parts("😀".repeat(66)), 2);
  assert.equal(parts("😀".repeat(67)), 3);
});

test("a long text is cut at a word and never takes more parts", () => {
  for (const word of ["word ", "žluťoučký ", "😀", "x".repeat(300)]) {
    const text = render(message("x", "", word.repeat(500)));
    assert.ok(parts(text) <= MAX_PARTS, `${parts(text)} parts`);
    assert.ok(text.endsWith("..."));
  }
  assert.match(render(message("x", "", "word ".repeat(500))), /word\.\.\.$/);
});

test("a number has one form, or is none", () => {
  assert.equal(number(" 0043 (664) 123-45 67 "), "+436641234567");
  assert.equal(number("+1/555.0100200"), "+15550100200");
  for (const none of ["", "12", "0664 1234567", "+0664123456", "+1234567890123456", "+43664x123456", "tel:+436641234567"]) {
    assert.equal(number(none), undefined, none);
  }
});
