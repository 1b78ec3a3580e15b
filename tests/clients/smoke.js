// The scenario of tests/e2e/drivers.py with mysql2: smoke.js PORT DATABASE.
const mysql = require('mysql2/promise');
const say = (step, value) => console.log(JSON.stringify([step, value]));

(async () => {
  const [port, database] = process.argv.slice(2);
  const c = await mysql.createConnection({ host: '127.0.0.1', port: Number(port), user: 'demo', database, dateStrings: true });
  say('version', (await c.query('select version() v'))[0][0].v);
  const [result] = await c.execute('insert into item(name, price, made) values (?, ?, ?)', ["a'b", '1.50', '2024-02-29 10:00:00']);
  say('inserted', result.affectedRows);
  await c.beginTransaction();
  await c.execute('update item set name = ? where id >= 1', ['lost']);
  await c.rollback();
  const [rows] = await c.execute("select name, price, made from item where name = ?", ["a'b"]);
  say('row', [rows[0].name, rows[0].price, rows[0].made]);
  say('empty', (await c.execute('select id from item where id < ?', [-100]))[0].length);
  const [tables] = await c.execute('select table_name as t from information_schema.tables where table_schema = ? order by 1', [database]);
  say('tables', tables.map((r) => r.t));
  say('shown', (await c.execute('show tables'))[0].map((r) => Object.values(r)[0]));
  say('json', (await c.execute('select ? as j', [{ x: 1 }]))[0][0].j);
  await c.changeUser({ user: 'demo', database });
  try {
    await c.query('select * from nowhere');
  } catch (error) {
    say('error', error.message.includes('nowhere'));
  }
  await c.end();
})().catch((error) => { console.error(error); process.exit(1); });
