"""SQLAlchemy: sqlalchemy_orm.py DIALECT PORT DATABASE. Core and ORM, with reflection."""

import datetime
import decimal
import json
import sys

import sqlalchemy as sa
from sqlalchemy import orm


def say(step, value):
    print(json.dumps([step, value], default=str), flush=True)


class Base(orm.DeclarativeBase):
    pass


book_tags = sa.Table("book_tags", Base.metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("book_id", sa.BigInteger),
                     sa.Column("tag_id", sa.BigInteger))


class Author(Base):
    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(60), index=True)
    born: orm.Mapped[datetime.date | None]
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", primaryjoin="foreign(Book.author_id) == Author.id",
                                                       cascade="all, delete-orphan")


class Tag(Base):
    __tablename__ = "tag"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(30))


class Book(Base):
    __tablename__ = "book"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, index=True)
    title: orm.Mapped[str] = orm.mapped_column(sa.String(100))
    price: orm.Mapped[decimal.Decimal | None] = orm.mapped_column(sa.Numeric(10, 2))
    facts: orm.Mapped[dict | None] = orm.mapped_column(sa.JSON)
    sold: orm.Mapped[bool] = orm.mapped_column(default=False)
    author: orm.Mapped[Author] = orm.relationship(back_populates="books", primaryjoin="foreign(Book.author_id) == Author.id")
    tags: orm.Mapped[list[Tag]] = orm.relationship(secondary=book_tags, primaryjoin="Book.id == foreign(book_tags.c.book_id)",
                                                   secondaryjoin="Tag.id == foreign(book_tags.c.tag_id)")


def fill(session):
    ann = Author(name="Ann", born=datetime.date(1970, 1, 2))
    bob = Author(name="B\u00f6b")
    red, blue = Tag(name="red"), Tag(name="blue")
    ann.books = [Book(title="One", price=decimal.Decimal("9.99"), facts={"pages": 10}, tags=[red, blue]), Book(title="Two", tags=[blue])]
    bob.books = [Book(title="Three", price=decimal.Decimal("1.01"), sold=True)]
    session.add_all([ann, bob, red, blue])
    session.commit()
    say("ids", [ann.id > 0, len({book.id for book in ann.books}), bob.books[0].author_id == bob.id])


def queries(session):
    select = sa.select
    say("all", session.execute(select(Author.name, Author.born).order_by(Author.name)).all().__repr__())
    say("join", [tuple(row) for row in session.execute(select(Author.name, Book.title, Book.price).join(Book, Book.author_id == Author.id)
                                                       .order_by(Book.title))])
    say("outer", [tuple(row) for row in session.execute(select(Tag.name, sa.func.count(book_tags.c.book_id))
                                                        .outerjoin(book_tags, book_tags.c.tag_id == Tag.id).group_by(Tag.name).order_by(Tag.name))])
    say("subquery", session.scalars(select(Author.name).where(Author.id.in_(select(Book.author_id).where(Book.sold)))).all())
    say("exists", session.scalars(select(Author.name).where(select(Book.id).where(Book.author_id == Author.id, Book.price > 5).exists())).all())
    counted = select(Book.author_id, sa.func.count().label("n")).group_by(Book.author_id).subquery()
    say("derived", [tuple(row) for row in session.execute(select(Author.name, counted.c.n).join(counted, counted.c.author_id == Author.id)
                                                          .order_by(Author.name))])
    cte = select(Book.title, Book.price).where(Book.price.is_not(None)).cte("priced")
    say("with", [tuple(row) for row in session.execute(select(cte).order_by(cte.c.price))])
    say("window", [tuple(row) for row in session.execute(select(Book.title, sa.func.row_number().over(order_by=Book.title)).order_by(Book.title))])
    say("union", sorted(session.scalars(sa.union_all(select(Author.name), select(Tag.name))).all()))
    say("paged", session.scalars(select(Book.title).order_by(Book.title.desc()).limit(2).offset(1)).all())
    say("having", [tuple(row) for row in session.execute(select(Book.author_id * 0, sa.func.sum(Book.price)).group_by(Book.author_id)
                                                         .having(sa.func.count() > 1))])
    ann = session.scalars(select(Author).where(Author.name == "Ann").options(orm.selectinload(Author.books).selectinload(Book.tags))).one()
    say("loaded", [(book.title, sorted(tag.name for tag in book.tags), book.facts) for book in sorted(ann.books, key=lambda b: b.title)])
    say("joined", sorted(book.author.name for book in session.scalars(select(Book).options(orm.joinedload(Book.author)))))
    say("for update", session.scalars(select(Author.name).where(Author.id == ann.id).with_for_update()).all())
    session.rollback()


def changes(session):
    book = session.scalars(sa.select(Book).where(Book.title == "Two")).one()
    book.price, book.facts = decimal.Decimal("3.50"), {"a": [1, None]}
    session.commit()
    say("changed", session.execute(sa.select(Book.price, Book.facts).where(Book.title == "Two")).all().__repr__())
    with session.begin_nested():
        session.add(Tag(name="green"))
    try:
        with session.begin_nested():
            session.add(Tag(name="lost"))
            session.flush()
            raise KeyError
    except KeyError:
        pass
    session.commit()
    say("nested", sorted(session.scalars(sa.select(Tag.name)).all()))
    say("bulk", session.execute(sa.update(Book).where(Book.price < 5).values(sold=True)).rowcount)
    session.execute(sa.insert(Tag), [{"name": f"t{n}"} for n in range(5)])
    session.commit()
    session.delete(session.scalars(sa.select(Author).where(Author.name == "Ann")).one())
    session.commit()
    say("cascaded", session.scalars(sa.select(sa.func.count()).select_from(Book)).one())
    say("streamed", sorted(session.scalars(sa.select(Tag.name).execution_options(yield_per=2, stream_results=True)).all()))
    session.rollback()


def main(dialect, port, database):
    engine = sa.create_engine(f"mysql+{dialect}://demo@127.0.0.1:{port}/{database}?charset=utf8mb4", pool_size=2, isolation_level="READ COMMITTED")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        fill(session)
        queries(session)
        changes(session)
    looking = sa.inspect(engine)
    say("tables", sorted(looking.get_table_names()))
    say("columns", [(column["name"], str(column["type"]), column["nullable"]) for column in looking.get_columns("book")])
    say("indexes", [(index["name"], index["column_names"]) for index in looking.get_indexes("author")])
    say("key", looking.get_pk_constraint("book"))
    say("foreign keys", looking.get_foreign_keys("book"))
    reflected = sa.MetaData()
    reflected.reflect(engine)
    say("reflected", sorted((table.name, sorted(column.name for column in table.columns)) for table in reflected.tables.values()))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        say("isolation", connection.get_isolation_level())
        say("autocommit", connection.exec_driver_sql("select @@autocommit").scalar())
    with engine.connect() as connection:
        try:
            connection.execute(sa.text("select * from nowhere"))
        except sa.exc.ProgrammingError as error:
            say("error", error.orig.args[0])
    Base.metadata.drop_all(engine)
    say("left", sa.inspect(engine).get_table_names())


if __name__ == "__main__":
    main(*sys.argv[1:])
