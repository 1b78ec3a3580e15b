// Knex over mysql2: migrations, the query builder, transactions. knex.js PORT DATABASE.
const { say, main } = require('./say');

class Migrations {
  async getMigrations() { return ['1_tables', '2_changes']; }
  getMigrationName(name) { return name; }
  getMigration(name) {
    const steps = {
      '1_tables': {
        up: (k) => k.schema.createTable('author', (t) => { t.bigIncrements('id'); t.string('name', 60).notNullable().index(); t.date('born'); })
          .createTable('book', (t) => { t.bigIncrements('id'); t.bigInteger('author_id').unsigned().index(); t.string('title', 100); t.decimal('price', 10, 2); t.json('facts'); }),
        down: (k) => k.schema.dropTable('book').dropTable('author') },
      '2_changes': {
        up: (k) => k.schema.alterTable('book', (t) => { t.boolean('sold').defaultTo(false); t.renameColumn('title', 'name'); t.index(['name', 'sold']); }),
        down: (k) => k.schema.alterTable('book', (t) => { t.dropIndex(['name', 'sold']); t.renameColumn('name', 'title'); t.dropColumn('sold'); }) } };
    return steps[name];
  }
}

main(async (port, database) => {
  const knex = require('knex')({ client: 'mysql2', connection: { host: '127.0.0.1', port: Number(port), user: 'demo', database, dateStrings: true }, pool: { min: 0, max: 3 } });
  const migrations = { migrationSource: new Migrations() };
  say('migrated', (await knex.migrate.latest(migrations))[1]);
  say('version', await knex.migrate.currentVersion(migrations));
  say('columns', Object.entries(await knex('book').columnInfo()).map(([name, c]) => [name, c.type, c.nullable]));
  say('has', [await knex.schema.hasTable('book'), await knex.schema.hasColumn('book', 'title'), await knex.schema.hasTable('nowhere')]);
  const [ann] = await knex('author').insert({ name: 'Ann', born: '1970-01-02' });
  const [bob] = await knex('author').insert({ name: 'Böb' });
  await knex('book').insert([{ author_id: ann, name: 'One', price: 9.99, facts: JSON.stringify({ pages: 10 }) }, { author_id: ann, name: 'Two' },
    { author_id: bob, name: 'Three', price: 1.01, sold: true }]);
  say('rows', await knex('book').select('name', 'price', 'facts', 'sold').orderBy('name'));
  say('join', await knex('book as b').join('author as a', 'a.id', 'b.author_id').select('a.name as author', 'b.name').orderBy('b.name'));
  say('left', await knex('author').leftJoin('book', 'book.author_id', 'author.id').groupBy('author.name').select('author.name').count('book.id as n').orderBy('author.name'));
  say('subquery', await knex('author').whereIn('id', knex('book').select('author_id').where('price', '>', 5)).pluck('name'));
  say('exists', await knex('author').whereExists(knex('book').whereRaw('book.author_id = author.id').where('sold', true)).pluck('name'));
  say('union', (await knex('author').select('name').union(knex('book').select('name'))).map((r) => r.name).sort());
  say('with', await knex.with('cheap', knex('book').where('price', '<', 5)).select('name').from('cheap'));
  say('first', await knex('book').where({ name: 'One' }).first('name', 'price'));
  say('page', await knex('book').orderBy('name', 'desc').limit(2).offset(1).pluck('name'));
  say('distinct', await knex('book').countDistinct('author_id as n'));
  say('changed', await knex('book').where('price', '<', 5).increment('price', 1));
  await knex('author').insert({ id: ann, name: 'Ann B.' }).onConflict('id').merge(['name']);
  say('merged', await knex('author').orderBy('name').pluck('name'));
  await knex.transaction(async (trx) => {
    await trx('author').insert({ name: 'outer' });
    await trx.transaction(async (inner) => { await inner('author').insert({ name: 'inner' }); });
    await trx.transaction(async (inner) => { await inner('author').insert({ name: 'undone' }); throw new Error('no'); }).catch(() => {});
    say('locked', await trx('author').where({ id: ann }).forUpdate().pluck('name'));
  });
  await knex.transaction(async (trx) => { await trx('author').insert({ name: 'lost' }); throw new Error('no'); }).catch(() => {});
  say('nested', await knex('author').orderBy('name').pluck('name'));
  const names = [];
  for await (const row of knex('book').select('name').orderBy('name').stream()) names.push(row.name);
  say('streamed', names);
  say('deleted', await knex('book').where({ author_id: ann }).del());
  say('error', await knex('nowhere').select().catch((error) => [error.code, error.errno]));
  await knex('book').truncate();
  say('emptied', await knex('book').count('* as n'));
  say('back', (await knex.migrate.rollback(migrations, true))[1]);
  await knex.destroy();
});
