<?php
// PHP's own drivers: driver.php mysqli|pdo|pdo_emulated PORT DATABASE. A step is a line of JSON.
[, $driver, $port, $database] = $argv;
const CREATE = "create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime,
  ratio double, data mediumblob, primary key(id)) default charset=utf8mb4";
const INSERT = "insert into item(name, price, made, ratio, data) values (?, ?, ?, ?, ?)";
const ROWS = [["a'b", "1.50", "2024-02-29 10:00:00", 0.25, "x'\\"], ["Zoë 😀", null, null, null, null], ["c", "3.00", null, null, ""]];

function say($step, $value) { echo json_encode([$step, $value], JSON_THROW_ON_ERROR), "\n"; }
function failure($step, $action) {
  try { $action(); say($step, "no error"); }
  catch (mysqli_sql_exception $e) { say($step, [$e->getCode(), $e->getSqlState()]); }
  catch (PDOException $e) { say($step, [$e->errorInfo[1], $e->errorInfo[0]]); }
}

function with_mysqli($port, $database) {
  mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
  $connect = fn() => new mysqli("127.0.0.1", "demo", "", $database, (int)$port);
  [$c, $other] = [$connect(), $connect()];
  say("charset", [$c->set_charset("utf8mb4"), $c->character_set_name()]);
  say("created", $c->query(CREATE));
  $s = $c->prepare(INSERT);
  foreach (ROWS as $row) { $s->execute($row); say("inserted", [$s->affected_rows, $s->insert_id > 0]); }
  $s = $c->prepare("select name, price, made, ratio, data from item order by id");
  $s->execute();
  say("prepared", $s->get_result()->fetch_all());
  $s = $c->prepare("select name, price from item where name = ? limit ?");
  $s->bind_param("si", $name, $limit);
  [$name, $limit] = ["a'b", 1];
  $s->execute();
  $s->bind_result($found, $price);
  say("bound", [$s->fetch(), $found, $price]);
  $s->close();
  $s = $c->prepare("insert into item(name, data) values ('long', ?)");
  $blob = null;
  $s->bind_param("b", $blob);
  $s->send_long_data(0, str_repeat("x", 50000));
  $s->send_long_data(0, "yz");
  $s->execute();
  say("long", $c->query("select length(data) from item where name = 'long'")->fetch_row());
  say("rows", $c->query("select name, price from item order by name")->fetch_all(MYSQLI_ASSOC));
  $unbuffered = $c->query("select name from item order by name", MYSQLI_USE_RESULT);
  say("unbuffered", $unbuffered->fetch_all());
  $unbuffered->free();
  $fields = $c->query("select id, name, price from item limit 1")->fetch_fields();
  say("fields", array_map(fn($f) => [$f->name, $f->table, $f->db, $f->type, $f->flags], $fields));
  say("many", $c->multi_query("select 1; update item set price = 5 where name = 'c'; select name from item order by name limit 1"));
  do { $r = $c->store_result(); say("result", $r ? $r->fetch_all() : $c->affected_rows); } while ($c->more_results() && $c->next_result());
  say("info", [$c->query("update item set ratio = 1 where name in ('c', 'long')"), $c->info]);
  $c->begin_transaction(MYSQLI_TRANS_START_READ_WRITE);
  $c->query("update item set name = 'lost'");
  $c->rollback();
  $c->autocommit(false);
  $c->query("insert into item(name) values ('kept')");
  $c->savepoint("one");
  $c->query("insert into item(name) values ('undone')");
  $c->query("rollback to one");
  say("unseen", $other->query("select count(*) from item where name in ('kept', 'lost', 'undone')")->fetch_row());
  $c->commit();
  $c->autocommit(true);
  say("seen", $other->query("select name from item where name in ('kept', 'lost', 'undone')")->fetch_all());
  foreach (["no table" => "select * from nowhere", "syntax" => "selec 1", "null" => "insert into item(name) values (null)",
            "too long" => "insert into item(name) values (repeat('x', 100))"] as $step => $sql) {
    failure($step, fn() => $c->query($sql));
    failure("$step, prepared", fn() => $c->prepare($sql)->execute());
  }
  $c->query("update item set price = 'x' where id < 0");
  $c->query("select 1 + 'a'");
  say("warnings", [$c->warning_count, $c->get_warnings()->errno ?? null]);
  say("user", [$c->change_user("demo", "", $database), $c->ping(), $c->query("select @@autocommit, database()")->fetch_row()[0]]);
  say("database", $c->select_db($database));
  say("escaped", $c->real_escape_string("a'b\\\n\"é"));
  say("stat", strlen($c->stat()) > 10);
  failure("killed", fn() => $other->kill($other->thread_id));
  failure("after", fn() => $other->query("select 1"));
  say("dropped", $c->query("drop table item"));
}

