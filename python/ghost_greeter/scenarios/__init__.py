"""The scenarios of the suite, by the names of its command line."""

from ghost_greeter.scenarios.calls import calls
from ghost_greeter.scenarios.connections import connections
from ghost_greeter.scenarios.storm import reconnect_storm
from ghost_greeter.scenarios.widget import widget
from ghostcore import Scenario

__all__ = ["SCENARIOS", "calls", "connections", "reconnect_storm", "widget"]

SCENARIOS: dict[str, Scenario] = {
    one.name: one for one in (connections, widget, calls, reconnect_storm)
}
