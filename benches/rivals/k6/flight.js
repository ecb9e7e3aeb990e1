// Several messages in flight: when all have come back, the next ones are sent.
import { WebSocket } from "k6/experimental/websockets";

export const options = {
  scenarios: {
    flight: {
      executor: "constant-vus",
      vus: Number(__ENV.USERS),
      duration: __ENV.DURATION,
      gracefulStop: "0s",
    },
  },
};

const TEXT = "x".repeat(50);
const IN_FLIGHT = Number(__ENV.IN_FLIGHT);

export default function () {
  const ws = new WebSocket(__ENV.URL);
  let awaited = 0;
  const send = () => {
    for (awaited = 0; awaited < IN_FLIGHT; awaited++) ws.send(TEXT);
  };
  ws.onopen = send;
  ws.onmessage = () => {
    if (--awaited === 0) send();
  };
}
