"""The scenarios of the suite, by the names of its command line."""

from ghost_greeter.scenarios.calls import calls
from ghost_greeter.scenarios.connections import connections
from ghost_greeter.scenarios.widget import widget
from ghostcore import Scenario

__all__ = ["SCENARIOS", "calls", "connections", "widget"]

SCENARIOS: dict[str, Scenario] = {one.name: one for one in (connections, widget, calls)}
