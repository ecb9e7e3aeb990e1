// The closed loop of benches/clients.py: every message that comes back sends the next one.
import { WebSocket } from "k6/experimental/websockets";

export const options = {
  scenarios: {
    echo: {
      executor: "constant-vus",
      vus: Number(__ENV.USERS),
      duration: __ENV.DURATION,
      gracefulStop: "0s",
    },
  },
};

const TEXT = "x".repeat(50);

export default function () {
  const ws = new WebSocket(__ENV.URL);
  ws.onopen = () => ws.send(TEXT);
  ws.onmessage = () => ws.send(TEXT);
}
