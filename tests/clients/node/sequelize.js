// Sequelize: sequelize.js mysql|mariadb PORT DATABASE.
const { Sequelize, DataTypes, Op, Transaction } = require('sequelize');
const { say, main } = require('./say');

main(async (dialect, port, database) => {
  const db = new Sequelize(database, 'demo', '', { host: '127.0.0.1', port: Number(port), dialect, logging: false, define: { timestamps: false } });
  const Author = db.define('author', { name: { type: DataTypes.STRING(60), allowNull: false }, born: DataTypes.DATEONLY }, { tableName: 'author', indexes: [{ fields: ['name'] }] });
  const Book = db.define('book', { title: DataTypes.STRING(100), price: DataTypes.DECIMAL(10, 2), facts: DataTypes.JSON, sold: { type: DataTypes.BOOLEAN, defaultValue: false },
    made: DataTypes.DATE }, { tableName: 'book' });
  Author.hasMany(Book, { as: 'books', foreignKey: 'author_id', constraints: false });
  Book.belongsTo(Author, { as: 'author', foreignKey: 'author_id', constraints: false });
  await db.authenticate();
  await db.sync({ force: true });
  await db.sync({ alter: true });
  const ann = await Author.create({ name: 'Ann', born: '1970-01-02' });
  const bob = await Author.create({ name: 'Böb' });
  say('ids', [ann.id > 0, bob.id > ann.id]);
  await Book.bulkCreate([{ author_id: ann.id, title: 'One', price: '9.99', facts: { pages: 10 }, made: new Date('2024-02-29T10:00:00Z') },
    { author_id: ann.id, title: 'Two' }, { author_id: bob.id, title: 'Three', price: '1.01', sold: true }]);
  const books = (options) => Book.findAll({ order: ['title'], ...options });
  say('rows', (await books()).map((b) => [b.title, b.price, b.facts, b.sold, b.made]));
  say('join', (await books({ include: 'author' })).map((b) => [b.title, b.author.name]));
  say('nested', (await Author.findAll({ include: 'books', order: ['name', [{ model: Book, as: 'books' }, 'title', 'asc']] })).map((a) => [a.name, a.books.map((b) => b.title)]));
  say('paged', (await Author.findAndCountAll({ include: [{ model: Book, as: 'books', required: true }], distinct: true, limit: 1, order: ['name'] })).count);
  say('grouped', await Book.findAll({ attributes: ['sold', [db.fn('count', db.col('id')), 'n'], [db.fn('sum', db.col('price')), 'total']], group: 'sold', order: ['sold'], raw: true }));
  say('where', (await books({ where: { [Op.or]: [{ title: { [Op.like]: 'T%' } }, { price: { [Op.gt]: 5 } }] } })).map((b) => b.title));
  say('json', (await books({ where: { facts: { pages: 10 } } })).map((b) => b.title));
  say('counts', [await Book.count(), await Book.max('price'), await Book.sum('price'), await Book.count({ distinct: true, col: 'author_id' })]);
  say('made', (await Author.findOrCreate({ where: { name: 'Cid' } }))[1]);
  say('changed', await Book.update({ sold: true }, { where: { price: { [Op.lt]: 5 } } }));
  await Author.upsert({ id: ann.id, name: 'Ann B.' });
  await Book.increment({ price: 1 }, { where: { title: 'One' } });
  say('upserted', [(await Author.findByPk(ann.id)).name, (await Book.findOne({ where: { title: 'One' } })).price]);
  await db.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED }, async (transaction) => {
    await Author.create({ name: 'kept' }, { transaction });
    const row = await Author.findByPk(ann.id, { transaction, lock: transaction.LOCK.UPDATE });
    await db.transaction({ transaction }, async (inner) => { await Author.create({ name: 'inner' }, { transaction: inner }); });
    say('locked', row.name);
  });
  await db.transaction(async (transaction) => { await Author.create({ name: 'lost' }, { transaction }); throw new Error('no'); }).catch(() => {});
  say('names', (await Author.findAll({ order: ['name'] })).map((a) => a.name));
  say('deleted', await Book.destroy({ where: { author_id: ann.id } }));
  say('raw', await db.query('select name from author where name = :name', { replacements: { name: 'Böb' }, type: 'SELECT' }));
  say('bound', await db.query('select name from author where name = $name', { bind: { name: 'Böb' }, type: 'SELECT' }));
  say('error', await db.query('select * from nowhere').catch((error) => [error.name, error.original.errno]));
  say('duplicate', await Author.create({ id: ann.id, name: 'x' }).catch((error) => error.name));
  const queries = db.getQueryInterface();
  await queries.addColumn('book', 'more', { type: DataTypes.TEXT });
  await queries.renameColumn('book', 'more', 'less');
  await queries.addIndex('book', ['title']);
  say('described', Object.entries(await queries.describeTable('book')).map(([name, c]) => [name, c.type, c.allowNull, c.primaryKey]));
  say('indexes', (await queries.showIndex('book')).map((i) => i.name).sort());
  say('tables', (await queries.showAllTables()).map((t) => t.tableName || t).sort());
  await db.drop();
  await db.close();
});
