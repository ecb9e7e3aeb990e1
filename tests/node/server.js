// The servers of tests/integration, all in one process: the real socket.io and ws packages.
//
//   node server.js [DIRECTORY]     DIRECTORY holds server.pem and server.key for the wss server
//
// The first line of output is a JSON object of ports by name. The process ends on SIGTERM and at the
// end of its standard input, so that it never outlives the tests.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const { Server } = require("socket.io");
const { WebSocketServer } = require("ws");

const HOST = "127.0.0.1";

// ---------------------------------------------------------------------------- Socket.IO

function count(io) {
  // What a server operator sees: connections of the engine, and sockets let into the namespace.
  return { engine: io.engine.clientsCount, sockets: io.of("/").sockets.size };
}

function serveSocketIO(options, totals) {
  const server = http.createServer((request, response) => {
    response.end(JSON.stringify({ ...count(io), ...totals }));
  });
  const io = new Server(server, { transports: ["websocket"], ...options });
  io.on("connection", (socket) => {
    totals.joined += 1;
    onConnection(socket, totals);
  });
  io.engine.on("connection", (engine) => {
    totals.opened += 1;
    engine.on("packet", (packet) => {
      if (packet.type === "pong") totals.pongs += 1;
    });
  });
  io.of("/auth").use((socket, next) => {
    if (socket.handshake.auth.token === "right") return next();
    const refusal = new Error("wrong token");
    refusal.data = { code: 41, hint: "ask the operator" };
    return next(refusal);
  });
  io.of("/auth").on("connection", (socket) => {
    socket.emit("welcome", socket.handshake.auth);
    socket.on("where", (answer) => answer("/auth"));
    socket.on("echo", (...args) => socket.emit("echo", ...args));
  });
  return server;
}

function onConnection(socket, totals) {
  socket.on("disconnect", (reason) => {
    totals.reasons.push(reason);
  });
  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("twice", (value) => {
    socket.emit("answer", value);
    socket.emit("answer", value);
  });
  socket.on("fail", (why) => socket.emit("failed", { why }));
  socket.on("silence", () => {});
  socket.on("sum", (a, b, answer) => answer(a + b));
  socket.on("several", (answer) => answer(1, "two", [3]));
  socket.on("nothing", (answer) => answer());
  socket.on("ask", (question, ...rest) => {
    // The server asks, the client acknowledges, and hears what the server was told.
    socket.timeout(5000).emit("question", question, (error, ...values) => {
      socket.emit("told", error ? String(error) : null, values);
    });
  });
  socket.on("flood", (amount) => {
    for (let i = 0; i < amount; i += 1) socket.emit("drop", i);
    socket.emit("flooded", amount);
  });
  socket.on("after", (delayMs, event) => setTimeout(() => socket.emit(event), delayMs));
  socket.on("big", (size) => socket.emit("big", "x".repeat(size)));
  socket.on("blobs", () => {
    socket.emit("blobs", { first: Buffer.from([0, 255]), deep: [{ second: Buffer.from("ghost") }] },
      Buffer.alloc(0));
  });
  socket.on("measure", (value, answer) => {
    answer({ first: value.first.length, second: value.deep[0].second.toString("latin1"),
      isBuffer: Buffer.isBuffer(value.first) }, value.first);
  });
  socket.on("leave", () => socket.disconnect());
  socket.on("kick", () => socket.disconnect(true));
}

// ---------------------------------------------------------------------------- ws

