// An API gateway as it is usually put together on Express: access log, a limit for each address, tokens, a proxy to the service behind.
// `node gateway.js PORT UPSTREAM FOLDER` writes a token that it accepts to FOLDER/token and listens.

import { generateKeyPairSync } from "node:crypto";
import { createWriteStream, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import express from "express";
import { rateLimit } from "express-rate-limit";
import { createProxyMiddleware } from "http-proxy-middleware";
import jwt from "jsonwebtoken";

const [port, upstream, folder] = process.argv.slice(2);
// jsonwebtoken knows no EdDSA, so it is the RSA that the platform's tokens had before.
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const claims = { sub: "bench", role: "student", permissions: [], type: "access" };
const says = { algorithm: "RS256", issuer: "education-platform", audience: "microservices", expiresIn: "1h" };
writeFileSync(`${folder}/token`, jwt.sign(claims, privateKey, says));

const log = createWriteStream(`${folder}/access.log`);
const app = express();
app.use((request, response, next) => {
  const began = process.hrtime.bigint();
  response.on("finish", () => {
    const us = (process.hrtime.bigint() - began) / 1000n;
    log.write(`${request.method} ${request.originalUrl} ${response.statusCode} ${us}\n`);
  });
  next();
});
app.use(rateLimit({ windowMs: 15 * 60 * 1000, limit: 1_000_000_000, standardHeaders: "draft-8", legacyHeaders: true }));
app.use((request, response, next) => {
  const token = request.headers.authorization?.replace(/^Bearer /, "");
  try {
    const expected = { algorithms: ["RS256"], issuer: "education-platform", audience: "microservices" };
    request.headers["x-user-id"] = jwt.verify(token, publicKey, expected).sub;
    next();
  } catch {
    response.status(401).json({ title: "invalid token" });
  }
});
app.use(createProxyMiddleware({ target: upstream, changeOrigin: true, agent: new Agent({ keepAlive: true, maxSockets: 256 }) }));
app.listen(Number(port), "127.0.0.1");
