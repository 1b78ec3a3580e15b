//! sqlx: clients PORT DATABASE. A step is a line of JSON.
use serde_json::{json, Value};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow};
use sqlx::types::chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sqlx::types::BigDecimal;
use sqlx::{Acquire, Column, Connection, Executor, FromRow, MySqlPool, Row, TypeInfo};
use std::str::FromStr;

fn say(step: &str, value: impl Into<Value>) {
    println!("{}", json!([step, value.into()]));
}

fn failure<T>(step: &str, result: Result<T, sqlx::Error>) {
    match result {
        Err(sqlx::Error::Database(error)) => {
            let number = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|e| e.number());
            say(step, json!([number, error.code(), error.is_unique_violation()]));
        }
        Err(error) => say(step, json!(format!("{error:?}"))),
        Ok(_) => say(step, "no error"),
    }
}

#[derive(FromRow)]
struct Item {
    name: String,
    price: Option<BigDecimal>,
    made: Option<NaiveDateTime>,
    ratio: Option<f64>,
    data: Option<Vec<u8>>,
    facts: Option<sqlx::types::Json<Value>>,
    sold: bool,
    small: Option<i8>,
    big: Option<u64>,
    day: Option<NaiveDate>,
}

impl Item {
    fn told(&self) -> Value {
        json!([self.name, self.price.as_ref().map(|p| p.to_string()), self.made.map(|m| m.to_string()), self.ratio, self.data,
               self.facts.as_ref().map(|f| f.0.clone()), self.sold, self.small, self.big, self.day.map(|d| d.to_string())])
    }
}

const CREATE: &str = "create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime(3),
  ratio double, data mediumblob, facts json, sold boolean not null default false, small tinyint, big bigint unsigned, day date,
  stamp timestamp null, primary key(id), unique key by_id_and_name(id, name)) default charset=utf8mb4";
const INSERT: &str = "insert into item(name, price, made, ratio, data, facts, sold, small, big, day) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

async fn names(pool: &MySqlPool, condition: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(&format!("select name from item where {condition} order by name")).fetch_all(pool).await
}

async fn transactions(pool: &MySqlPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("update item set name = ?").bind("lost").execute(&mut *tx).await?;
    tx.rollback().await?;
    {
        let mut dropped = pool.begin().await?;
        sqlx::query("insert into item(name) values ('dropped')").execute(&mut *dropped).await?;
    }
    let mut tx = pool.begin().await?;
    sqlx::query("insert into item(name) values ('kept')").execute(&mut *tx).await?;
    let mut inner = tx.begin().await?; // A savepoint.
    sqlx::query("insert into item(name) values ('undone')").execute(&mut *inner).await?;
    inner.rollback().await?;
    let mut inner = tx.begin().await?;
    sqlx::query("insert into item(name) values ('inner')").execute(&mut *inner).await?;
    inner.commit().await?;
    say("unseen", names(pool, "name in ('lost', 'dropped', 'kept', 'undone', 'inner')").await?);
    tx.commit().await?;
    say("seen", names(pool, "name in ('lost', 'dropped', 'kept', 'undone', 'inner')").await?);
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin_with("start transaction read only").await?;
    failure("read only", sqlx::query("insert into item(name) values ('no')").execute(&mut *tx).await);
    tx.rollback().await
}