const VERBS = {
  echo(socket) {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  },
  // /close?code=4001&reason=why ; without code: an empty close frame
  close(socket, query) {
    const code = query.get("code");
    if (code === null) socket.close();
    else socket.close(Number(code), query.get("reason") ?? "");
  },
  greetThenClose(socket, query) {
    for (let i = 0; i < Number(query.get("count")); i += 1) socket.send(String(i));
    socket.close(Number(query.get("code") ?? 1000), "done");
  },
  terminate(socket) {
    socket.terminate();
  },
  fragments(socket) {
    socket.send("to", { fin: false });
    socket.send("geth", { fin: false });
    socket.ping("between");
    socket.send("er", { fin: true });
    socket.send(Buffer.from([1]), { fin: false, binary: true });
    socket.send(Buffer.from([]), { fin: true, binary: true });
  },
  // Pings the client, and sends back the payloads of its pongs.
  pings(socket) {
    socket.on("pong", (data) => socket.send(`pong ${data.toString()}`));
    socket.ping("are you there");
    socket.ping("");
  },
  // Reads nothing until it is told so over HTTP-less means: a timer.
  pause(socket, query) {
    let received = 0;
    socket.on("message", (data) => {
      received += data.length;
      if (data.length === 0) socket.send(String(received));
    });
    socket.pause();
    paused.add(socket);
    socket.on("close", () => paused.delete(socket));
  },
  resume(socket) {
    for (const other of paused) other.resume();
    socket.send(String(paused.size));
  },
  headers(socket, query, request) {
    socket.send(JSON.stringify({ headers: request.rawHeaders, protocol: socket.protocol,
      url: request.url, address: request.socket.remoteAddress }));
  },
  // Every message in three fragments.
  pieces(socket) {
    socket.on("message", (data, isBinary) => {
      const third = Math.ceil(data.length / 3);
      socket.send(data.subarray(0, third), { fin: false, binary: isBinary });
      socket.send(data.subarray(third, 2 * third), { fin: false, binary: isBinary });
      socket.send(data.subarray(2 * third), { fin: true, binary: isBinary });
    });
  },
  // Asks for a new TLS handshake, and echoes meanwhile (TLS 1.2).
  renegotiates(socket) {
    socket.on("message", (data, isBinary) => {
      socket._socket.renegotiate({ rejectUnauthorized: false }, (error) => {
        socket.send(error ? `refused: ${error.message}` : "renegotiated");
      });
      socket.send(data, { binary: isBinary });
    });
  },
  extensions(socket) {
    socket.send(socket.extensions);
  },
  lastClose(socket) {
    // The client closes; the next connection to /closes asks what was seen.
    socket.on("close", (code, reason) => closes.push([code, reason.toString()]));
  },
  closes(socket) {
    socket.send(JSON.stringify(closes.splice(0)));
  },
};

const paused = new Set();
const closes = [];

function serveWebSockets(server, options) {
  const sockets = new WebSocketServer({
    server,
    ...options,
    maxPayload: 64 * 1024 * 1024,
    handleProtocols: (offered) => (offered.has("superchat") ? "superchat" : false),
  });
  sockets.on("connection", (socket, request) => {
    const url = new URL(request.url, "http://server");
    socket.on("error", () => {}); // a client that breaks off is the test's business
    VERBS[url.pathname.slice(1)](socket, url.searchParams, request);
  });
  return server;
}

// ---------------------------------------------------------------------------- start

const totals = () => ({ opened: 0, joined: 0, pongs: 0, reasons: [] });
const servers = {
  socketio: serveSocketIO({}, totals()),
  pinging: serveSocketIO({ pingInterval: 100, pingTimeout: 10000 }, totals()),
  small: serveSocketIO({ maxHttpBufferSize: 10000 }, totals()),
  ws: serveWebSockets(http.createServer()),
  deflate: serveWebSockets(http.createServer(), { perMessageDeflate: { threshold: 0 } }),
  deflateSmall: serveWebSockets(http.createServer(), {
    perMessageDeflate: {
      threshold: 0,
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
      serverMaxWindowBits: 9,
      clientMaxWindowBits: 9,
    },
  }),
};
if (process.argv[2] !== undefined) {
  servers.wss = serveWebSockets(https.createServer({
    cert: fs.readFileSync(path.join(process.argv[2], "server.pem")),
    key: fs.readFileSync(path.join(process.argv[2], "server.key")),
  }));
}

async function start() {
  const ports = {};
  for (const [name, server] of Object.entries(servers)) {
    await new Promise((resolve) => server.listen(0, HOST, resolve));
    ports[name] = server.address().port;
  }
  process.stdout.write(`${JSON.stringify(ports)}\n`);
}

process.on("SIGTERM", () => process.exit(0));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
start();
