#!/usr/bin/env python3
"""The older command line on a small cluster: vtctlclient, vtctl, vtctldclient's bridge to them; and what every program's
command line owes its users: versions, refusals, completion, silence.
"""

import concurrent.futures
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import threading
import unittest

import pymysql

from support import BIN, ClusterTest, Failure, main
from vitrail.cluster import Tablet
from vitrail.processes import http_get

VSCHEMA = {"tables": {"customer": {}, "corder": {}}}
SCHEMA = """create table customer(customer_id bigint not null auto_increment, email varbinary(128), primary key(customer_id));
create table corder(order_id bigint not null auto_increment, customer_id bigint, primary key(order_id));
"""


def drain_terminal(terminal):
    """Reads what a shell prints, so that it does not wait for a reader; until the shell is gone."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass


def run(*argv, cwd=None, env=None):
    """(exit code, standard output, standard error)"""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False, cwd=cwd, env=env)
    return done.returncode, done.stdout, done.stderr


class Legacy(ClusterTest):
    @classmethod
    def prepare(cls):
        cls.cluster.start_vtctld()
        cls.folder = os.path.join(cls.root, "user")
        os.makedirs(cls.folder)
        cls.old("CreateKeyspace", "commerce")
        for uid in (100, 101):
            ports = {name: cls.cluster.ports.take() for name in ("port", "grpc", "mysqld", "data")}
            cls.cluster.tablets[uid] = Tablet(cls.cluster.cell, uid, "commerce", "0", "replica", ports)
        cls.cluster.save()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda tablet: cls.cluster.mysqlctl(tablet, "init"), cls.cluster.tablets.values()))
        for tablet in cls.cluster.tablets.values():
            cls.cluster.start_tablet(tablet)
        # The alias is not padded, as scripts of that time have it.
        code, out, err = run(f"{BIN}/vtctlclient", "-server", cls.server(), "InitShardMaster", "-force", "-wait_slave_timeout",
                             "31s", "commerce/0", "zone1-100")
        for told in ("is not the shard master", "is not a master in the shard"):  # S2-05
            if code != 0 or f"master-elect tablet zone1-0000000100 {told}, proceeding anyway as -force was used" not in err:
                raise Failure(f"InitShardMaster: {out}{err}")

    # --- running ---
    @classmethod
    def server(cls):
        return f"127.0.0.1:{cls.cluster.addresses['vtctld']['grpc']}"

    @classmethod
    def old(cls, *args):
        """What vtctlclient prints; nothing may go to standard error."""
        code, out, err = run(f"{BIN}/vtctlclient", "-server", cls.server(), *args)
        if code != 0 or err:
            raise Failure(f"vtctlclient {args}: exit code {code}\n{out}{err}")
        return out

    def fails(self, *args):
        """(standard output, standard error) of a vtctlclient command that has to fail."""
        code, out, err = run(f"{BIN}/vtctlclient", "-server", self.server(), *args)
        self.assertEqual(code, 1, out + err)
        return out, err

    def internal(self, program, *args):
        code, out, err = run(f"{BIN}/{program}", *self.cluster.topo_flags(),
                             *(["--server", "internal"] if program == "vtctldclient" else []), *args)
        self.assertEqual((code, err), (0, ""), out)
        return out

    def types(self):
        return {line.split()[0]: line.split()[3] for line in self.old("ListShardTablets", "commerce/0").splitlines()}

    # --- tests ---
    def test_1_lists_are_lines_for_awk(self):
        everything = self.old("ListAllTablets")
        self.assertEqual(everything, self.old("ListAllTablets", "zone1"))
        self.assertEqual(everything, self.ctl("GetTablets"))
        self.assertRegex(everything, r"(?m)^zone1-0000000100 commerce 0 primary 127\.0\.0\.1:\d+ \S+:\d+ \[.*\] \S+$")
        self.assertEqual(self.old("ListTablets", "zone1-101").split()[:4], ["zone1-0000000101", "commerce", "0", "replica"])
        self.assertEqual(self.old("ListAllTablets", "--", "--keyspace=nothing"), "")

    def test_2_topo_cat_S1_11_to_S1_19(self):
        shard = self.old("TopoCat", "--", "--decode_proto", "/keyspaces/commerce/shards/0/Shard")
        self.assertRegex(shard, r'^primary_alias:\{cell:"zone1" uid:100\} primary_term_start_time:\{seconds:\d+ '
                                r'nanoseconds:\d+\} is_primary_serving:true\n$')
        self.assertEqual(self.shard_record("commerce", "0") + "\n", shard)  # One printer for both generations.
        self.assertEqual(self.old("TopoCat", "-decode_proto", "/cells/zone1/CellInfo"),
                         f'server_address:"{self.cluster.path("topo", "topo.db")}" root:"/vitess/zone1"\n')
        self.assertEqual(
            self.old("TopoCat", "--", "--decode_proto", "--cell=zone1", "/keyspaces/commerce/SrvKeyspace"),
            " ".join(f'partitions:{{served_type:{kind} shard_references:{{name:"0"}}}}'
                     for kind in ("PRIMARY", "REPLICA", "RDONLY")) + "\n")

    def test_3_errors_go_to_standard_error_and_the_exit_code_S1_81(self):
        out, err = self.fails("TopoCat", "--", "--decode_proto", "/nothing", "/cells/zone1/CellInfo")
        self.assertTrue(out.startswith("server_address:"), out)
        self.assertRegex(err, r"(?m)^E\d{4} .*\] TopoCat: Get\(/nothing\) failed: ")
        self.assertIn("TopoCat: some paths had errors", err)
        self.assertIn("did you mean ListAllTablets?", self.fails("ListAllTablet")[1])
        self.assertIn("the <tablet alias> argument is required for the GetTablet command", self.fails("GetTablet")[1])
        self.assertIn("zone1-0000000999", self.fails("GetTablet", "zone1-999")[1])

    def test_4_schema_and_vschema_from_files_of_the_user(self):
        for name, text in (("schema.sql", SCHEMA), ("vschema.json", json.dumps(VSCHEMA))):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        for args in (("ApplySchema", "-sql-file", "schema.sql", "commerce"),
                     ("ApplyVSchema", "--", "--vschema_file=vschema.json", "commerce")):
            code, out, err = run(f"{BIN}/vtctlclient", "--server", self.server(), *args, cwd=self.folder)
            self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(self.old("GetSchema", "-table_names_only", "zone1-100").split(), ["corder", "customer"])
        self.assertEqual(set(json.loads(self.old("GetVSchema", "commerce"))["tables"]), {"customer", "corder"})
        self.assertRegex(self.old("ExecuteFetchAsDba", "zone1-100", "select count(*) as c from customer"),
                         r"\| c \|\n\+-+\+\n\| 0 \|")
        self.assertIn("nowhere.sql", self.fails("ApplySchema", "-sql-file", "nowhere.sql", "commerce")[1])

    def test_5_reparent_with_the_older_flags(self):
        self.old("PlannedReparentShard", "-keyspace_shard", "commerce/0", "-new_master", "zone1-101",
                 "-wait_slave_timeout=31s")
        swapped = {"zone1-0000000100": "replica", "zone1-0000000101": "primary"}
        self.eventually(lambda: self.assertEqual(self.types(), swapped))
        self.old("PlannedReparentShard", "--", "--keyspace_shard=commerce/0", "--avoid_tablet=zone1-101")
        self.eventually(lambda: self.assertEqual(self.types()["zone1-0000000100"], "primary"))
        self.old("Ping", "zone1-101")
        self.old("RefreshState", "zone1-101")
        self.old("ChangeSlaveType", "zone1-101", "rdonly")
        self.eventually(lambda: self.assertEqual(self.types()["zone1-0000000101"], "rdonly"))
        self.old("StopSlave", "zone1-101")
        self.old("StartSlave", "zone1-101")

    def test_6_controls_and_validation(self):
        self.old("SetShardTabletControl", "-blacklisted_tables=customer", "commerce/0", "replica")
        self.assertIn('denylisted_tables:"customer"', self.shard_record("commerce", "0"))
        self.old("SetShardTabletControl", "-remove", "-blacklisted_tables=customer", "commerce/0", "replica")
        self.assertNotIn("denylisted_tables", self.shard_record("commerce", "0"))
        self.old("Validate")
        self.old("ValidateKeyspace", "-ping-tablets", "commerce")

    def test_7_without_a_vtctld(self):
        self.internal("vtctldclient", "AddCellInfo", "--root", "/vitess/zone2", "--server-address",
                      self.cluster.path("topo", "topo.db"), "zone2")
        self.assertEqual(self.internal("vtctl", "GetCellInfoNames"), "zone1\nzone2\n")
        cell = ("TopoCat", "--", "--decode_proto", "/cells/zone2/CellInfo")
        expected = self.old(*cell)
        self.assertEqual(self.internal("vtctl", *cell), expected)
        self.assertEqual(self.internal("vtctldclient", "LegacyVtctlCommand", *cell), expected)
        self.assertEqual(self.internal("vtctldclient", "LegacyVtctlCommand", "--", *cell), expected)
        self.assertEqual(self.ctl("LegacyVtctlCommand", *cell), expected)
        self.internal("vtctl", "DeleteCellInfo", "zone2")
        self.assert_command_fails("zone2", "GetCellInfo", "zone2")
        self.assert_command_fails("needs at least 1 argument", "LegacyVtctlCommand")

    def test_8_every_program_tells_its_version_and_refuses_unknown_flags(self):
        programs = sorted(name for name in os.listdir(BIN) if re.fullmatch(r"vt\w+|topo2topo|mysqlctld?", name))
        self.assertLessEqual({"topo2topo", "vtctlclient"}, set(programs))
        for name in programs:
            with self.subTest(name):
                code, out, err = run(f"{BIN}/{name}", "--version")
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(re.search(r"Version: (\d+)\.(\d+)\.(\d+)", out)[1], "24", out)
                code, out, err = run(f"{BIN}/{name}", "--help")
                self.assertEqual((code, err), (0, ""))
                self.assertIn("--log_dir", out)
                code, out, err = run(f"{BIN}/{name}", "--log_dirr=x")
                self.assertEqual((code, out), (1, ""), err)
                self.assertIn("--log_dirr (did you mean --log_dir?)", err)

    def test_9_shells_complete(self):
        code, out, err = run(f"{BIN}/vtctldclient", "__complete", "GetTablet")
        self.assertEqual((code, out.splitlines()[-1]), (0, ":4"), err)
        self.assertIn("GetTablets\tlists tablets", out.splitlines())
        code, out, _ = run(f"{BIN}/vtctldclient", "__completeNoDesc", "MoveTables", "--target_keyspace", "x", "switch")
        self.assertEqual((code, out), (0, "switchtraffic\n:4\n"))
        script = ('source <(vtctldclient completion bash); COMP_WORDS=(vtctldclient GetTablets --format = j); '
                  'COMP_CWORD=4; _vtctldclient_complete; printf "%s\\n" "${COMPREPLY[@]}"')
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self.assertEqual(run("bash", "-c", script, env=env), (0, "json\n", ""))
        # PowerShell is on none of our machines: its script is looked at and not run.
        code, out, err = run(f"{BIN}/vtctldclient", "completion", "powershell")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("Register-ArgumentCompleter -Native -CommandName 'vtctldclient'", out)

    # What a shell makes of a line when the tab key is pressed.
    COMPLETIONS = {
        "vtctldclient GetTopol": "vtctldclient GetTopologyPath ",
        "vtctldclient GetTablets --keyspa": "vtctldclient GetTablets --keyspace ",
        "vtctldclient GetTablets --format j": "vtctldclient GetTablets --format json ",
        "vtctldclient GetTablets --format=j": "vtctldclient GetTablets --format=json ",
        "vtctldclient MoveTables --target-keyspace x switch": "vtctldclient MoveTables --target-keyspace x switchtraffic ",
    }

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed (apt-get install zsh)")
    def test_9_zsh_completes(self):
        rc = os.path.join(self.folder, ".zshrc")
        with open(rc, "w", encoding="utf-8") as file:
            file.write("unsetopt beep; PS1='ready> '; autoload -Uz compinit; compinit -u -D\n"
                       "source <(vtctldclient completion zsh)\n"
                       'tell() { print -rn -- "$BUFFER" > $ZDOTDIR/line.new; mv $ZDOTDIR/line.new $ZDOTDIR/line; zle kill-whole-line }\n'
                       "zle -N tell; bindkey '^X' tell; : > $ZDOTDIR/ready\n")
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ZDOTDIR": self.folder, "TERM": "dumb"}
        shell, terminal = pty.fork()
        if shell == 0:
            os.execvpe("zsh", ["zsh", "-i"], env)
        drain = threading.Thread(target=lambda: drain_terminal(terminal), daemon=True)
        drain.start()
        try:
            self.eventually(lambda: self.assertTrue(os.path.exists(os.path.join(self.folder, "ready"))))
            for typed, completed in self.COMPLETIONS.items():
                os.write(terminal, f"{typed}\t\x18".encode())
                self.eventually(lambda completed=completed: self.assertEqual(self.line_of_zsh(), completed))
        finally:
            os.kill(shell, signal.SIGKILL)
            os.waitpid(shell, 0)
            drain.join(10)
            os.close(terminal)

    def line_of_zsh(self):
        try:
            with open(os.path.join(self.folder, "line"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed (apt-get install fish)")
    def test_9_fish_completes(self):
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": self.folder, "XDG_CONFIG_HOME": self.folder,
               "XDG_DATA_HOME": self.folder}
        for typed, completed in self.COMPLETIONS.items():
            code, out, err = run("fish", "--no-config", "-c", f"vtctldclient completion fish | source; complete -C '{typed}'",
                                 env=env)
            self.assertEqual((code, err), (0, ""), out)
            # Candidates for the last word, with descriptions behind a tab.
            self.assertEqual([line.split("\t")[0] for line in out.splitlines()], [completed.split()[-1]], typed)

    def gates(self):
        """(vtgate of zone1, vtgate of zone2), as functions from (database, statement) to rows. Started once."""
        if "vtgate" not in self.cluster.addresses:
            self.internal("vtctldclient", "AddCellInfo", "--root", "/vitess/zone2", "--server-address",
                          self.cluster.path("topo", "topo.db"), "zone2")
            self.internal("vtctldclient", "AddCellsAlias", "--cells", "zone1,zone2", "region")  # Reads may cross them.
            self.cluster.start_vtgate("--gateway-initial-tablet-timeout", "2s", "--buffer-window", "1s",
                                      "--vschema_ddl_authorized_users", "root,demo")
            port, mysql = self.cluster.ports.take(), self.cluster.ports.take()
            self.old("RebuildKeyspaceGraph", "commerce")
            self.old("RebuildVSchemaGraph")
            self.cluster.start("vtgate-zone2", [
                f"{BIN}/vtgate", *self.cluster.topo_flags(), "--cell", "zone2", "--cells-to-watch", "zone1,zone2", "--port", port,
                "--mysql-server-port", mysql, "--mysql-auth-server-impl", "none", "--gateway-initial-tablet-timeout", "2s",
                "--buffer-window", "1s"],
                lambda: http_get(port, "/debug/vars"))
            type(self).ports = (self.cluster.addresses["vtgate"]["mysql"], mysql)

        def rows(port):
            def ask(database, sql):
                with pymysql.connect(host="127.0.0.1", port=port, user="demo", database=database, autocommit=True,
                                     read_timeout=30) as connection, connection.cursor() as cursor:
                    cursor.execute(sql)
                    return cursor.fetchall()
            return ask
        return [rows(port) for port in self.ports]

    def test_a_a_keyspace_is_served_from_another_one_by_cell_S3_31_S4_36(self):
        zone1, zone2 = self.gates()
        self.old("CreateKeyspace", "-served_from=master:commerce,rdonly:commerce", "shop")
        self.eventually(lambda: zone1("shop", "insert into customer(email) values ('a')"))
        self.eventually(lambda: zone2("shop", "insert into shop.customer(email) values ('b')"))
        for database in ("shop", "commerce", "shop/0"):
            self.assertEqual([row[0] for row in zone1(database, "select email from customer order by customer_id")],
                             [b"a", b"b"], database)
        self.assertEqual(len(zone1("shop", "show tables")), 2)
        count = "select count(*) from customer"
        for gate in (zone1, zone2):
            self.eventually(lambda gate=gate: self.assertEqual(gate("shop@rdonly", count), ((2,),)))
        with self.assertRaises(pymysql.MySQLError):
            zone1("shop@replica", count)
        # One cell at a time; the record alone changes nothing.
        self.old("SetKeyspaceServedFrom", "-remove", "-cells=zone1", "shop", "rdonly")
        self.assertEqual(zone1("shop@rdonly", count), ((2,),))
        self.old("RebuildKeyspaceGraph", "shop")

        def refused():
            with self.assertRaises(pymysql.MySQLError):
                zone1("shop@rdonly", count)
        self.eventually(refused)
        self.assertEqual(zone2("shop@rdonly", count), ((2,),))
        self.assertEqual(zone1("shop", count), ((2,),))

    def test_b_vschema_statements_through_both_doors(self):
        zone1, zone2 = self.gates()
        with self.assertRaisesRegex(pymysql.MySQLError, "1045.*not authorized to perform vschema operations"):
            zone2("commerce", "alter vschema add sequence seq")
        with self.assertRaisesRegex(pymysql.MySQLError, "1046.*no database selected"):
            zone1(None, "alter vschema add sequence seq")
        with self.assertRaisesRegex(pymysql.MySQLError, "1049.*nowhere"):
            zone1(None, "alter vschema drop table nowhere.t")
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("alter vschema add sequence seq")
            cursor.execute("show vschema tables")  # At once.
            self.assertIn("seq", str(cursor.fetchall()))
        self.assertEqual(json.loads(self.old("GetVSchema", "commerce"))["tables"]["seq"]["type"], "sequence")
        with self.assertRaisesRegex(pymysql.MySQLError, "vschema already contains sequence seq in keyspace commerce"):
            zone1(None, "alter vschema add sequence commerce.seq")
        with open(os.path.join(self.folder, "vschema.sql"), "w", encoding="utf-8") as file:
            file.write("alter vschema drop sequence seq;\nalter vschema add table late;\n")
        code, out, err = run(f"{BIN}/vtctlclient", "--server", self.server(), "ApplyVSchema", "-sql_file", "vschema.sql",
                             "commerce", cwd=self.folder)
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(set(json.loads(self.old("GetVSchema", "commerce"))["tables"]), {"customer", "corder", "late"})
        self.assertIn('"alter vschema drop table gone": ',
                      self.fails("ApplyVSchema", "-sql", "alter vschema drop table gone", "commerce")[1])

    def test_c_a_message_that_is_too_large_names_the_flag_and_the_side(self):
        code, out, err = run(f"{BIN}/vtctldclient", "--server", self.server(), "--grpc-max-message-size", "100", "GetTablets")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("the answer is larger than this program takes: raise its --grpc-max-message-size, which is 100", err)
        self.restart_vtctld("--grpc-max-message-size", "100")
        code, out, err = run(f"{BIN}/vtctldclient", "--server", self.server(), "GetTablets")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("raise --grpc-max-message-size of the server, which is 100, and of its clients", err)
        self.restart_vtctld()
        self.assertEqual(len(self.ctl("GetTablets").splitlines()), 2)

    def test_d_a_vertical_split_loses_no_write_S3_47_to_S3_57(self):
        zone1, zone2 = self.gates()
        self.old("CreateKeyspace", "-served_from=master:commerce,replica:commerce,rdonly:commerce", "customer")
        primary = self.cluster.add_shard("customer", "0", 200, ("replica", "rdonly"))[0]
        self.old("RebuildKeyspaceGraph", "customer")
        # VerticalSplitClone is not there: its stream comes from elsewhere.
        self.old("MoveTables", "--", "--source", "commerce", "--tables", "customer,corder", "--no_routing_rules", "Create",
                 "customer.split")

        def stream():
            workflow = json.loads(self.ctl("GetWorkflows", "--show-all", "customer"))["workflows"][0]
            return list(workflow["shard_streams"].values())[0]["streams"][0]
        self.eventually(lambda: self.assertEqual((stream()["state"], stream()["copy_states"]), ("Running", [])))
        uid = stream()["id"]
        self.assertEqual(self.old("Workflow", "customer", "listall").count("split"), 1)
        for action, state in (("stop", "Stopped"), ("start", "Running")):
            self.old("Workflow", "customer.split", action)
            self.eventually(lambda state=state: self.assertEqual(stream()["state"], state))
        self.assertIn("Reads Not Switched. Writes Not Switched", self.old("MoveTables", "Progress", "customer.split"))
        self.old("VDiff", "--", "--v2", "customer.split", "create")
        self.eventually(lambda: self.assertRegex(self.old("VDiff", "--", "--v2", "customer.split", "show", "last"),
                                                 r"(?i)state:?\s*completed"))
        self.ctl("SourceShardAdd", "--tables", "customer,corder", "customer/0", uid, "commerce/0")
        self.assertIn("cannot migrate master into customer until everything else is migrated",
                      self.fails("MigrateServedFrom", "customer/0", "master")[1])

        written, failed, stop = [], [], threading.Event()

        def write():
            with self.cluster.connect("customer") as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    email = f"w{len(written)}"
                    try:
                        cursor.execute(f"insert into customer(email) values ('{email}')")
                        written.append(email)
                    except pymysql.MySQLError as error:
                        failed.append(error)
                        return
        writer = threading.Thread(target=write)
        writer.start()
        try:
            def more(count):
                self.assertGreater(len(written), count)
            self.eventually(lambda: more(20))
            for kind in ("rdonly", "replica"):
                self.old("MigrateServedFrom", "customer/0", kind)
            self.assertIn('tablet_type:RDONLY denylisted_tables:"corder" denylisted_tables:"customer"',
                          self.shard_record("commerce", "0"))
            self.eventually(lambda: self.assertGreater(zone2("customer@rdonly", "select count(*) from customer")[0][0], 20))
            with self.assertRaisesRegex(pymysql.MySQLError, "disallowed due to rule"):
                zone1("commerce@rdonly", "select * from customer")
            self.old("MigrateServedFrom", "customer/0", "master")
            count = len(written)
            self.eventually(lambda: more(count + 20))
        finally:
            stop.set()
            writer.join(30)
        self.assertEqual(failed, [])
        # Every write that was acknowledged is where statements go now; the late ones are not where they went before.
        there = {row[0].decode() for row in self.cluster.server_rows(primary, "select email from customer where email like 'w%'")}
        self.assertEqual(there, set(written))
        before = self.cluster.server_rows(self.cluster.primary("commerce", "0"), "select count(*) from customer where email like 'w%'")
        self.assertLess(before[0][0], len(written) - 20)
        with self.assertRaisesRegex(pymysql.MySQLError, "disallowed due to rule"):
            zone1("commerce", "select * from customer")
        self.assertNotIn("served_from", self.old("TopoCat", "-decode_proto", "/keyspaces/customer/Keyspace")
                         + self.old("TopoCat", "-decode_proto", "-cell=zone1", "/keyspaces/customer/SrvKeyspace"))
        self.assertNotIn("source_shards", self.shard_record("customer", "0"))
        self.assertIn("destination keyspace customer is not a vertical split target",
                      self.fails("MigrateServedFrom", "-reverse", "customer/0", "master")[1])


if __name__ == "__main__":
    main()
