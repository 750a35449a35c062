//! `education:notifications/channel`: text messages by SMS. Hands them to the gateway that the variable `sms_gateway`
//! names: `POST <gateway>/messages` with `{to, text, parts}` and the call's key as `Idempotency-Key`, which answers
//! `{id}`. What a message says is `text.js`.

import { get } from "wasi:config/store@0.2.0-draft-2024-09-27";
import { number, parts, render } from "./text.js";

/// Bytes of a gateway's answer that are looked at, and characters of its words that are passed on.
const MAX_ANSWER_BYTES = 16 * 1024;
const MAX_REASON_CHARACTERS = 200;

const invalid = (why) => ({ tag: "invalid", val: why });
const refused = (why) => ({ tag: "refused", val: why });
const unavailable = (outcome, message, retryAfterMs) => ({
  tag: "unavailable",
  val: { outcome, retryAfterMs, message },
});

export const channel = {
  check(to) {
    const address = number(to);
    if (address === undefined) throw invalid("a telephone number is + and 7 to 15 digits, such as +431234567");
    return address;
  },

  async send(key, message) {
    const to = channel.check(message.to);
    const text = render(message);
    if (text === "") throw invalid("there is nothing to say");
    const count = parts(text);
    const answer = await handOver(key, { to, text, parts: count });
    return { text, parts: count, reference: answer };
  },
};

/// Answers what the gateway calls the message.
async function handOver(key, message) {
  const gateway = get("sms_gateway");
  if (!gateway) throw unavailable("not-attempted", "there is no sms_gateway");
  let response;
  let body;
  try {
    response = await fetch(`${gateway}/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify(message),
    });
    body = (await response.text()).slice(0, MAX_ANSWER_BYTES);
  } catch (error) {
    // The request may have arrived.
    throw unavailable("unknown", `the gateway did not answer: ${error.message}`);
  }
  if (response.status === 429 || response.status === 503) {
    const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
    const wait = seconds >= 0 && seconds <= 86400 ? seconds * 1000 : undefined;
    throw unavailable("not-attempted", `the gateway is busy (${response.status})`, wait);
  }
  if (response.status >= 500) throw unavailable("unknown", `the gateway failed (${response.status})`);
  const answer = parse(body);
  if (!response.ok) {
    const reason = typeof answer?.reason === "string" ? answer.reason : `status ${response.status}`;
    throw refused(reason.slice(0, MAX_REASON_CHARACTERS));
  }
  if (typeof answer?.id !== "string") throw unavailable("unknown", "the gateway's answer has no id");
  return answer.id.slice(0, MAX_REASON_CHARACTERS);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