async fn scenario(port: u16, database: &str) -> Result<(), sqlx::Error> {
    let options = MySqlConnectOptions::new().host("127.0.0.1").port(port).username("demo").database(database);
    let pool = MySqlPoolOptions::new().max_connections(3).connect_with(options.clone()).await?;
    pool.execute(CREATE).await?;
    let first = sqlx::query(INSERT).bind("a'b").bind(BigDecimal::from_str("1.50").unwrap())
        .bind(NaiveDateTime::parse_from_str("2024-02-29 10:00:00.123", "%Y-%m-%d %H:%M:%S%.f").unwrap()).bind(0.25).bind(vec![0u8, b'x', 39, 92, 255])
        .bind(sqlx::types::Json(json!({"pages": [1, 2]}))).bind(true).bind(-5i8).bind(u64::MAX).bind(NaiveDate::from_ymd_opt(2024, 2, 29).unwrap())
        .execute(&pool).await?;
    let second = sqlx::query(INSERT).bind("Zo\u{eb} \u{1F600}").bind(None::<BigDecimal>).bind(None::<NaiveDateTime>).bind(None::<f64>).bind(None::<Vec<u8>>)
        .bind(None::<Value>).bind(false).bind(None::<i8>).bind(None::<u64>).bind(None::<NaiveDate>).execute(&pool).await?;
    say("inserted", json!([first.rows_affected(), first.last_insert_id() > 0, second.last_insert_id() > first.last_insert_id()]));
    for name in ["x", "y", "z"] {
        sqlx::query("insert into item(name, price) values (?, ?)").bind(name).bind(name.len() as i32).execute(&pool).await?;
    }
    let items: Vec<Item> = sqlx::query_as("select * from item order by name").fetch_all(&pool).await?;
    say("read", items.iter().map(Item::told).collect::<Vec<_>>());
    let one: Item = sqlx::query_as("select * from item where id = ?").bind(first.last_insert_id()).fetch_one(&pool).await?;
    say("one", one.told());
    say("none", sqlx::query("select id from item where id = ?").bind(-1).fetch_optional(&pool).await?.is_none());
    failure("no row", sqlx::query("select id from item where id = ?").bind(-1).fetch_one(&pool).await);
    say("scalars", json!([sqlx::query_scalar::<_, i64>("select count(*) from item").fetch_one(&pool).await?,
        sqlx::query_scalar::<_, Option<BigDecimal>>("select sum(price) from item where name <> ?").bind("x").fetch_one(&pool).await?.map(|v| v.to_string())]));
    say("in", sqlx::query_scalar::<_, String>("select name from item where name in (?, ?) order by name desc").bind("x").bind("y").fetch_all(&pool).await?);
    say("limit", sqlx::query_scalar::<_, String>("select name from item order by name limit ? offset ?").bind(2).bind(1).fetch_all(&pool).await?);
    let mut built = sqlx::QueryBuilder::<sqlx::MySql>::new("insert into item(name, small) ");
    built.push_values([("m1", 1i8), ("m2", 2), ("m3", 3)], |mut row, (name, small)| {
        row.push_bind(name).push_bind(small);
    });
    say("several rows", built.build().execute(&pool).await?.rows_affected());
    let rows: Vec<MySqlRow> = sqlx::raw_sql("select name, small from item where small > 0 order by small desc").fetch_all(&pool).await?;
    say("raw", rows.iter().map(|r| json!([r.get::<String, _>(0), r.get::<i8, _>("small")])).collect::<Vec<_>>());
    let described = (&pool).describe("select id, name, price, made, data, facts, sold, big, day, stamp from item where id = ?").await;
    if let Ok(described) = &described {
        say("types", described.columns().iter().map(|c| json!([c.name(), c.type_info().name()])).collect::<Vec<_>>());
        say("nullable", (0..described.columns().len()).map(|i| json!(described.nullable(i))).collect::<Vec<_>>());
    } else {
        failure("types", described.map(|_| ()));
    }
    say("changed", sqlx::query("update item set price = price + ? where name in ('x', 'y')").bind(1).execute(&pool).await?.rows_affected());
    say("deleted", sqlx::query("delete from item where name = ?").bind("z").execute(&pool).await?.rows_affected());
    sqlx::query("insert into item(name, data) values (?, ?)").bind("long").bind(vec![b'x'; 100_000]).execute(&pool).await?;
    say("long", sqlx::query_scalar::<_, Vec<u8>>("select data from item where name = ?").bind("long").fetch_one(&pool).await?.len());
    sqlx::query("update item set stamp = ? where name = 'x'").bind(DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap()).execute(&pool).await?;
    say("stamp", sqlx::query_scalar::<_, DateTime<Utc>>("select stamp from item where name = 'x'").fetch_one(&pool).await?.timestamp());
    transactions(&pool).await?;
    failure("duplicate", sqlx::query("insert into item(id, name) values (?, 'a''b')").bind(first.last_insert_id()).execute(&pool).await);
    failure("null", sqlx::query("insert into item(name) values (?)").bind(None::<String>).execute(&pool).await);
    failure("no table", sqlx::query("select * from nowhere where a = ?").bind(1).fetch_all(&pool).await);
    failure("syntax", sqlx::query("selec 1").fetch_all(&pool).await);
    let mut alone = sqlx::MySqlConnection::connect_with(&options.pipes_as_concat(false).no_engine_substitution(true)).await?;
    alone.ping().await?;
    say("mode", sqlx::query_scalar::<_, String>("select @@sql_mode").fetch_one(&mut alone).await?);
    say("zone", sqlx::query_scalar::<_, String>("select @@time_zone").fetch_one(&mut alone).await?);
    alone.close().await?;
    pool.execute("drop table item").await?;
    pool.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    let args: Vec<String> = std::env::args().collect();
    scenario(args[1].parse().expect("a port"), &args[2]).await
}
