"""What a workflow may be after commands of which several were under way at once and some were never answered."""

from collections import namedtuple

# home: which of its two sides the table lives on. name: of the workflow, None: there is none. switched: its writes are.
State = namedtuple("State", "home name switched")
# side: the side that the command takes for the source.
Command = namedtuple("Command", "action name side")


def outcome_of(state, command):
    """The state behind the command if it was carried out; None: it has to be refused."""
    action, name, side = command
    if side != state.home:
        return None
    if action == "create":
        return State(state.home, name, False) if state.name is None else None
    if name != state.name:
        return None
    if action == "complete":
        return State(1 - state.home, None, False) if state.switched else None
    if action == "cancel":
        return State(state.home, None, False) if not state.switched else None
    if action == "switchtraffic":
        return State(state.home, name, True)  # Also when it is switched: then nothing is to be done.
    if action == "reversetraffic":
        return State(state.home, name, False)
    return state  # Those that switch reads, start, stop, compare.


class Violation(Exception):
    """No order of the commands explains what was answered."""


class History:
    """The states that are possible, each with those of the commands under way that have taken effect in it, and how."""

    def __init__(self, state):
        self.possible = {(state, frozenset())}
        self.flying, self.count = {}, 0

    def invoke(self, command):
        self.count += 1
        self.flying[self.count] = command
        return self.count

    def closure(self):
        """Any command under way may have taken effect, or have been refused, in any order."""
        seen, todo = set(self.possible), list(self.possible)
        while todo:
            state, done = todo.pop()
            for number in self.flying.keys() - {n for n, _ in done}:
                after = outcome_of(state, self.flying[number])
                for entry in [(state, done | {(number, False)})] + ([(after, done | {(number, True)})] if after else []):
                    if entry not in seen:
                        seen.add(entry)
                        todo.append(entry)
        return seen

    def respond(self, number, accepted):
        """accepted: None when it is not known: it may take effect later still."""
        if accepted is None:
            return
        before = {state for state, _ in self.possible}
        self.possible = {(state, done - {(number, accepted)}) for state, done in self.closure() if (number, accepted) in done}
        command = self.flying.pop(number)
        if not self.possible:
            self.possible = {(state, frozenset()) for state in before}
            raise Violation(f"{command} was {'accepted' if accepted else 'refused'} although the state is {sorted(before, key=str)}")

    def settle(self, observed):
        """Nothing is under way any more, and this is what there is."""
        states = {state for state, _ in self.closure()}
        self.possible, self.flying = {(observed, frozenset())}, {}
        if observed not in states:
            raise Violation(f"{observed} is there, possible are {sorted(states, key=str)}")
