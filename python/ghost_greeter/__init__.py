"""The Ghost Greeter suite: finds what its signaling server can take, before a promotion does.

Scenarios, agents, the simulator and the plan, built on ghostcore's public door.
"""
