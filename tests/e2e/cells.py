"""Two cells: reads of replicas stay in a vtgate's cell, or in the cells of its alias; writes cross cells (S4-55, S4-56, A40)."""

import concurrent.futures

import pymysql

from support import BIN, ClusterTest, main

from vitrail.cluster import Tablet
from vitrail.processes import http_get, wait_until


class CellsTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for cell in ("zone2", "zone3"):
            cluster.vtctldclient("AddCellInfo", "--root", f"/vitess/{cell}", "--server-address", cluster.topo_address(), cell)
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        cls.tablets = []
        for uid, cell in ((100, "zone1"), (101, "zone1"), (200, "zone2")):
            ports = {name: cluster.ports.take() for name in ("port", "grpc", "mysqld", "data")}
            cls.tablets.append(Tablet(cell, uid, "ks", "0", "replica", ports))
            cluster.tablets[uid] = cls.tablets[-1]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda t: cluster.mysqlctl(t, "init"), cls.tablets))
            list(pool.map(cluster.start_tablet, cls.tablets))
        cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone1-100")
        cluster.vtctldclient("RebuildKeyspaceGraph", "ks")  # Also for the cell without tablets.
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id bigint primary key)", "ks")
        cls.gates = {}
        for cell in ("zone1", "zone2", "zone3"):
            cls.start_gate(cell)

    @classmethod
    def start_gate(cls, cell):
        cluster = cls.cluster
        port, mysql = cluster.ports.take(), cluster.ports.take()
        cluster.start(f"vtgate-{cell}", [
            f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cell, "--cells-to-watch", "zone1,zone2", "--port", port,
            "--tablet-types-to-wait", "PRIMARY", "--mysql-server-port", mysql, "--mysql-auth-server-impl", "none",
            "--bind-address", "127.0.0.1"], lambda: http_get(port, "/debug/vars"))
        cls.gates[cell] = mysql

    def served_by(self, cell, target):
        """Tablets whose servers answer eight statements through the vtgate of a cell; the error's text when there is none."""
        uids = {tablet.ports["mysqld"]: tablet.uid for tablet in self.tablets}
        try:
            with pymysql.connect(host="127.0.0.1", port=self.gates[cell], user="demo", database=target, autocommit=True,
                                 read_timeout=30) as connection, connection.cursor() as cursor:
                found = set()
                for _ in range(8):
                    cursor.execute("select @@port")
                    found.add(uids[cursor.fetchone()[0]])
                return found
        except pymysql.MySQLError as error:
            return str(error)

    def assert_served_by(self, cell, target, uids):
        self.eventually(lambda: self.assertEqual(self.served_by(cell, target), set(uids)))

    def assert_nobody_serves(self, cell, target):
        self.assertIn("no healthy tablet available", str(self.served_by(cell, target)))

    def test_reads_stay_in_the_cell_or_its_alias(self):
        self.assert_served_by("zone1", "ks@replica", [101])
        self.assert_served_by("zone2", "ks@replica", [200])
        self.assert_nobody_serves("zone3", "ks@replica")
        for cell in self.gates:  # Statements for the primary cross cells.
            self.assert_served_by(cell, "ks", [100])
            with pymysql.connect(host="127.0.0.1", port=self.gates[cell], user="demo", database="ks",
                                 autocommit=True) as connection, connection.cursor() as cursor:
                self.assertEqual(cursor.execute("replace into t(id) values (1)") > 0, True)
        # An alias lets the others stand in, and only where the own cell has nobody.
        self.ctl("AddCellsAlias", "--cells", "zone1,zone3", "region")
        self.assert_served_by("zone3", "ks@replica", [101])
        self.assert_served_by("zone2", "ks@replica", [200])
        self.ctl("UpdateCellsAlias", "--cells", "zone1,zone2,zone3", "region")
        self.assert_served_by("zone3", "ks@replica", [101, 200])
        self.assert_served_by("zone1", "ks@replica", [101])
        self.ctl("ChangeTabletType", "zone2-200", "rdonly")
        self.assert_served_by("zone2", "ks@replica", [101])
        self.ctl("DeleteCellsAlias", "region")
        wait_until(lambda: isinstance(self.served_by("zone2", "ks@replica"), str), "zone2 to be alone again", 10)
        self.assert_nobody_serves("zone2", "ks@replica")
        self.assert_served_by("zone2", "ks@rdonly", [200])


if __name__ == "__main__":
    main()
