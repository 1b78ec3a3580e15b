"""The journey with deaths in it: kill -9 of tablets and of vtctld, then continued. Nothing may be lost."""

import json
import signal
import time

from support import ClusterTest, main

from vitrail.cluster import Cluster
from vitrail.journey import MOVE, RESHARD, Journey
from vitrail.processes import Failure, http_get, wait_until

# The steps of a switch of writes, in their order (src/control/workflow/write_switch.cc).
STEPS = ("create_reverse_streams", "stop_writes", "catch_up", "stop_streams", "position_reverse_streams", "journal",
         "allow_target_writes", "switch_routing", "start_reverse_streams", "freeze_streams")
SWITCHED, NOT_SWITCHED = "Writes Switched", "Writes Not Switched"


class SmallCluster(Cluster):
    """Without rdonly tablets: fewer servers."""

    def add_shard(self, keyspace, shard, first_uid, kinds=("replica", "replica"), note=lambda text: None):
        return super().add_shard(keyspace, shard, first_uid, kinds, note)


class FaultyJourney(Journey):
    """The writes are switched with a vtctld that dies at one step after the other."""

    def __init__(self, test, *args, **options):
        super().__init__(*args, **options)
        self.test = test

    def switch(self, command, action, *flags):
        if "replica,rdonly" in flags:
            return super().switch(command, action, *flags)
        steps = self.test.steps_to_die_at.pop((command[0], action), ())
        for step in steps:
            self.test.die_at(self, command, step)
        goal = SWITCHED if action == "switchtraffic" else NOT_SWITCHED
        started = time.monotonic()
        self.test.bring_to(command, goal)
        self.wait_for_writes(20)
        return self.writer.longest(started)


