"""The scenario of tests/e2e/drivers.py in Python: smoke.py MODULE PORT DATABASE."""

import importlib
import json
import sys


def say(step, value):
    print(json.dumps([step, value]), flush=True)


def main(module, port, database):
    driver = importlib.import_module(module)
    connection = driver.connect(host="127.0.0.1", port=int(port), user="demo", database=database)
    prepared = {"prepared": True} if module == "mysql.connector" else {}
    cursor = connection.cursor()
    cursor.execute("select version()")
    say("version", cursor.fetchall()[0][0])
    cursor.execute("insert into item(name, price, made) values (%s, %s, %s)", ("a'b", "1.50", "2024-02-29 10:00:00"))
    say("inserted", cursor.rowcount)
    connection.commit()
    cursor.execute("update item set name = %s where id >= 1", ("lost",))
    connection.rollback()
    cursor = connection.cursor(**prepared)
    cursor.execute("select name, price, made from item where name = %s", ("a'b",))
    say("row", [str(v) for v in cursor.fetchall()[0]])
    cursor.execute("select id from item where id < %s", (-100,))
    say("empty", len(cursor.fetchall()))
    cursor.execute("select table_name from information_schema.tables where table_schema = database() order by 1")
    say("tables", [row[0] for row in cursor.fetchall()])
    cursor.execute("show tables")
    say("shown", [row[0] for row in cursor.fetchall()])
    try:
        cursor.execute("select * from nowhere")
        cursor.fetchall()
    except driver.Error as error:
        say("error", "nowhere" in str(error))
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
