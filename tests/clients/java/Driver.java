// JDBC: Driver.java SCHEME OPTIONS PORT DATABASE.
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

public class Driver {
  static final String INSERT = "insert into item(name, price, made, ratio, data) values (?, ?, ?, ?, ?)";

  static void say(String step, Object value) { System.out.println("[\"" + step + "\", " + json(value) + "]"); }

  static String json(Object value) {
    if (value instanceof List<?> list) {
      StringJoiner out = new StringJoiner(", ", "[", "]");
      for (Object item : list) out.add(json(item));
      return out.toString();
    }
    if (value instanceof byte[] bytes) return "\"" + HexFormat.of().formatHex(bytes) + "\"";
    if (value == null || value instanceof Number && !(value instanceof BigDecimal) || value instanceof Boolean) return String.valueOf(value);
    return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
  }

  static List<Object> rows(ResultSet found) throws SQLException {
    List<Object> out = new ArrayList<>();
    int columns = found.getMetaData().getColumnCount();
    while (found.next()) {
      List<Object> row = new ArrayList<>();
      for (int i = 1; i <= columns; ++i) row.add(found.getObject(i));
      out.add(row);
    }
    found.close();
    return out;
  }

  static List<Object> query(Connection c, String sql, Object... values) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < values.length; ++i) s.setObject(i + 1, values[i]);
      return rows(s.executeQuery());
    }
  }

  static int update(Connection c, String sql, Object... values) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < values.length; ++i) s.setObject(i + 1, values[i]);
      return s.executeUpdate();
    }
  }

  interface Action { void run() throws SQLException; }

  static void failure(String step, Action action) {
    try {
      action.run();
      say(step, "no error");
    } catch (SQLException error) {
      say(step, List.of(error.getErrorCode(), String.valueOf(error.getSQLState()), error.getClass().getSimpleName()));
    }
  }

  static void writes(Connection c) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
      s.setString(1, "a'b");
      s.setBigDecimal(2, new BigDecimal("1.50"));
      s.setTimestamp(3, Timestamp.valueOf("2024-02-29 10:00:00"));
      s.setDouble(4, 0.25);
      s.setBytes(5, new byte[] {0, (byte) 255, 39, 92});
      say("inserted", s.executeUpdate());
      say("keys", rows(s.getGeneratedKeys()).size());
    }
    try (PreparedStatement s = c.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
      for (int i = 0; i < 5; ++i) {
        s.setString(1, "batch" + i);
        s.setInt(2, i);
        s.setNull(3, Types.TIMESTAMP);
        s.setNull(4, Types.DOUBLE);
        s.setNull(5, Types.BLOB);
        s.addBatch();
      }
      int rows = 0;
      for (int count : s.executeBatch()) rows += count == Statement.SUCCESS_NO_INFO ? 1 : count;
      say("batch", rows);
      say("batch keys", rows(s.getGeneratedKeys()).size());
    }
    try (Statement s = c.createStatement()) {
      s.addBatch("update item set price = price + 1 where name = 'batch1'");
      s.addBatch("update item set price = price + 1 where name = 'batch2'");
      say("statements", Arrays.stream(s.executeBatch()).boxed().toList());
    }
    say("read", query(c, "select name, price, made, ratio, data from item order by id"));
    say("one", query(c, "select name, price from item where name = ?", "a'b"));
    say("none", query(c, "select name from item where id < ?", -100));
    say("in", query(c, "select name from item where name in (?, ?) order by name", "batch1", "batch3"));
    say("sum", query(c, "select count(*), sum(price), max(ratio) from item where name like ?", "batch%"));
    say("limit", query(c, "select name from item order by name desc limit ?", 2));
    say("changed", update(c, "update item set ratio = ? where name = ?", 2.5, "batch1"));
    say("deleted", update(c, "delete from item where name = ?", "batch4"));
    try (PreparedStatement s = c.prepareStatement("insert into item(name, data) values (?, ?)")) {
      s.setString(1, "long");
      s.setBinaryStream(2, new java.io.ByteArrayInputStream(new byte[200_000]), 200_000);
      s.executeUpdate();
    }
    say("long", query(c, "select length(data) from item where name = 'long'"));
  }

  static void transactions(Connection c, Connection other) throws SQLException {
    c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
    say("isolation", c.getTransactionIsolation());
    c.setAutoCommit(false);
    update(c, "update item set name = 'lost'");
    c.rollback();
    update(c, "insert into item(name) values ('kept')");
    Savepoint point = c.setSavepoint("one");
    update(c, "insert into item(name) values ('undone')");
    c.rollback(point);
    Savepoint unnamed = c.setSavepoint();
    c.releaseSavepoint(unnamed);
    say("unseen", query(other, "select name from item where name in ('kept', 'undone', 'lost')"));
    c.commit();
    say("seen", query(other, "select name from item where name in ('kept', 'undone', 'lost')"));
    c.setAutoCommit(true);
    c.setReadOnly(true);
    failure("read only", () -> update(c, "insert into item(name) values ('no')"));
    c.setReadOnly(false);
  }

  static void described(Connection c, String database) throws SQLException {
    DatabaseMetaData about = c.getMetaData();
    List<Object> names = new ArrayList<>();
    try (ResultSet tables = about.getTables(database, null, "%", new String[] {"TABLE"})) {
      while (tables.next()) names.add(List.of(tables.getString("TABLE_CAT"), tables.getString("TABLE_NAME")));
    }
    say("tables", names);
    List<Object> columns = new ArrayList<>();
    try (ResultSet found = about.getColumns(database, null, "item", "%")) {
      while (found.next()) columns.add(List.of(found.getString("COLUMN_NAME"), found.getInt("DATA_TYPE"), found.getString("TYPE_NAME"), found.getInt("COLUMN_SIZE")));
    }
    say("columns", columns);
    List<Object> keys = new ArrayList<>();
    try (ResultSet found = about.getPrimaryKeys(database, null, "item")) {
      while (found.next()) keys.add(List.of(found.getString("TABLE_CAT"), found.getString("COLUMN_NAME"), found.getString("PK_NAME")));
    }
    say("keys of item", keys);
    List<Object> indexes = new ArrayList<>();
    try (ResultSet found = about.getIndexInfo(database, null, "item", false, true)) {
      while (found.next()) indexes.add(List.of(found.getString("INDEX_NAME"), found.getString("COLUMN_NAME"), found.getBoolean("NON_UNIQUE")));
    }
    say("indexes", indexes);
    try (ResultSet found = about.getImportedKeys(database, null, "item")) {
      say("imported", found.next());
    }
    List<Object> catalogs = new ArrayList<>();
    try (ResultSet found = about.getCatalogs()) {
      while (found.next()) if (found.getString(1).equals(database)) catalogs.add(found.getString(1));
    }
    say("catalogs", catalogs);
    say("catalog", c.getCatalog());
    try (PreparedStatement s = c.prepareStatement("select id, name, price from item where id = ?")) {
      ResultSetMetaData shape = s.getMetaData();
      List<Object> found = new ArrayList<>();
      if (shape != null) for (int i = 1; i <= shape.getColumnCount(); ++i) found.add(List.of(shape.getColumnName(i), shape.getColumnTypeName(i), shape.getCatalogName(i), shape.getTableName(i)));
      say("shape", found);
      say("parameters", s.getParameterMetaData().getParameterCount());
    }
  }

  static void rest(Connection c) throws SQLException {
    try (Statement s = c.createStatement()) {
      s.setFetchSize(c.getMetaData().getDriverName().startsWith("MariaDB") ? 1 : Integer.MIN_VALUE);
      say("streamed", rows(s.executeQuery("select name from item order by name")));
    }
    try (Statement s = c.createStatement()) {
      s.setMaxRows(2);
      say("at most", rows(s.executeQuery("select name from item order by name")));
    }
    try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
      ResultSet found = s.executeQuery("select id, name, price from item where name = 'batch2'");
      found.next();
      found.updateBigDecimal("price", new BigDecimal("77"));
      found.updateRow();
      found.close();
    }
    say("updated in place", query(c, "select price from item where name = 'batch2'"));
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(20);
      say("in time", rows(s.executeQuery("select name from item where name = 'kept'")));
      s.executeUpdate("update item set ratio = 'x' where id < 0");
      say("warnings", s.getWarnings() == null);
    }
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      try {
        s.executeQuery("select sleep(5)").next();
        say("too late", "no error");
      } catch (SQLTimeoutException error) {
        say("too late", "timeout");
      }
    }
    say("valid", c.isValid(5));
    c.setCatalog(c.getCatalog());
  }

  public static void main(String[] args) throws Exception {
    String url = "jdbc:" + args[0] + "://127.0.0.1:" + args[2] + "/" + args[3] + args[1];
    try (Connection c = DriverManager.getConnection(url, "demo", ""); Connection other = DriverManager.getConnection(url, "demo", "")) {
      say("version", c.getMetaData().getDatabaseProductVersion().replace("-log", "").replace("5.5.5-", ""));
      say("product", List.of(c.getMetaData().getDatabaseProductName(), c.getMetaData().getDatabaseMajorVersion()));
      try (Statement s = c.createStatement()) {
        s.execute("create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime, ratio double,"
            + " data mediumblob, primary key(id), key by_name(name)) default charset=utf8mb4");
      }
      writes(c);
      transactions(c, other);
      failure("no table", () -> query(c, "select * from nowhere"));
      failure("syntax", () -> query(c, "selec 1"));
      failure("null", () -> update(c, "insert into item(name) values (?)", (Object) null));
      failure("too long", () -> update(c, "insert into item(name) values (?)", "x".repeat(100)));
      Object id = ((List<?>) query(c, "select id from item where name = 'kept'").get(0)).get(0);
      failure("duplicate", () -> update(c, "insert into item(id, name) values (?, 'x')", id));
      described(c, args[3]);
      rest(c);
      try (Statement s = c.createStatement()) {
        s.execute("drop table item");
      }
    }
  }
}