function with_pdo($port, $database, $emulated) {
  $connect = fn($more = []) => new PDO("mysql:host=127.0.0.1;port=$port;dbname=$database;charset=utf8mb4", "demo", "", [PDO::ATTR_EMULATE_PREPARES => $emulated] + $more);
  [$c, $other] = [$connect(), $connect()];
  say("created", $c->exec(CREATE));
  $s = $c->prepare(INSERT);
  foreach (ROWS as $row) { $s->execute($row); say("inserted", [$s->rowCount(), $c->lastInsertId() > 0]); }
  foreach (["select name, price, made, ratio, data from item where id > ? order by id" => [0], "select name from item where name in (?, ?) order by name" => ["c", "a'b"],
            "select count(*), sum(price) from item where price > ?" => [1], "select name from item where id < ?" => [-1]] as $sql => $values) {
    $s = $c->prepare($sql);
    $s->execute($values);
    say($sql, $s->fetchAll(PDO::FETCH_ASSOC));
  }
  $s = $c->prepare("select name from item order by name limit :n");
  $s->bindValue("n", 2, PDO::PARAM_INT);
  $s->execute();
  say("limited", [$s->fetchAll(PDO::FETCH_COLUMN), $s->columnCount()]);
  $s = $c->prepare("update item set price = price + 1 where name = :name");
  $s->execute(["name" => "c"]);
  say("changed", $s->rowCount());
  $s = $c->query("select id, name from item limit 1");
  say("column", array_intersect_key($s->getColumnMeta(1), ["native_type" => 1, "table" => 1, "name" => 1, "flags" => 1]));
  $s->closeCursor();
  if ($emulated) {
    $s = $c->query("select 1; select name from item order by name limit 1");
    say("several", [$s->fetchAll(PDO::FETCH_COLUMN), $s->nextRowset(), $s->fetchAll(PDO::FETCH_COLUMN)]);
  }
  $c->beginTransaction();
  $c->exec("update item set name = 'lost'");
  say("inside", $c->inTransaction());
  $c->rollBack();
  $c->beginTransaction();
  $c->exec("insert into item(name) values ('kept')");
  say("unseen", $other->query("select count(*) from item where name in ('kept', 'lost')")->fetchColumn());
  $c->commit();
  say("seen", $other->query("select count(*) from item where name in ('kept', 'lost')")->fetchColumn());
  $unbuffered = $connect([PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false, PDO::MYSQL_ATTR_FOUND_ROWS => true, PDO::MYSQL_ATTR_INIT_COMMAND => "set time_zone = '+03:00'"]);
  say("unbuffered", $unbuffered->query("select name, @@time_zone from item order by name")->fetchAll(PDO::FETCH_NUM));
  say("found", $unbuffered->exec("update item set name = name where name = 'c'"));
  foreach (["no table" => "select * from nowhere", "syntax" => "selec 1", "null" => "insert into item(name) values (null)"] as $step => $sql) {
    failure($step, fn() => $c->exec($sql));
    failure("$step, prepared", fn() => $c->prepare($sql)->execute());
  }
  say("calculated", [$c->query("select sql_calc_found_rows name from item order by name limit 1")->fetchColumn(), $c->query("select found_rows()")->fetchColumn()]);
  say("tables", $c->query("show tables")->fetchAll(PDO::FETCH_COLUMN));
  say("attributes", [$c->getAttribute(PDO::ATTR_AUTOCOMMIT), strlen($c->getAttribute(PDO::ATTR_SERVER_INFO)) > 10]);
  say("dropped", $c->exec("drop table item"));
}

$driver == "mysqli" ? with_mysqli($port, $database) : with_pdo($port, $database, $driver == "pdo_emulated");
