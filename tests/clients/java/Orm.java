// Hibernate over JDBC: Orm.java SCHEME DIALECT PORT DATABASE. Makes its schema, checks it, and works on it.
import jakarta.persistence.*;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.*;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.Configuration;

public class Orm {
  @Entity(name = "Author") @Table(name = "author", indexes = @Index(name = "author_by_name", columnList = "name"))
  public static class Author {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) public Long id;
    @Column(length = 60, nullable = false) public String name;
    public LocalDate born;
    @OneToMany(mappedBy = "author", cascade = CascadeType.ALL, orphanRemoval = true) @OrderBy("title") public List<Book> books = new ArrayList<>();
    public Author() {}
    public Author(String name, LocalDate born) { this.name = name; this.born = born; }
    Author with(Book book) { book.author = this; books.add(book); return this; }
  }

  @Entity(name = "Book") @Table(name = "book")
  public static class Book {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) public Long id;
    @ManyToOne(fetch = FetchType.LAZY) @JoinColumn(name = "author_id", foreignKey = @ForeignKey(ConstraintMode.NO_CONSTRAINT)) public Author author;
    @Column(length = 100) public String title;
    @Column(precision = 10, scale = 2) public BigDecimal price;
    public boolean sold;
    @Version public int version;
    public Book() {}
    public Book(String title, String price, boolean sold) { this.title = title; this.price = price == null ? null : new BigDecimal(price); this.sold = sold; }
  }

  static void say(String step, Object value) { System.out.println("[\"" + step + "\", \"" + String.valueOf(value).replace("\"", "'") + "\"]"); }

  static List<?> rows(Session s, String query) {
    return s.createQuery(query, Object.class).list().stream().map(row -> row instanceof Object[] many ? Arrays.toString(many) : String.valueOf(row)).toList();
  }

  static void questions(Session s) {
    say("join", rows(s, "select b.title, a.name from Book b join b.author a order by b.title"));
    say("grouped", rows(s, "select a.name, count(b), max(b.price) from Author a left join a.books b group by a.name order by a.name"));
    say("subquery", rows(s, "select a.name from Author a where exists (select 1 from Book b where b.author = a and b.sold = true)"));
    say("having", rows(s, "select b.sold, sum(b.price) from Book b group by b.sold having count(*) > 1"));
    say("paged", s.createQuery("select b.title from Book b order by b.title desc", String.class).setFirstResult(1).setMaxResults(1).list());
    say("fetched", s.createQuery("select distinct a from Author a left join fetch a.books order by a.name", Author.class).list().stream()
        .map(a -> a.name + a.books.stream().map(b -> b.title).toList()).toList());
    say("locked", s.createQuery("from Author a where a.name = 'Ann'", Author.class).setLockMode(LockModeType.PESSIMISTIC_WRITE).getSingleResult().name);
    say("changed", s.createMutationQuery("update Book b set b.price = b.price + 1 where b.price < 5").executeUpdate());
  }

  static SessionFactory open(String[] args, String schema) {
    Configuration settings = new Configuration().addAnnotatedClass(Author.class).addAnnotatedClass(Book.class);
    settings.setProperty("hibernate.connection.url", "jdbc:" + args[0] + "://127.0.0.1:" + args[2] + "/" + args[3]);
    settings.setProperty("hibernate.connection.username", "demo").setProperty("hibernate.hbm2ddl.auto", schema);
    settings.setProperty("hibernate.jdbc.batch_size", "10");
    return settings.buildSessionFactory();
  }

  public static void main(String[] args) {
    java.util.logging.LogManager.getLogManager().reset();
    open(args, "update").close();
    try (SessionFactory factory = open(args, "validate")) {
      Author ann = new Author("Ann", LocalDate.of(1970, 1, 2)).with(new Book("One", "9.99", false)).with(new Book("Two", null, false));
      factory.inTransaction(s -> { s.persist(ann); s.persist(new Author("B\u00f6b", null).with(new Book("Three", "1.01", true))); });
      say("ids", ann.id > 0 && !ann.books.get(0).id.equals(ann.books.get(1).id));
      factory.inTransaction(Orm::questions);
      factory.inTransaction(s -> { Author found = s.find(Author.class, ann.id); found.name = "Ann B."; found.books.remove(0); });
      say("left", factory.fromTransaction(s -> rows(s, "select a.name, b.title from Book b join b.author a order by b.title")));
      try {
        factory.inTransaction(s -> { s.persist(new Author("lost", null)); s.flush(); throw new IllegalStateException(); });
      } catch (IllegalStateException expected) { }
      say("names", factory.fromTransaction(s -> rows(s, "select name from Author order by name")));
      Book stale = factory.fromTransaction(s -> s.createQuery("from Book where title = 'Two'", Book.class).getSingleResult());
      factory.inTransaction(s -> s.createQuery("from Book where title = 'Two'", Book.class).getSingleResult().title = "Two b");
      stale.title = "stale";
      try {
        factory.inTransaction(s -> s.merge(stale));
      } catch (OptimisticLockException error) {
        say("stale", error.getClass().getSimpleName());
      }
      factory.inTransaction(s -> s.remove(s.find(Author.class, ann.id)));
      say("removed", factory.fromTransaction(s -> rows(s, "select count(*) from Book")));
    }
    open(args, "drop").close();
  }
}
