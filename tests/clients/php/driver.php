<?php
// The scenario of tests/e2e/drivers.py in PHP: smoke.php mysqli|pdo PORT DATABASE.
[, $driver, $port, $database] = $argv;
function say($step, $value) { echo json_encode([$step, $value]), "\n"; }
$insert = "insert into item(name, price, made) values (?, ?, ?)";
$values = ["a'b", "1.50", "2024-02-29 10:00:00"];
$tables = "select table_name as t from information_schema.tables where table_schema = database() order by 1";

if ($driver == "mysqli") {
  mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
  $c = new mysqli("127.0.0.1", "demo", "", $database, (int)$port);
  say("version", $c->query("select version()")->fetch_row()[0]);
  $s = $c->prepare($insert);
  $s->bind_param("sss", ...$values);
  $s->execute();
  say("inserted", $s->affected_rows);
  $c->begin_transaction();
  $c->query("update item set name = 'lost' where id >= 1");
  $c->rollback();
  $s = $c->prepare("select name, price, made from item where name = ?");
  $s->execute(["a'b"]);
  say("row", $s->get_result()->fetch_row());
  $s = $c->prepare("select id from item where id < ?");
  $s->execute([-100]);
  say("empty", $s->get_result()->num_rows);
  say("tables", array_column($c->query($tables)->fetch_all(), 0));
  $s = $c->prepare("show tables");
  $s->execute();
  say("shown", array_column($s->get_result()->fetch_all(), 0));
  $c->multi_query("select 1; select 2");
  $many = [];
  do { $many[] = (int)$c->store_result()->fetch_row()[0]; } while ($c->next_result());
  say("many", $many);
  say("user", $c->change_user("demo", "", $database));
  try { $c->query("select * from nowhere"); } catch (mysqli_sql_exception $e) { say("error", str_contains($e->getMessage(), "nowhere")); }
} else {
  $c = new PDO("mysql:host=127.0.0.1;port=$port;dbname=$database", "demo", "", [PDO::ATTR_EMULATE_PREPARES => false]);
  say("version", $c->query("select version()")->fetchColumn());
  $s = $c->prepare($insert);
  $s->execute($values);
  say("inserted", $s->rowCount());
  $c->beginTransaction();
  $c->exec("update item set name = 'lost' where id >= 1");
  $c->rollBack();
  $s = $c->prepare("select name, price, made from item where name = ?");
  $s->execute(["a'b"]);
  say("row", $s->fetch(PDO::FETCH_NUM));
  $s = $c->prepare("select id from item where id < ?");
  $s->execute([-100]);
  say("empty", count($s->fetchAll()));
  say("tables", $c->query($tables)->fetchAll(PDO::FETCH_COLUMN));
  say("shown", $c->query("show tables")->fetchAll(PDO::FETCH_COLUMN));
  try { $c->query("select * from nowhere"); } catch (PDOException $e) { say("error", str_contains($e->getMessage(), "nowhere")); }
}
