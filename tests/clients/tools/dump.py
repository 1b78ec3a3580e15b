"""A dump of a database, and its way back: dump.py PROGRAM [--view] PORT DATABASE, with mysqldump, mariadb-dump or mydumper."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

CREATE = """create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made timestamp null, data blob, kind enum('a','b'),
  primary key(id), key by_name(name));
create table wide(id bigint not null auto_increment, t text, g double as (length(t)) stored, primary key(id)) comment='it''s';"""
VIEW = "create view cheap as select name, price from item where price < 2;"
FILL = r"""insert into item(name, price, made, data, kind) values ('a\'b\\"', 1.5, '2024-02-29 10:00:00', x'00ff275c0a1a', 'a'), ('Zoë 😀', null, null, null, null),
  ('%s\n;--', -3, '1999-12-31 23:59:59', '', 'b');
insert into wide(t) values ('x'), (null), (repeat('long ', 5000));"""
READ = "select name, price, made, hex(data), kind from item order by id; select g, length(t) from wide order by id"
OPTIONS = {"mysqldump": [[], ["--single-transaction", "--quick"], ["--complete-insert", "--skip-extended-insert", "--hex-blob", "--skip-lock-tables"],
                         ["--no-data", "--routines", "--events", "--triggers"], ["--skip-opt", "--no-create-info", "--where=price < 2", "--tables"]],
           "mydumper": [[], ["--no-locks", "--build-empty-files"]]}


def say(step, value):
    print(json.dumps([step, value]), flush=True)


class Tool:
    def __init__(self, program, *options):
        port, database = options[-2:]
        self.program, self.database = program, database
        self.view = VIEW if "--view" in options else ""
        self.address = ["--host=127.0.0.1", f"--port={port}", "--user=demo"]

    def run(self, argv, text=None):
        done = subprocess.run(argv, input=text, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=120, check=False)
        # Not what tells one run from another: mydumper's process and the time.
        lines = (re.sub(r"\(mydumper:\d+\)|\d\d:\d\d:\d\d\.\d+", "", line) for line in done.stderr.splitlines())
        told = "\n".join(line for line in lines if "Deprecated program name" not in line)
        return done.returncode, done.stdout, told

    def client(self, text):
        return self.run(["mariadb", "--no-defaults", *self.address, "--batch", "--default-character-set=utf8mb4", self.database], text)

    def empty(self):
        self.client("drop view if exists cheap; drop table if exists item, wide;")

    def text_dump(self, options):
        tables = ["item"] if "--tables" in options else []
        code, text, told = self.run([self.program, "--no-defaults", *self.address, "--default-character-set=utf8mb4", *[o for o in options if o != "--tables"],
                                     self.database, *tables])
        say(f"dumped {options}", [code, told])
        if "--no-create-info" in options:
            self.client("delete from item;")
        else:
            self.empty()
        say(f"loaded {options}", [*self.client(text)])

    def folder_dump(self, options):
        folder = tempfile.mkdtemp(prefix="vitrail-dump-")
        try:
            code, _, told = self.run(["mydumper", *self.address, f"--database={self.database}", f"--outputdir={folder}", "--threads=2", *options])
            say(f"dumped {options}", [code, told])
            say("files", sorted(name.replace(self.database, "") for name in os.listdir(folder) if name.endswith(".sql")))
            self.empty()
            code, _, told = self.run(["myloader", *self.address, f"--database={self.database}", f"--directory={folder}", "--threads=2", "--overwrite-tables"])
            say(f"loaded {options}", [code, told])
        finally:
            shutil.rmtree(folder)

    def all(self):
        kind = "mydumper" if self.program == "mydumper" else "mysqldump"
        for options in OPTIONS[kind]:
            self.empty()
            say(f"filled {options}", self.client(CREATE + FILL + self.view))
            (self.folder_dump if kind == "mydumper" else self.text_dump)(options)
            say(f"read {options}", self.client(READ + ("; select * from cheap order by name" if self.view else "")))


if __name__ == "__main__":
    Tool(*sys.argv[1:]).all()
