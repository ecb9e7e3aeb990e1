// Visits at a constant rate, by a fixed number of users: connect, one round trip, close.
import { WebSocket } from "k6/experimental/websockets";

export const options = {
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE),
      timeUnit: "1s",
      duration: __ENV.DURATION,
      preAllocatedVUs: Number(__ENV.USERS),
      maxVUs: Number(__ENV.USERS),
    },
  },
  summaryTrendStats: ["count", "p(50)", "p(90)", "p(95)", "p(99)", "max"],
};

export default function () {
  const ws = new WebSocket(__ENV.URL);
  ws.onopen = () => ws.send("x".repeat(50));
  ws.onmessage = () => ws.close();
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics.iteration_duration.values) };
}
