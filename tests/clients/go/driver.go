package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const create = `create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime(3),
  ratio double, data mediumblob, primary key(id)) default charset=utf8mb4`

type asker interface {
	Query(string, ...any) (*sql.Rows, error)
	Exec(string, ...any) (sql.Result, error)
}

func rows(db asker, query string, values ...any) [][]any {
	found, err := db.Query(query, values...)
	check(err)
	defer found.Close()
	columns, err := found.Columns()
	check(err)
	out := [][]any{}
	for found.Next() {
		row, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			places[i] = &row[i]
		}
		check(found.Scan(places...))
		for i, value := range row {
			if bytes, ok := value.([]byte); ok {
				row[i] = string(bytes)
			}
		}
		out = append(out, row)
	}
	check(found.Err())
	return out
}

func exec(db asker, query string, values ...any) (int64, int64) {
	result, err := db.Exec(query, values...)
	check(err)
	affected, err := result.RowsAffected()
	check(err)
	id, err := result.LastInsertId()
	check(err)
	return affected, id
}

func failure(step string, db asker, query string, values ...any) {
	_, err := db.Exec(query, values...)
	var told *mysql.MySQLError
	if errors.As(err, &told) {
		say(step, []any{told.Number, string(told.SQLState[:])})
	} else {
		say(step, "no error")
	}
}

func driver(address string) {
	db, err := sql.Open("mysql", address)
	check(err)
	defer db.Close()
	check(db.Ping())
	exec(db, create)
	const insert = "insert into item(name, price, made, ratio, data) values (?, ?, ?, ?, ?)"
	affected, first := exec(db, insert, "a'b", "1.50", time.Date(2024, 2, 29, 10, 0, 0, 123000000, time.UTC), 0.25, []byte{0, 'x', 39, 92})
	_, second := exec(db, insert, "Zo\u00eb \U0001F600", nil, nil, nil, nil)
	say("inserted", []any{affected, first > 0, second > first})
	statement, err := db.Prepare("insert into item(name, price) values (?, ?)")
	check(err)
	for _, name := range []string{"x", "y", "z"} {
		_, err = statement.Exec(name, len(name))
		check(err)
	}
	check(statement.Close())
	say("read", rows(db, "select name, price, made, ratio, data from item order by id"))
	say("one", rows(db, "select name, price from item where name = ?", "a'b"))
	say("in", rows(db, "select name from item where name in (?, ?) order by name", "x", "y"))
	say("none", rows(db, "select id from item where id < ?", -100))
	say("sum", rows(db, "select count(*), sum(price), max(made) from item where price is not null"))
	say("limit", rows(db, "select name from item order by name limit ?", 2))
	affected, _ = exec(db, "update item set price = price + ? where name in ('x', 'y')", 1)
	say("changed", affected)
	affected, _ = exec(db, "delete from item where name = ?", "z")
	say("deleted", affected)
	exec(db, "insert into item(name, data) values (?, ?)", "long", []byte(strings.Repeat("x", 100000)))
	say("long", rows(db, "select length(data) from item where name = ?", "long"))
	transactions(db)
	failure("no table", db, "select * from nowhere")
	failure("no table, prepared", db, "select * from nowhere where a = ?", 1)
	failure("syntax", db, "selec 1")
	failure("null", db, "insert into item(name) values (?)", nil)
	failure("too long", db, "insert into item(name) values (?)", strings.Repeat("x", 100))
	failure("duplicate", db, "insert into item(id, name) values (?, ?)", first, "again")
	late, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	_, err = db.ExecContext(late, "do sleep(5)")
	stop()
	say("late", errors.Is(err, context.DeadlineExceeded))
	failure("comment", db, "-- nothing")
	if strings.Contains(address, "multiStatements") {
		several, err := db.Query("select 1; select name from item order by name limit 1")
		check(err)
		for more := true; more; more = several.NextResultSet() {
			for several.Next() {
				var text string
				check(several.Scan(&text))
				say("several", text)
			}
		}
		check(several.Close())
	}
	kinds, err := db.Query("select id, name, price, made, data from item where id < 0")
	check(err)
	types, err := kinds.ColumnTypes()
	check(err)
	for _, kind := range types {
		nullable, _ := kind.Nullable()
		say("type of "+kind.Name(), []any{kind.DatabaseTypeName(), nullable})
	}
	check(kinds.Close())
	say("tables", rows(db, "select table_name from information_schema.tables where table_schema = database()"))
	exec(db, "drop table item")
}

func transactions(db *sql.DB) {
	tx, err := db.Begin()
	check(err)
	exec(tx, "update item set name = ?", "lost")
	check(tx.Rollback())
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	check(err)
	exec(tx, "insert into item(name) values ('kept')")
	exec(tx, "savepoint one")
	exec(tx, "insert into item(name) values ('undone')")
	exec(tx, "rollback to savepoint one")
	say("unseen", rows(db, "select count(*) from item where name in ('kept', 'lost', 'undone')"))
	check(tx.Commit())
	say("seen", rows(db, "select name from item where name in ('kept', 'lost', 'undone')"))
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	check(err)
	failure("read only", tx, "insert into item(name) values ('no')")
	check(tx.Rollback())
}
