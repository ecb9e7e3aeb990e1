// Users that make a round trip every so often, each on its own socket: after an answer they wait
// until the interval since the last message is over.
import { WebSocket } from "k6/experimental/websockets";
import { Trend } from "k6/metrics";

export const options = {
  scenarios: {
    paced: {
      executor: "constant-vus",
      vus: Number(__ENV.USERS),
      duration: __ENV.DURATION,
      gracefulStop: "0s",
    },
  },
  summaryTrendStats: ["count", "p(50)", "p(90)", "p(95)", "p(99)", "max"],
};

const TEXT = "x".repeat(50);
const INTERVAL_MS = (1000 * Number(__ENV.USERS)) / Number(__ENV.RATE);
const ROUND_TRIP = new Trend("round_trip", true);

export default function () {
  const ws = new WebSocket(__ENV.URL);
  let sentMs = 0;
  const send = () => {
    sentMs = Date.now();
    ws.send(TEXT);
  };
  ws.onopen = send;
  ws.onmessage = () => {
    const tookMs = Date.now() - sentMs;
    ROUND_TRIP.add(tookMs);
    setTimeout(send, Math.max(0, INTERVAL_MS - tookMs));
  };
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics.round_trip.values) };
}
