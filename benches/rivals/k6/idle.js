// Opens a WebSocket and waits for a message that never comes.
import { WebSocket } from "k6/experimental/websockets";

export const options = {
  insecureSkipTLSVerify: true, // of wss://
  scenarios: {
    idle: {
      executor: "ramping-vus",
      startVUs: 0,
      stages: [
        { duration: __ENV.RAMP, target: Number(__ENV.USERS) },
        { duration: __ENV.DURATION, target: Number(__ENV.USERS) },
      ],
      gracefulStop: "0s",
    },
  },
};

export default function () {
  const ws = new WebSocket(__ENV.URL);
  ws.onmessage = () => {};
}