class FaultsTest(ClusterTest):
    cluster_class = SmallCluster

    @classmethod
    def prepare(cls):
        cls.steps_to_die_at = {
            ("MoveTables", "switchtraffic"): ("stop_writes", "journal", "switch_routing"),
            ("Reshard", "switchtraffic"): STEPS,
        }

    def test_journey(self):
        self.errors_before_vtctld_dies = 0
        self.journey = FaultyJourney(self, self.cluster, customers=40_000, threads=2, rate=60, after=self.after)
        try:
            summary = self.journey.run()
        finally:
            if self.journey.writer is not None:
                self.journey.writer.stop()
        print(json.dumps(summary))
        # Killing a primary's vttablet breaks connections: the client may hear of that, but nothing else. When vtctld dies,
        # it hears nothing.
        errors = [text for _, text in self.journey.writer.errors]
        self.assertEqual(errors[self.errors_before_vtctld_dies:], [])
        self.assertEqual(self.steps_to_die_at, {})
        for fault in ("writes_lost", "writes_doubled", "rows_misplaced"):
            self.assertEqual(summary[fault], 0, summary["examples"])
        self.assertGreater(summary["writes_acknowledged"], 500)

    def after(self, step):
        if step == "create keyspace customer":
            # From the replica that the stream reads from, no row can be read until the target was killed.
            self.held = self.cluster.server(self.cluster.tablets[101], "commerce")
            self.held.cursor().execute("lock tables customer write, corder write")
        elif step == "MoveTables create":
            self.kill_target_during_copy()
        elif step == "MoveTables copy":
            self.kill_sources_while_running()
        elif step == "MoveTables VDiff":
            self.errors_before_vtctld_dies = len(self.journey.writer.errors)
            print(f"the client heard {self.errors_before_vtctld_dies} errors so far: "
                  f"{[text for _, text in self.journey.writer.errors][:3]}", flush=True)

    # --- tablets ---
    def kill(self, name):
        process = self.cluster.processes[name]
        process.kill(signal.SIGKILL)
        self.assertTrue(process.wait_ended(10), f"{name} survived SIGKILL")

    def serving(self, tablet):
        wait_until(lambda: self.cluster.vars(tablet)["TabletStateName"] == "SERVING", f"{tablet.alias} to serve again")

    def stream_row(self, tablet):
        with self.cluster.server(tablet, "_vt") as connection, connection.cursor() as cursor:
            cursor.execute("select state, rows_copied from vreplication where workflow = 'commerce2customer'")
            rows = cursor.fetchall()
        return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows][0]

    def kill_target_during_copy(self):
        """Once before the first chunk is there, and once between chunks: it stands before a row that the target's server has
        locked.
        """
        target = self.cluster.tablets[200]
        copied = []
        for wanted in (0, 1):
            wait_until(lambda least=wanted: self.stream_row(target)[0] == "Copying" and self.stream_row(target)[1] >= least,
                       "the copy to be under way", 60, 0.02)
            self.kill(target.name)
            state, rows = self.stream_row(target)
            self.assertEqual(state, "Copying")
            copied.append(rows)
            self.held.close()
            if wanted == 0:
                last = self.cluster.server_rows(self.cluster.tablets[100], "select max(customer_id) from customer")[0][0]
                self.held = self.cluster.server(target, "customer")
                self.held.cursor().execute("begin")
                self.held.cursor().execute("insert into customer(customer_id) values (%s)", (last,))
            self.cluster.restart(target.name)
        self.assertEqual(copied[0], 0)
        print(f"the target was killed behind {copied} rows", flush=True)

    def kill_sources_while_running(self):
        """The replica that the stream reads from, and then the primary, through which the client writes."""
        target = self.cluster.tablets[200]
        for uid in (101, 100):
            source = self.cluster.tablets[uid]
            self.kill(source.name)
            self.cluster.restart(source.name)
            self.serving(source)
            self.journey.wait_for_writes(20)
            # The stream follows again: it reaches what the source has now.
            goal = self.cluster.server_rows(source, "select count(*) from corder")[0][0]
            wait_until(lambda least=goal: self.cluster.server_rows(target, "select count(*) from corder", "customer")[0][0]
                       >= least * 0.99, "the stream to follow again", 60)
            wait_until(lambda: self.stream_row(target)[0] == "Running", "the stream to run again")

    # --- vtctld ---
    def is_switched(self, command):
        return self.ctl(*command, "status").rstrip().endswith(SWITCHED)

    def interrupted_switches(self):
        """What the records of the workflows say is open."""
        open_now = self.ctl("Workflow", "--keyspace", "customer", "repair", "--dry-run")
        return [line for line in open_now.splitlines() if " since " in line]

    def die_at(self, journey, command, step):
        """Switches (back, if it is switched) with a vtctld that dies at `step`; a new one brings that to an end by itself."""
        action = "reversetraffic" if self.is_switched(command) else "switchtraffic"
        self.restart_vtctld("--test-crash-at-step", step)
        process = self.cluster.processes["vtctld"]
        with self.assertRaises(Failure, msg=f"{action} succeeded although vtctld should have died at {step}"):
            self.ctl(*command, action, "--tablet-types", "primary,replica,rdonly")
        self.assertTrue(process.wait_ended(10), f"vtctld did not die at {step}")
        self.assertEqual(process.child.returncode, -signal.SIGKILL, process.log_tail())
        died = time.monotonic()
        self.cluster.start("vtctld", self.cluster.vtctld_argv,
                           lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))
        wait_until(lambda: self.interrupted_switches() == [], f"the switch that died at {step} to be brought to its end", 30)
        journey.wait_for_writes(20)
        print(f"{action} died at {step}; after {time.monotonic() - died:.1f} s: "
              f"{'switched' if self.is_switched(command) else 'not switched'}", flush=True)
        # The point of no return is the journal.
        forward = STEPS.index(step) >= STEPS.index("journal")
        self.assertEqual(self.is_switched(command), forward == (action == "switchtraffic"))

    def bring_to(self, command, goal):
        """Runs the command until the traffic is where it should be."""
        action = "switchtraffic" if goal == SWITCHED else "reversetraffic"
        for _ in range(3):
            self.ctl(*command, action)
            if self.is_switched(command) == (goal == SWITCHED):
                return
        self.fail(f"{action} does not get to '{goal}'")


if __name__ == "__main__":
    main()
