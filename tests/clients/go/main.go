// The scenario of tests/e2e/drivers.py with go-sql-driver: smoke PORT DATABASE.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	_ "github.com/go-sql-driver/mysql"
)

func say(step string, value any) {
	line, _ := json.Marshal([]any{step, value})
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func column(rows *sql.Rows, err error) []string {
	check(err)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var text string
		check(rows.Scan(&text))
		out = append(out, text)
	}
	check(rows.Err())
	return out
}

func main() {
	port, database := os.Args[1], os.Args[2]
	db, err := sql.Open("mysql", fmt.Sprintf("demo@tcp(127.0.0.1:%s)/%s", port, database))
	check(err)
	defer db.Close()
	var version string
	check(db.QueryRow("select version()").Scan(&version))
	say("version", version)
	result, err := db.Exec("insert into item(name, price, made) values (?, ?, ?)", "a'b", "1.50", "2024-02-29 10:00:00")
	check(err)
	affected, _ := result.RowsAffected()
	say("inserted", affected)
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec("update item set name = ? where id >= 1", "lost")
	check(err)
	check(tx.Rollback())
	var name, price, made string
	check(db.QueryRow("select name, price, made from item where name = ?", "a'b").Scan(&name, &price, &made))
	say("row", []string{name, price, made})
	say("empty", len(column(db.Query("select id from item where id < ?", -100))))
	say("tables", column(db.Query("select table_name from information_schema.tables where table_schema = ? order by 1", database)))
	statement, err := db.Prepare("show tables")
	check(err)
	say("shown", column(statement.Query()))
	_, err = db.Exec("select * from nowhere")
	say("error", err != nil && strings.Contains(err.Error(), "nowhere"))
}
