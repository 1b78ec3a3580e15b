// libmariadb's C interface, which programs for libmysqlclient use as well: driver PORT DATABASE. A step is a line of JSON.
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int failed, MYSQL* c) {
  if (!failed) return;
  fprintf(stderr, "%u %s\n", mysql_errno(c), mysql_error(c));
  exit(1);
}

static void print_rows(const char* step, MYSQL* c) {
  MYSQL_RES* result = mysql_store_result(c);
  printf("[\"%s\", [", step);
  if (result != NULL) {
    const char* between = "";
    for (MYSQL_ROW row; (row = mysql_fetch_row(result)) != NULL; between = ", ") {
      printf("%s[", between);
      for (unsigned i = 0; i < mysql_num_fields(result); ++i) printf(row[i] == NULL ? "%snull" : "%s\"%s\"", i == 0 ? "" : ", ", row[i]);
      printf("]");
    }
    mysql_free_result(result);
  }
  printf("]]\n");
}

static void query(const char* step, MYSQL* c, const char* sql) {
  must(mysql_query(c, sql), c);
  print_rows(step, c);
}

static void failure(const char* step, MYSQL* c, const char* sql) {
  const int failed = mysql_query(c, sql);
  printf("[\"%s\", [%d, %u, \"%s\"]]\n", step, failed != 0, mysql_errno(c), mysql_sqlstate(c));
}

static void prepared(MYSQL* c) {
  MYSQL_STMT* s = mysql_stmt_init(c);
  const char* insert = "insert into item(name, price) values (?, ?)";
  must(mysql_stmt_prepare(s, insert, strlen(insert)), c);
  char name[64];
  unsigned long length = 0;
  int price = 0;
  MYSQL_BIND in[2] = {{.buffer_type = MYSQL_TYPE_STRING, .buffer = name, .buffer_length = sizeof name, .length = &length}, {.buffer_type = MYSQL_TYPE_LONG, .buffer = &price}};
  must(mysql_stmt_bind_param(s, in), c);
  for (price = 1; price <= 5; ++price) {
    length = (unsigned long)snprintf(name, sizeof name, "p%d", price);
    must(mysql_stmt_execute(s), c);
  }
  printf("[\"prepared insert\", [%llu, %d]]\n", (unsigned long long)mysql_stmt_affected_rows(s), mysql_stmt_insert_id(s) > 0);
  must(mysql_stmt_close(s), c);
  s = mysql_stmt_init(c);
  const unsigned long cursor = CURSOR_TYPE_READ_ONLY, rows = 2;
  must(mysql_stmt_attr_set(s, STMT_ATTR_CURSOR_TYPE, &cursor), c);
  must(mysql_stmt_attr_set(s, STMT_ATTR_PREFETCH_ROWS, &rows), c);
  const char* select = "select name, price from item where price >= ? order by name";
  must(mysql_stmt_prepare(s, select, strlen(select)), c);
  price = 1;
  must(mysql_stmt_bind_param(s, in + 1), c);
  must(mysql_stmt_execute(s), c);
  MYSQL_BIND out[2] = {{.buffer_type = MYSQL_TYPE_STRING, .buffer = name, .buffer_length = sizeof name, .length = &length}, {.buffer_type = MYSQL_TYPE_LONG, .buffer = &price}};
  must(mysql_stmt_bind_result(s, out), c);
  int found = 0, sum = 0;
  while (mysql_stmt_fetch(s) == 0) ++found, sum += price;
  printf("[\"cursor\", [%d, %d]]\n", found, sum);
  must(mysql_stmt_close(s), c);
}

int main(int count, char** args) {
  if (count != 3) return 2;
  MYSQL* c = mysql_init(NULL);
  mysql_options(c, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(c, "127.0.0.1", "demo", "", args[2], (unsigned)atoi(args[1]), NULL, CLIENT_MULTI_STATEMENTS) == NULL) must(1, c);
  query("created", c, "create table item(id bigint not null auto_increment, name varchar(64) not null, price int, primary key(id)) default charset=utf8mb4");
  query("inserted", c, "insert into item(name, price) values ('a', 1), ('b', null)");
  printf("[\"affected\", [%llu, %d, \"%s\"]]\n", (unsigned long long)mysql_affected_rows(c), mysql_insert_id(c) > 0, mysql_info(c));
  query("read", c, "select name, price from item order by name");
  prepared(c);
  must(mysql_query(c, "select 1; update item set price = 7 where name = 'b'; select name from item where price = 7"), c);
  int more = 0;
  do {
    print_rows("several", c);
    more = mysql_next_result(c);
  } while (more == 0);
  must(more > 0, c);
  must(mysql_autocommit(c, 0), c);
  query("updated", c, "update item set name = 'lost'");
  must(mysql_rollback(c), c);
  query("kept", c, "insert into item(name) values ('kept')");
  must(mysql_commit(c), c);
  must(mysql_autocommit(c, 1), c);
  query("names", c, "select name from item order by name");
  failure("no table", c, "select * from nowhere");
  failure("syntax", c, "selec 1");
  failure("null", c, "insert into item(name) values (null)");
  must(mysql_query(c, "select 1 + 'a'"), c);
  print_rows("warned", c);
  printf("[\"warnings\", %u]\n", mysql_warning_count(c));
  must(mysql_change_user(c, "demo", "", args[2]), c);
  must(mysql_reset_connection(c), c);
  must(mysql_select_db(c, args[2]), c);
  must(mysql_ping(c), c);
  must(mysql_set_server_option(c, MYSQL_OPTION_MULTI_STATEMENTS_OFF), c);
  failure("several no more", c, "select 1; select 2");
  MYSQL_RES* fields = mysql_list_fields(c, "item", "%");
  printf("[\"fields\", %u]\n", fields == NULL ? 0 : mysql_num_fields(fields));
  mysql_free_result(fields);
  printf("[\"statistics\", %d]\n", strlen(mysql_stat(c)) > 10);
  query("dropped", c, "drop table item");
  mysql_close(c);
  return 0;
}
