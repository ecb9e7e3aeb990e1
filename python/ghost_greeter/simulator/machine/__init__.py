"""The signaling server as a state machine, one module a subject: events in, packets out. No I/O."""
