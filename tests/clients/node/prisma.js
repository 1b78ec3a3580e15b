// Prisma: prisma.js CLIENT PORT DATABASE, where CLIENT is the folder of what was generated from prisma/schema.prisma. Its migrations
// need a program that is not in the npm registry: the tables are made here, without foreign keys.
const { PrismaMariaDb } = require('@prisma/adapter-mariadb');
const { say, main } = require('./say');

const TABLES = [
  'CREATE TABLE `author` (`id` BIGINT NOT NULL AUTO_INCREMENT, `name` VARCHAR(60) NOT NULL, `born` DATE NULL, INDEX `author_name_idx`(`name`), PRIMARY KEY (`id`)) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci',
  'CREATE TABLE `book` (`id` BIGINT NOT NULL AUTO_INCREMENT, `title` VARCHAR(100) NOT NULL, `price` DECIMAL(10, 2) NULL, `facts` JSON NULL, `sold` BOOLEAN NOT NULL DEFAULT false, `made` DATETIME(3) NULL, `data` MEDIUMBLOB NULL, `author_id` BIGINT NOT NULL, INDEX(`author_id`), PRIMARY KEY (`id`)) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci',
  'CREATE TABLE `tag` (`id` BIGINT NOT NULL AUTO_INCREMENT, `label` VARCHAR(30) NOT NULL, `book_id` BIGINT NOT NULL, INDEX(`book_id`), PRIMARY KEY (`id`)) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci'];

main(async (client, port, database) => {
  const { PrismaClient, Prisma } = require(client);
  const adapter = new PrismaMariaDb({ host: '127.0.0.1', port: Number(port), user: 'demo', database, connectionLimit: 3 });
  const db = new PrismaClient({ adapter });
  for (const table of TABLES) await db.$executeRawUnsafe(table);
  const ann = await db.author.create({ data: { name: 'Ann', born: new Date('1970-01-02'), books: { create: [
    { title: 'One', price: '9.99', facts: { pages: 10 }, tags: { create: [{ label: 'a' }, { label: 'b' }] } }, { title: 'Two', made: new Date('2024-02-29T10:00:00.123Z'), data: Buffer.from([0, 39, 92, 255]) }] } },
  include: { books: true } });
  const one = ann.books.find((b) => b.title === 'One');  // In any order.
  const bob = await db.author.create({ data: { name: 'Böb' } });
  await db.book.create({ data: { title: 'Three', price: 1.01, sold: true, author: { connect: { id: bob.id } } } });
  say('ids', [ann.id > 0n, new Set(ann.books.map((b) => b.id)).size]);
  say('rows', (await db.book.findMany({ orderBy: { title: 'asc' } })).map((b) => [b.title, b.price, b.facts, b.sold, b.made, b.data && Buffer.from(b.data).toString('hex')]));
  say('many', (await db.author.createMany({ data: [{ name: 'Cid' }, { name: 'Dan' }] })).count);
  for (const relationLoadStrategy of ['query', 'join']) {
    say(`related, ${relationLoadStrategy}`, await db.author.findMany({ relationLoadStrategy, orderBy: { name: 'asc' },
      select: { name: true, books: { orderBy: { title: 'asc' }, select: { title: true, tags: { orderBy: { label: 'asc' }, select: { label: true } } } } } })
      .catch((error) => [error.code, error.meta && error.meta.driverAdapterError && error.meta.driverAdapterError.cause && error.meta.driverAdapterError.cause.originalCode]));
  }
  say('some', (await db.author.findMany({ where: { books: { some: { price: { gt: 5 } } } } })).map((a) => a.name));
  say('none', (await db.author.findMany({ where: { books: { none: {} } }, orderBy: { name: 'desc' } })).map((a) => a.name));
  say('every', (await db.author.findMany({ where: { books: { every: { sold: true } } }, orderBy: { name: 'asc' } })).map((a) => a.name));
  say('by relation', (await db.book.findMany({ orderBy: [{ author: { name: 'desc' } }, { title: 'desc' }], include: { author: true } })).map((b) => [b.author.name, b.title]));
  say('by count', (await db.author.findMany({ orderBy: [{ books: { _count: 'desc' } }, { name: 'asc' }], include: { _count: { select: { books: true } } } })).map((a) => [a.name, a._count.books]));
  say('text', (await db.book.findMany({ where: { OR: [{ title: { contains: 'w' } }, { title: { startsWith: 'On' } }] }, orderBy: { id: 'asc' } })).map((b) => b.title));
  say('json', (await db.book.findMany({ where: { facts: { path: '$.pages', equals: 10 } } })).map((b) => b.title));
  say('paged', (await db.book.findMany({ cursor: { id: one.id }, skip: 1, take: 2, orderBy: { id: 'asc' } })).map((b) => b.title).sort());
  say('distinct', (await db.book.findMany({ distinct: ['author_id'], orderBy: { title: 'asc' }, select: { title: true } })));
  say('sums', await db.book.aggregate({ _count: { _all: true, price: true }, _sum: { price: true }, _avg: { price: true }, _max: { title: true } }));
  say('grouped', (await db.book.groupBy({ by: ['sold'], _count: { _all: true }, _sum: { price: true }, having: { title: { _count: { gt: 0 } } }, orderBy: { sold: 'asc' } })));
  say('changed', (await db.book.updateMany({ where: { price: { lt: 5 } }, data: { price: { increment: 1 } } })).count);
  say('updated', (await db.book.update({ where: { id: one.id }, data: { title: 'First', tags: { deleteMany: { label: 'b' }, create: { label: 'c' } } }, include: { tags: true } })).tags.map((t) => t.label).sort());
  say('upserted', [(await db.author.upsert({ where: { id: ann.id }, create: { name: 'no' }, update: { name: 'Ann B.' } })).name, (await db.author.upsert({ where: { id: -1n }, create: { name: 'Eve' }, update: {} })).name]);
  say('transaction', await db.$transaction([db.author.count(), db.book.create({ data: { title: 'Four', author_id: bob.id }, select: { title: true } })]));
  await db.$transaction(async (tx) => { await tx.author.create({ data: { name: 'kept' } }); });
  await db.$transaction(async (tx) => { await tx.author.create({ data: { name: 'lost' } }); throw new Error('no'); }, { isolationLevel: Prisma.TransactionIsolationLevel.ReadCommitted }).catch(() => {});
  say('names', (await db.author.findMany({ orderBy: { name: 'asc' } })).map((a) => a.name));
  say('duplicate', await db.author.create({ data: { id: ann.id, name: 'again' } }).catch((error) => error.code));
  say('missing', await db.author.delete({ where: { id: -1n } }).catch((error) => error.code));
  say('raw', await db.$queryRaw`select title, price + ${1} as more from book where sold = ${true} order by title`);
  say('no table', await db.$queryRawUnsafe('select * from nowhere').catch((error) => error.code));
  say('deleted', (await db.tag.deleteMany()).count);
  await db.book.deleteMany({ where: { author: { name: { startsWith: 'Ann' } } } });
  say('left', [await db.book.count(), await db.author.count()]);
  for (const table of ['tag', 'book', 'author']) await db.$executeRawUnsafe(`DROP TABLE \`${table}\``);
  await db.$disconnect();
});
