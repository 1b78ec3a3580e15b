// A driver by itself: driver.js mysql2|mariadb|mysql PORT DATABASE.
const util = require('util');
const { say, main } = require('./say');

const CREATE = `create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime,
  ratio double, data mediumblob, facts json, primary key(id)) default charset=utf8mb4`;

// One face for the three libraries: query(sql, values) -> rows or result, execute: prepared on the server.
async function connect(library, options) {
  if (library === 'mysql2') {
    const c = await require('mysql2/promise').createConnection({ ...options, dateStrings: true });
    return { library, raw: c, query: async (...a) => (await c.query(...a))[0], execute: async (...a) => (await c.execute(...a))[0], end: () => c.end(),
      begin: () => c.beginTransaction(), commit: () => c.commit(), rollback: () => c.rollback() };
  }
  if (library === 'mariadb') {
    const c = await require('mariadb').createConnection({ ...options, dateStrings: true, jsonStrings: true });
    return { library, raw: c, query: (...a) => c.query(...a), execute: (...a) => c.execute(...a), end: () => c.end(), begin: () => c.beginTransaction(),
      commit: () => c.commit(), rollback: () => c.rollback() };
  }
  const c = require('mysql').createConnection({ ...options, dateStrings: true });
  const query = util.promisify(c.query.bind(c));
  await util.promisify(c.connect.bind(c))();
  return { library, raw: c, query, execute: query, end: () => util.promisify(c.end.bind(c))(), begin: () => query('start transaction'),
    commit: () => query('commit'), rollback: () => query('rollback') };
}

async function failure(step, action) {
  try {
    await action();
    say(step, 'no error');
  } catch (error) {
    say(step, [error.code, error.errno, error.sqlState]);
  }
}

const hex = (rows) => rows.map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, Buffer.isBuffer(v) ? v.toString('hex') : v])));

async function writes(c) {
  const insert = 'insert into item(name, price, made, ratio, data, facts) values (?, ?, ?, ?, ?, ?)';
  const one = await c.execute(insert, ["a'b", '1.50', '2024-02-29 10:00:00', 0.25, Buffer.from([0, 255, 39, 92]), '{"a":[1,null]}']);
  say('inserted', [one.affectedRows, one.insertId > 0]);
  const more = await c.query(insert, ['Zoë 😀', null, null, null, null, null]);
  say('second', [more.affectedRows, more.insertId > one.insertId]);
  const many = await c.query("insert into item(name, price) values ('x', 1), ('y', 2), ('z', 3)");
  say('many', [many.affectedRows, many.insertId > 0]);
  for (const how of ['query', 'execute']) {
    say(`read by ${how}`, hex(await c[how]('select name, price, made, ratio, data, facts from item where id >= ? order by id', [one.insertId])));
    say(`in by ${how}`, await c[how]('select name from item where name in (?, ?) order by name', ['x', "a'b"]));
    say(`grouped by ${how}`, await c[how]('select count(*) n, sum(price) total, max(name) top from item where price is not null'));
    say(`none by ${how}`, await c[how]('select id from item where id < ?', [-1]));
    say(`limit by ${how}`, await c[how]('select name from item order by name limit ?', how === 'execute' && c.library === 'mysql2' ? ['2'] : [2]));
    const changed = await c[how]('update item set price = price + ? where name = ?', [1, 'x']);
    say(`changed by ${how}`, [changed.affectedRows]);
  }
  const gone = await c.execute('delete from item where name = ?', ['z']);
  say('deleted', gone.affectedRows);
  await c.execute('insert into item(name, data) values (?, ?)', ['long', Buffer.alloc(100000, 1)]);
  say('long', await c.execute('select length(data) n from item where name = ?', ['long']));
}

async function transactions(c, other) {
  await c.begin();
  await c.execute('update item set name = ?', ['lost']);
  await c.rollback();
  say('rolled back', await c.query("select count(*) n from item where name = 'lost'"));
  await c.begin();
  await c.query("insert into item(name) values ('kept')");
  say('unseen', await other.query("select count(*) n from item where name = 'kept'"));
  await c.query('savepoint s');
  await c.query("insert into item(name) values ('undone')");
  await c.query('rollback to savepoint s');
  await c.commit();
  say('seen', await other.query("select name from item where name in ('kept', 'undone')"));
}

async function errors(c) {
  await failure('no table', () => c.query('select * from nowhere'));
  await failure('no table, prepared', () => c.execute('select * from nowhere where a = ?', [1]));
  await failure('syntax', () => c.query('selec 1'));
  await failure('null', () => c.execute('insert into item(name) values (?)', [null]));
  await failure('too long', () => c.execute('insert into item(name) values (?)', ['x'.repeat(100)]));
  const [row] = await c.query("select id from item where name = 'kept'");
  await failure('duplicate', () => c.execute('insert into item(id, name) values (?, ?)', [row.id, 'again']));
  say('alive', await c.query('select 1 as one'));
}

async function own(library, c, database) {
  if (library === 'mysql2') {
    say('json', (await c.execute('select ? as j', [{ x: 1 }]))[0]);
    await c.raw.changeUser({ user: 'demo', database });
    await c.raw.reset();
    const named = await c.raw.query({ sql: 'select name, count(*) from item group by name order by name limit 1', rowsAsArray: true });
    say('arrays', named[0]);
    const stream = c.raw.connection.query('select name from item order by name').stream();
    const names = [];
    for await (const row of stream) names.push(row.name);
    say('streamed', names);
  } else if (library === 'mariadb') {
    const batch = await c.raw.batch('insert into item(name, price) values (?, ?)', [['b1', 1], ['b2', 2], ['b3', 3]]);
    say('batch', [batch].flat().reduce((sum, result) => sum + result.affectedRows, 0));
    say('batched', await c.query("select name, price from item where name like 'b_' order by name"));
    const names = [];
    for await (const row of c.raw.queryStream('select name from item order by name')) names.push(row.name);
    say('streamed', names);
    await c.raw.changeUser({ user: 'demo', database });
    await c.raw.reset();
    await c.raw.ping();
  } else {
    await util.promisify(c.raw.changeUser.bind(c.raw))({ user: 'demo', database });
    say('nested tables', await c.query({ sql: 'select i.name, i.price from item i order by i.name limit 1', nestTables: '_' }));
  }
}

main(async (library, port, database) => {
  const options = { host: '127.0.0.1', port: Number(port), user: 'demo', database, charset: 'utf8mb4' };
  const c = await connect(library, options);
  const other = await connect(library, options);
  say('created', (await c.query(CREATE)).affectedRows);
  await writes(c);
  await transactions(c, other);
  await errors(c);
  await own(library, c, database);
  say('columns', (await c.query('show columns from item')).map((row) => [row.Field, row.Type]));
  say('tables', await c.query('select table_name as t from information_schema.tables where table_schema = database()'));
  const several = await connect(library, { ...options, multipleStatements: true });
  const results = await several.query('select 1 as a; select name from item order by name limit 1; set @x = 3; select @x as x');
  say('several', [results[0], results[1], results[3]]);
  await failure('several, one wrong', () => several.query('select 1; select * from nowhere; select 2'));
  await c.query('drop table item');
  for (const one of [c, other, several]) await one.end();
});
