"""The command line client: cli.py PROGRAM PORT DATABASE. What it prints, for scripts of statements."""

import json
import subprocess
import sys

SCRIPTS = {
    "created": "create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), primary key(id));",
    "inserted": "insert into item(name, price) values ('a\\'b', 1.5), ('c', null); insert into item(name) values ('d');",
    "read": "select name, price from item order by id;",
    "vertical": "select name, price from item where name = 'c'\\G",
    "delimiter": "delimiter //\nselect 1//\ndelimiter ;\nselect 2;",
    "described": "describe item; show columns from item like 'n%';",
    "create table": "show create table item;",
    "transaction": "begin; update item set name = 'lost'; rollback; start transaction; insert into item(name) values ('kept'); commit;"
                   " select name from item where name in ('kept', 'lost');",
    "prepared": "prepare s from 'select name from item where name = ? or price = ? order by name'; set @a = 'c', @b = 1.5; execute s using @a, @b; deallocate prepare s;",
    "variables": "set @a = 5; select @a + 1; select @@autocommit; set names latin1; select @@character_set_client; set sql_mode = ''; select @@sql_mode;",
    "comments": "/* nothing */ select /*+ hint */ 1; -- end\n# other\nselect 2; /*!40101 select 3 */;",
    "no table": "select * from nowhere;",
    "syntax": "selec 1;",
    "wrong, then right": "select * from nowhere; select 1;",
    "use": "use nowhere_at_all;",
    "warnings": "select 1 + 'a'; show warnings; show count(*) warnings; show errors;",
    "views": "create view cheap as select name from item where price < 2; select * from cheap;",
    "no view": "drop view cheap; show full tables;",
    "several results": "select 1; select 2; insert into item(name) values ('z'); select row_count(), last_insert_id() > 0;",
    "shown": "show tables; show full tables; select index_name, column_name from information_schema.statistics where table_schema = database(); show table status like 'nothing'; show variables like 'autocommit'; show engines like 'x';",
    "truncated": "truncate item; select count(*) from item;",
    "dropped": "drop table item; show tables;",
}


def main(program, port, database):
    def run(text, *options):
        done = subprocess.run([program, "--no-defaults", "--host=127.0.0.1", f"--port={port}", "--user=demo", "--default-character-set=utf8mb4",
                               *options, database], input=text, capture_output=True, text=True, timeout=60, check=False)
        lines = [line for line in done.stderr.splitlines() if "Deprecated program name" not in line]
        # Of an error the number and state: texts may say more through vtgate.
        errors = [line.split(":")[0] for line in lines if line.startswith("ERROR")] or lines
        return [done.returncode, done.stdout, errors]
    for step, text in SCRIPTS.items():
        print(json.dumps([step, run(text, "--table" if step in ("read", "described") else "--batch", *(["--force"] if "wrong" in step else []))]), flush=True)
    # What people see who ask at the prompt, with names completed from the server.
    print(json.dumps(["status", [line.split(":")[0].strip() for line in run("status")[1].splitlines() if ":" in line]]))
    print(json.dumps(["rehashed", run("select 1", "--auto-rehash", "--comments", "--show-warnings", "--compress")]))


if __name__ == "__main__":
    main(*sys.argv[1:])
