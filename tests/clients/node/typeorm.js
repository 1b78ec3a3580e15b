// TypeORM: typeorm.js PORT DATABASE. A schema by migration, then by synchronization.
require('reflect-metadata');
const { DataSource, EntitySchema, In } = require('typeorm');
const { say, main } = require('./say');

const Author = new EntitySchema({ name: 'author', columns: { id: { type: 'bigint', primary: true, generated: 'increment' }, name: { type: 'varchar', length: 60 },
  born: { type: 'date', nullable: true } }, indices: [{ columns: ['name'] }], relations: { books: { type: 'one-to-many', target: 'book', inverseSide: 'author', cascade: true } } });
const Book = new EntitySchema({ name: 'book', columns: { id: { type: 'bigint', primary: true, generated: 'increment' }, title: { type: 'varchar', length: 100 },
  price: { type: 'decimal', precision: 10, scale: 2, nullable: true }, facts: { type: 'simple-json', nullable: true }, sold: { type: 'boolean', default: false },
  made: { type: 'datetime', nullable: true } },
relations: { author: { type: 'many-to-one', target: 'author', inverseSide: 'books', joinColumn: { name: 'author_id' }, createForeignKeyConstraints: false } } });

class Tables1700000000000 {
  async up(q) {
    await q.query('CREATE TABLE `author` (`id` bigint NOT NULL AUTO_INCREMENT, `name` varchar(60) NOT NULL, `born` date NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB');
  }

  async down(q) { await q.query('DROP TABLE `author`'); }
}

main(async (port, database) => {
  const source = new DataSource({ type: 'mariadb', driver: require('mysql2'), host: '127.0.0.1', port: Number(port), username: 'demo', database, dateStrings: true, entities: [Author, Book],
    migrations: [Tables1700000000000], connectorPackage: 'mysql2' });
  await source.initialize();
  say('migrated', (await source.runMigrations()).map((m) => m.name));
  await source.synchronize();
  say('pending', await source.showMigrations());
  const authors = source.getRepository('author');
  const books = source.getRepository('book');
  const ann = await authors.save({ name: 'Ann', born: '1970-01-02', books: [{ title: 'One', price: '9.99', facts: { pages: 10 } }, { title: 'Two', made: '2024-02-29 10:00:00' }] });
  await authors.save({ name: 'Böb', books: [{ title: 'Three', price: '1.01', sold: true }] });
  say('rows', (await books.find({ order: { title: 'ASC' } })).map((b) => [b.title, b.price, b.facts, b.sold, b.made]));
  say('related', (await authors.find({ relations: { books: true }, order: { name: 'ASC', books: { title: 'ASC' } } })).map((a) => [a.name, a.books.map((b) => b.title)]));
  say('paged', (await authors.findAndCount({ relations: { books: true }, take: 1, order: { name: 'DESC' } })).map((v) => (Array.isArray(v) ? v.map((a) => a.name) : v)));
  say('in', (await books.findBy({ title: In(['One', 'Three']) })).map((b) => b.title).sort());
  say('built', await books.createQueryBuilder('b').innerJoin('b.author', 'a').select('a.name', 'name').addSelect('count(*)', 'n').groupBy('a.name').orderBy('name').getRawMany());
  say('subquery', (await authors.createQueryBuilder('a').where((q) => `a.id in ${q.subQuery().select('b.author_id').from('book', 'b').where('b.sold = true').getQuery()}`).getMany()).map((a) => a.name));
  await books.update({ title: 'One' }, { sold: true });
  await books.increment({ title: 'One' }, 'price', 1);
  say('changed', (await books.findOneBy({ title: 'One' })).price);
  await source.transaction(async (m) => {
    await m.save('author', { name: 'outer' });
    await m.transaction(async (inner) => { await inner.save('author', { name: 'inner' }); });
    await m.transaction(async (inner) => { await inner.save('author', { name: 'undone' }); throw new Error('no'); }).catch(() => {});
    say('locked', (await m.findOne('author', { where: { id: ann.id }, lock: { mode: 'pessimistic_write' } })).name);
  });
  await source.transaction('SERIALIZABLE', async (m) => { await m.save('author', { name: 'lost' }); throw new Error('no'); }).catch(() => {});
  say('names', (await authors.find({ order: { name: 'ASC' } })).map((a) => a.name));
  await authors.upsert({ id: ann.id, name: 'Ann B.' }, ['id']);
  say('upserted', (await authors.findOneBy({ id: ann.id })).name);
  say('deleted', (await books.delete({ sold: true })).affected);
  say('error', await source.query('select * from nowhere').catch((e) => [e.name, e.driverError.errno]));
  say('synchronized', (await source.driver.createSchemaBuilder().log()).upQueries.map((q) => q.query));
  await source.undoLastMigration();
  await books.clear();
  say('left', (await source.query('show tables')).map((row) => Object.values(row)[0]).sort());
  await source.dropDatabase();
  await source.destroy();
});
