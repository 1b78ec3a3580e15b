// The scenario of tests/e2e/drivers.py with JDBC: Smoke.java SCHEME OPTIONS PORT DATABASE.
import java.sql.*;
import java.util.*;

public class Smoke {
  static void say(String step, Object value) {
    System.out.println("[\"" + step + "\", " + json(value) + "]");
  }

  static String json(Object value) {
    if (value instanceof List<?> list) {
      StringJoiner out = new StringJoiner(", ", "[", "]");
      for (Object item : list) out.add(json(item));
      return out.toString();
    }
    return value instanceof String text ? "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"" : String.valueOf(value);
  }

  static List<String> column(ResultSet rows) throws SQLException {
    List<String> out = new ArrayList<>();
    while (rows.next()) out.add(rows.getString(1));
    return out;
  }

  public static void main(String[] args) throws Exception {
    String url = "jdbc:" + args[0] + "://127.0.0.1:" + args[2] + "/" + args[3] + args[1];
    try (Connection c = DriverManager.getConnection(url, "demo", "")) {
      Statement s = c.createStatement();
      ResultSet version = s.executeQuery("select version()");
      version.next();
      say("version", version.getString(1));
      version.close();
      PreparedStatement insert = c.prepareStatement("insert into item(name, price, made) values (?, ?, ?)");
      insert.setString(1, "a'b");
      insert.setBigDecimal(2, new java.math.BigDecimal("1.50"));
      insert.setString(3, "2024-02-29 10:00:00");
      say("inserted", insert.executeUpdate());
      c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
      c.setAutoCommit(false);
      s.executeUpdate("update item set name = 'lost' where id >= 1");
      c.rollback();
      c.setAutoCommit(true);
      PreparedStatement read = c.prepareStatement("select name, price, made from item where name = ?");
      read.setString(1, "a'b");
      ResultSet row = read.executeQuery();
      row.next();
      say("row", List.of(row.getString(1), row.getString(2), row.getString(3).replace(".0", "")));
      row.close();
      PreparedStatement none = c.prepareStatement("select id from item where id < ?");
      none.setInt(1, -100);
      say("empty", column(none.executeQuery()).size());
      PreparedStatement many = c.prepareStatement("select id from item where id > ? order by id");
      many.setInt(1, 0);
      List<String> ids = column(many.executeQuery());
      say("sorted", ids.equals(ids.stream().sorted(Comparator.comparingLong(Long::parseLong)).toList()) && !ids.isEmpty());
      PreparedStatement tables =
          c.prepareStatement("select table_name from information_schema.tables where table_schema = ? order by 1");
      tables.setString(1, args[3]);
      say("tables", column(tables.executeQuery()));
      PreparedStatement shown = c.prepareStatement("show tables");
      say("shown", column(shown.executeQuery()));
      List<String> names = new ArrayList<>();
      ResultSet described = c.getMetaData().getTables(args[3], args[3], "%", new String[] {"TABLE"});
      while (described.next()) names.add(described.getString("TABLE_NAME"));
      say("described", names);
      try {
        s.executeQuery("select * from nowhere");
      } catch (SQLException error) {
        say("error", error.getMessage().contains("nowhere"));
      }
    }
  }
}
