// Reads the binary logs of a real MariaDB server: every column type, image and log setting, compared with what the
// server itself answers to SELECT; transaction boundaries; and a dump over a socket with the commands encoded here.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "mysql/binlog_command.h"
#include "mysql/binlog_server_for_test.h"
#include "mysql/binlog_stream.h"
#include "mysql/client_handshake.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

using std::chrono::steady_clock;
// Replays row changes into tables in memory; the first column is the key.
class Replica {
 public:
  enum class Hints { kNone, kAll };

  Replica(Server& server, Hints hints, RowDecoder::Options options) : options_(options) {
    if (hints == Hints::kNone) return;
    for (Cells& row : server.query("SELECT table_name, column_type FROM information_schema.columns WHERE "
                                   "table_schema='d' ORDER BY table_name, ordinal_position")) {
      auto hint = RowColumnHint::from_column_type(*row[1]);
      EXPECT_TRUE(hint.ok()) << *row[1];
      hints_[*row[0]].push_back(hint.ok() ? std::move(*hint) : RowColumnHint());
    }
  }

  void apply(const BinlogItem& item) {
    event_types.insert(item.header.type);
    const auto* rows = item.as<BinlogRows>();
    if (rows == nullptr || rows->map->schema != "d") return;
    const std::string& table = rows->map->table;
    auto decoder = RowDecoder::create(*rows->map, hints_[table], options_);
    if (!decoder.ok()) {
      refused[table] = decoder.error().to_string();
      return;
    }
    RowsReader reader(*decoder, rows->rows);
    for (;;) {
      const auto more = reader.next(change_);
      ASSERT_TRUE(more.ok()) << table << ": " << more.error().to_string();
      if (!*more) break;
      ++changes;
      Cells row;
      if (!change_.before.empty()) {
        const std::string key(change_.before[0].text);
        ASSERT_TRUE(tables[table].contains(key)) << table << " " << key;
        row = tables[table][key];
        for (size_t i = 0; i < row.size(); ++i) {
          const RowValue& value = change_.before[i];
          if (value.absent()) {
            ++absent;
          } else {
            ASSERT_EQ(value.null(), !row[i].has_value()) << table << " column " << i;
            if (row[i]) ASSERT_EQ(value.text, *row[i]) << table << " column " << i;
          }
        }
        tables[table].erase(key);
      }
      if (change_.after.empty()) continue;
      row.resize(change_.after.values().size());
      for (size_t i = 0; i < row.size(); ++i) {
        const RowValue& value = change_.after[i];
        if (value.absent()) {
          ++absent;
          continue;
        }
        row[i] = value.null() ? std::nullopt : std::optional<std::string>(value.text);
      }
      ASSERT_TRUE(row[0].has_value());
      tables[table][*row[0]] = row;
    }
  }

  std::map<std::string, std::map<std::string, Cells>> tables;
  std::map<std::string, std::string> refused;  // Tables whose decoder could not be made, and why.
  std::set<EventType> event_types;
  size_t changes = 0;
  size_t absent = 0;

 private:
  RowDecoder::Options options_;
  std::map<std::string, std::vector<RowColumnHint>> hints_;
  RowChange change_;
};

struct TypesTable {
  std::string name;
  std::string columns;            // Behind the key.
  std::vector<std::string> rows;  // Behind the key, as SQL.
  bool needs_hints = false;       // Even with FULL metadata, to look like a SELECT.
};

std::string many_columns(std::string_view what) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    if (i > 0) text += ", ";
    text += what == "define" ? "c" + std::to_string(i) + " " +
                                   (i % 3 == 0   ? "int"
                                    : i % 3 == 1 ? "varchar(9)"
                                                 : "bit(3)")
            : i % 7 == 0 ? "NULL"
                         : std::to_string(i % 8);
  }
  return text;
}

// 'm0','m1',...
std::string members(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i > 0 ? ",'m" : "'m") + std::to_string(i) + "'";
  return text;
}

const std::vector<TypesTable>& types_tables() {
  static const std::vector<TypesTable> kTables = {
      {"ints",
       "a tinyint, b tinyint unsigned, c smallint, d smallint unsigned, e mediumint, f mediumint unsigned, g int, h "
       "int "
       "unsigned, i bigint, j bigint unsigned, k bool",
       {"-128,0,-32768,0,-8388608,0,-2147483648,0,-9223372036854775808,0,0",
        "127,255,32767,65535,8388607,16777215,2147483647,4294967295,9223372036854775807,18446744073709551615,1",
        "-1,128,-1,32768,-1,8388608,-1,2147483648,-1,9223372036854775808,1", "0,0,0,0,0,0,0,0,0,0,0",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"}},
      {"zerofilled",
       "a int(5) zerofill, b bigint zerofill, c decimal(10,3) zerofill, d tinyint zerofill, e double(10,2) zerofill, f "
       "float zerofill",
       {"42,7,1.5,3,2.25,1.5", "123456,18446744073709551615,1234567.891,255,1234567.89,1e20", "0,0,0,0,0,0"},
       true},
      {"reals",
       "a double, b double unsigned",
       {"1e14,1e14", "1e15,1e15", "1e-15,1e-15", "1e-16,1e-16", "-1.5,1.5", "1.7976931348623157e308,5e-324",
        "-2.2250738585072014e-308,0.1", "123456789012345.678,1234567890123456.7", "12345678901234567890,1e22", "0,0",
        "-0.000015,3", "NULL,NULL", "-1*0e0, 100"}},
      {"fixed_reals",
       "a double(10,3), b float(7,4), c double(30,20)",
       {"1.5,1.5,1.5", "-1234567.891,-999.9999,0.1", "0,0,0", "0.0005,0.00005,1e-20"},
       true},
      {"decimals",
       "a decimal(65,30), b decimal(10,0), c decimal(5,5), d decimal(9,9), e decimal(18,9) unsigned, f decimal(1,0), g "
       "decimal(65,0), h decimal(30,30), i decimal(11,2), j decimal(20,18)",
       {"-99999999999999999999999999999999999.999999999999999999999999999999,-9999999999,-0.99999,-0.999999999,0,-9,"
        "-99999999999999999999999999999999999999999999999999999999999999999,-0.000000000000000000000000000001,"
        "-999999999.99,-99.999999999999999999",
        "99999999999999999999999999999999999.999999999999999999999999999999,9999999999,0.99999,0.999999999,"
        "999999999.999999999,9,99999999999999999999999999999999999999999999999999999999999999999,"
        "0.999999999999999999999999999999,999999999.99,99.999999999999999999",
        "0,0,0,0,0,0,0,0,0,0", "1,-1,0.00001,-0.000000001,1.000000001,1,1000000000,0.1,-0.05,-0.000000000000000001",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", "-0.5,10,-0.5,0.5,100000000,0,-1,0,10000000,10"}},
      {"bits",
       "a bit, b bit(8), c bit(9), d bit(64), e bit(17)",
       {"b'1',b'11111111',b'111111111',b'1111111111111111111111111111111111111111111111111111111111111111',"
        "b'10000000000000001'",
        "0,0,0,0,0", "1,10,13,9,92", "NULL,NULL,NULL,NULL,NULL"}},
      {"chars",
       "a char(10), b char(255) character set utf8mb4, c char(10) character set latin1, d binary(10), e binary(255), f "
       "char(0), g char(100) character set utf16, h char(5) character set binary, i char(255) character set ascii",
       {"'abc  ',repeat('é',255),'é',x'610000',repeat('x',255),'','é😀',x'00','ascii'", "'','','','','',NULL,'','',''",
        "'1234567890',repeat('😀',255),'x',x'00ff0000',x'00','','  ','abcde',repeat('y',255)",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        "' a ','\\t\\n\\\\','ÿ',x'20202020',x'2000','','a ',x'2020','  '"}},
      {"varchars",
       "a varchar(255) character set latin1, b varchar(256) character set latin1, c varchar(63), d varchar(64) "
       "character "
       "set utf8mb4, e varbinary(255), f varbinary(256), g varchar(5000), h varchar(0)",
       {"'a  ',repeat('b',256),'c','é😀',x'6100',x'0000',repeat('long ',1000),''", "'','','','','','','',''",
        "repeat('a',255),'b',repeat('😀',63),repeat('😀',64),repeat('e',255),repeat('f',256),'','' ",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"}},
      {"blobs",
       "a tinyblob, b blob, c mediumblob, d longblob, e tinytext, f text, g mediumtext character set latin1, h "
       "longtext",
       {"repeat('a',255),repeat(x'00',65535),repeat('c',70000),repeat('d',17000000),repeat('e',255),repeat('f',65535),"
        "repeat('g',70000),repeat('h',100000)",
        "'','','','','','','',''", "x'00',x'0a09',x'5c',x'ff','tab\\t','new\\nline','é','😀'",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"}},
      {"dates",
       "a date, b year, c time, d time(1), e time(2), f time(3), g time(4), h time(5), i time(6)",
       {"'1000-01-01',1901,'-838:59:59','-838:59:59.9','-838:59:59.99','-838:59:59.999','-838:59:59.9999',"
        "'-838:59:59.99999','-838:59:59.999999'",
        "'9999-12-31',2155,'838:59:59','838:59:59.9','838:59:59.99','838:59:59.999','838:59:59.9999',"
        "'838:59:59.99999','838:59:59.999999'",
        "'0000-00-00',0,0,0,0,0,0,0,0",
        "'2024-02-29',2024,'-00:00:01','-00:00:00.1','-00:00:00.01','-00:00:00.001','-00:00:00.0001','-00:00:00.00001',"
        "'-00:00:00.000001'",
        "'2024-00-00',2000,'12:34:56','-12:34:56.7','-12:34:56.78','-12:34:56.789','-12:34:56.7891','-12:34:56.78912',"
        "'-12:34:56.789123'",
        "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        "'1970-01-01',1970,'-01:00:00','-01:00:00','-01:00:00','-01:00:00','-01:00:00','-01:00:00','-01:00:00'"}},
      {"datetimes",
       "a datetime, b datetime(1), c datetime(2), d datetime(3), e datetime(4), f datetime(5), g datetime(6)",
       {"'1000-01-01 00:00:00','1000-01-01 00:00:00.1','1000-01-01 00:00:00.12','1000-01-01 00:00:00.123',"
        "'1000-01-01 00:00:00.1234','1000-01-01 00:00:00.12345','1000-01-01 00:00:00.123456'",
        "'9999-12-31 23:59:59','9999-12-31 23:59:59.9','9999-12-31 23:59:59.99','9999-12-31 23:59:59.999',"
        "'9999-12-31 23:59:59.9999','9999-12-31 23:59:59.99999','9999-12-31 23:59:59.999999'",
        "0,0,0,0,0,0,0", "NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        "'2024-00-00 01:02:03','2024-02-00','2024-02-29 12:00:00.01','2024-12-31','2024-01-01','2024-06-15 01:01:01',"
        "'0000-00-00 00:00:00.000001'"}},
      {"timestamps",
       "a timestamp null, b timestamp(1) null, c timestamp(2) null, d timestamp(3) null, e timestamp(4) null, f "
       "timestamp(5) null, g timestamp(6) null",
       {"'1970-01-01 00:00:01','1970-01-01 00:00:01.1','1970-01-01 00:00:01.12','1970-01-01 00:00:01.123',"
        "'1970-01-01 00:00:01.1234','1970-01-01 00:00:01.12345','1970-01-01 00:00:01.123456'",
        "'2038-01-19 03:14:07','2038-01-19 03:14:07.9','2038-01-19 03:14:07.99','2038-01-19 03:14:07.999',"
        "'2038-01-19 03:14:07.9999','2038-01-19 03:14:07.99999','2038-01-19 03:14:07.999999'",
        "0,0,0,0,0,0,0", "NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        "'2024-02-29 23:59:59','2024-03-01','2000-02-29','2000-12-31 "
        "23:59:59','1999-12-31','2023-02-28','2024-12-31'"}},
      {"enums",
       "a enum('x','y''z','','é','back\\\\slash','a,b') character set utf8mb4, b set('r','g','b','é') character set "
       "latin1, c enum('é','l') character set latin1, d set('a','b','c','d','e','f','g','h','i')",
       {"'x','r','é','a,i'", "'y''z','r,g,b,é','l',''", "'','','é','a,b,c,d,e,f,g,h,i'", "'é','é','l','i'",
        "'back\\\\slash','g','é','h'", "NULL,NULL,NULL,NULL", "'no such','no such','no such','no such'",
        "'a,b','b','l','b'"}},
      {"many_members",
       "a enum(" + members(300) + "), b set(" + members(64) + "), c set(" + members(17) + "), d enum(" + members(255) +
           ")",
       {"'m299','m63','m16','m254'", "'m0',18446744073709551615,131071,'m0'", "'m255','m0,m31,m32','m0,m8','m127'"}},
      {"documents", "a json, b longtext", {"'{\"a\": [1, 2.5, null, \"é\"]}','x'", "'[]',''", "NULL,NULL"}},
      {"shapes",
       "a geometry, b point, c polygon",
       {"point(1,2),point(-1.5,1e300),polygon(linestring(point(0,0),point(1,0),point(1,1),point(0,0)))",
        "linestring(point(0,0),point(1,1)),NULL,NULL"}},
      {"compressed",
       "a varchar(1000) compressed, b varbinary(20) compressed, c blob compressed, d mediumtext compressed character "
       "set "
       "latin1, e longblob compressed, f tinytext compressed",
       {"'short','x','','é','z','t'",
        "repeat('a',1000),repeat('b',20),repeat('c',60000),repeat('d',70000),"
        "repeat('e',300000),repeat('f',200)",
        "NULL,NULL,NULL,NULL,NULL,NULL", "'','','','','',''"}},
      {"ids",
       "a uuid, b inet6, c inet4",
       {"'123e4567-e89b-12d3-a456-426655440000','2001:db8::','192.0.2.0'",
        "'00000000-0000-0000-0000-000000000000','::','0.0.0.0'",
        "'ffffffff-ffff-7fff-bfff-ffffffffffff','::ffff:192.0.2.1','255.255.255.255'",
        "'00112233-4455-6677-8899-aabbccddeeff','::1.2.3.4','1.2.3.4'", "NULL,NULL,NULL",
        "'00112233-4455-6677-8899-aabbccddee00','1:0:0:2:0:0:0:3','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','1:0:2:0:3:0:4:0','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','::1','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','::ffff:0:1','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','::ffff','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','::1:ffff','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','0:1:2:3:4:5:6:7','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','0:0:2:3:4:5:0:0','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','a:b:c:d:e:f:0:0','10.0.0.0'",
        "'00112233-4455-6677-8899-aabbccddee00','0:0:1:0:0:0:0:0','10.0.0.0'"},
       true},
      {"wide", many_columns("define"), {many_columns("row"), many_columns("row")}},
  };
  return kTables;
}

// The same in MariaDB's temporal formats of before 10.1.
const std::vector<TypesTable>& old_temporal_tables() {
  static const std::vector<TypesTable> kTables = [] {
    std::vector<TypesTable> tables;
    for (const TypesTable& table : types_tables()) {
      if (table.name != "dates" && table.name != "datetimes" && table.name != "timestamps") continue;
      tables.push_back(table);
      tables.back().name = "old_" + table.name;
      tables.back().needs_hints = true;
    }
    return tables;
  }();
  return kTables;
}

std::string insert_sql(const TypesTable& table) {
  std::string sql;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    sql += "INSERT INTO " + table.name + " VALUES (" + std::to_string(i + 1) + "," + table.rows[i] + ");\n";
  }
  return sql;
}

struct LogSettings {
  std::string name;
  std::vector<std::string> arguments;
  bool full_metadata;
  bool full_image;
  bool compressed;
};

void PrintTo(const LogSettings& settings, std::ostream* out) { *out << settings.name; }

class BinlogTypes : public testing::TestWithParam<LogSettings> {
 protected:
  void SetUp() override {
    server_ = std::make_unique<Server>(GetParam().arguments);
    ASSERT_TRUE(server_->ready()) << server_->why();
    std::string sql =
        "SET NAMES utf8mb4; SET column_compression_threshold=100; CREATE DATABASE d CHARACTER SET utf8mb4; "
        "USE d;\n";
    const auto create = [&](const TypesTable& table) {
      sql += "CREATE TABLE " + table.name + "(id int primary key, " + table.columns + ") row_format=dynamic;\n";
    };
    for (const TypesTable& table : types_tables()) create(table);
    sql += "SET GLOBAL mysql56_temporal_format=0;\n";
    for (const TypesTable& table : old_temporal_tables()) create(table);
    sql += "SET GLOBAL mysql56_temporal_format=1; SET GLOBAL max_allowed_packet=67108864;\n";
    ASSERT_TRUE(server_->run(sql)) << server_->last_error();
    sql = "SET NAMES utf8mb4; USE d;\n";
    for (const auto* tables : {&types_tables(), &old_temporal_tables()}) {
      for (const TypesTable& table : *tables) {
        sql += insert_sql(table);
        // Changes of several rows in one event, of one column, of none but the key, and deletions.
        const std::string last = std::to_string(table.rows.size());
        sql += "UPDATE " + table.name + " SET id=id+100;\n";
        sql += "UPDATE " + table.name + " SET id=id-100 ORDER BY id;\n";
        sql += "INSERT INTO " + table.name + " SELECT * FROM (SELECT * FROM " + table.name + ") AS s WHERE false;\n";
        sql += "DELETE FROM " + table.name + " WHERE id=" + last + ";\n";
        sql += "INSERT INTO " + table.name + " VALUES (" + last + "," + table.rows.back() + ");\n";
      }
    }
    // The server decides by an event's first row whether to compress it; most keys here are too short for it.
    sql +=
        "CREATE TABLE gone(id varchar(50) primary key, n int); INSERT INTO gone SELECT repeat(seq, 10), seq FROM "
        "seq_1_to_500; DELETE FROM gone;\n";
    sql += "SET column_compression_zlib_wrap=1;\n";
    sql += "UPDATE compressed SET a=repeat('wrapped',100), e=repeat('wrapped',1000) WHERE id=1;\n";
    sql +=
        "UPDATE ints SET a=5 WHERE id=1; UPDATE wide SET c299=b'101' WHERE id=1; UPDATE wide SET c0=NULL WHERE id=2;\n";
    ASSERT_TRUE(server_->run(sql)) << server_->last_error();
  }

  // Reads everything and compares the given tables with what the server has.
  void compare(Replica& replica, const std::vector<TypesTable>& tables, bool with_hints) {
    for (const TypesTable& table : tables) {
      if (table.needs_hints && !with_hints) continue;
      // Member names that come from information_schema are in UTF-8.
      const bool utf8 = table.name == "enums" && !GetParam().full_metadata;
      const auto expected =
          server_->query("SELECT * FROM d." + table.name + " ORDER BY id", utf8 ? "utf8mb4" : "binary");
      ASSERT_EQ(expected.size(), table.rows.size());
      ASSERT_FALSE(replica.refused.contains(table.name)) << replica.refused[table.name];
      auto& rows = replica.tables[table.name];
      EXPECT_EQ(rows.size(), expected.size()) << table.name;
      for (const Cells& row : expected) {
        ASSERT_TRUE(rows.contains(*row[0])) << table.name << " " << *row[0];
        const Cells& got = rows[*row[0]];
        ASSERT_EQ(got.size(), row.size()) << table.name;
        for (size_t i = 0; i < row.size(); ++i) {
          ASSERT_EQ(got[i].has_value(), row[i].has_value()) << table.name << " row " << *row[0] << " column " << i;
          if (row[i])
            EXPECT_TRUE(*got[i] == *row[i]) << table.name << " row " << *row[0] << " column " << i << "\n  got  "
                                            << shown(*got[i]) << "\n  want " << shown(*row[i]);
        }
      }
    }
  }
  void check_with_schema();
  void check_without_schema();
  static std::string shown(const std::string& text) { return testing::PrintToString(text.substr(0, 100)); }

  std::unique_ptr<Server> server_;
};

TEST_P(BinlogTypes, ValuesEqualThoseOfSelectWithAndWithoutSchema) {
  ASSERT_NO_FATAL_FAILURE(check_with_schema());
  ASSERT_NO_FATAL_FAILURE(check_without_schema());
}

void BinlogTypes::check_with_schema() {
  Replica replica(*server_, Replica::Hints::kAll, {.member_names = true});
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) { replica.apply(item); }));
  ASSERT_NO_FATAL_FAILURE(compare(replica, types_tables(), true));
  ASSERT_NO_FATAL_FAILURE(compare(replica, old_temporal_tables(), true));
  EXPECT_TRUE(replica.tables.contains("gone"));
  EXPECT_TRUE(replica.tables["gone"].empty());
  EXPECT_EQ(replica.absent > 0, !GetParam().full_image);
  for (const EventType type : {EventType::kMariadbQueryCompressed, EventType::kMariadbWriteRowsCompressedV1,
                               EventType::kMariadbUpdateRowsCompressedV1, EventType::kMariadbDeleteRowsCompressedV1}) {
    EXPECT_EQ(replica.event_types.contains(type), GetParam().compressed) << event_type_name(type);
  }
  EXPECT_EQ(parser.position().prefixed_string(), "MariaDB/" + server_->value("SELECT @@gtid_binlog_pos"));
}

// FULL metadata replaces the schema; less is noticed.
void BinlogTypes::check_without_schema() {
  Replica replica(*server_, Replica::Hints::kNone, {.member_names = GetParam().full_metadata});
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) { replica.apply(item); }));
  std::set<std::string> refused;
  for (const auto& [table, why] : replica.refused) {
    EXPECT_NE(why.find("FAILED_PRECONDITION"), std::string::npos) << why;
    EXPECT_NE(why.find("binlog_row_metadata"), std::string::npos) << why;
    refused.insert(table);
  }
  if (GetParam().full_metadata) {
    EXPECT_EQ(refused, (std::set<std::string>{"old_dates", "old_datetimes", "old_timestamps"}));
    ASSERT_NO_FATAL_FAILURE(compare(replica, types_tables(), false));
  } else {
    EXPECT_EQ(refused.size(), types_tables().size() + old_temporal_tables().size() + 1);  // Each has an integer.
  }
}

INSTANTIATE_TEST_SUITE_P(
    Settings, BinlogTypes,
    testing::Values(LogSettings{"Full", {"--binlog-row-metadata=FULL", "--binlog-row-image=FULL"}, true, true, false},
                    LogSettings{"CompressedMinimal",
                                {"--binlog-row-metadata=FULL", "--binlog-row-image=MINIMAL", "--log-bin-compress=ON",
                                 "--log-bin-compress-min-len=10", "--binlog-annotate-row-events=OFF"},
                                true,
                                false,
                                true},
                    LogSettings{"NoMetadataNoChecksum",
                                {"--binlog-row-metadata=NO_LOG", "--binlog-row-image=NOBLOB", "--binlog-checksum=NONE"},
                                false,
                                false,
                                false}),
    [](const auto& info) { return info.param.name; });

class BinlogLog : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<Server>(std::vector<std::string>{"--binlog-row-metadata=FULL"});
  }
  static void TearDownTestSuite() { server_.reset(); }
  void SetUp() override {
    ASSERT_TRUE(server_->ready()) << server_->why();
    ASSERT_TRUE(
        server_->run("DROP DATABASE IF EXISTS d; RESET MASTER; CREATE DATABASE d; CREATE TABLE d.t(id int primary key "
                     "auto_increment, v int); CREATE TABLE "
                     "d.m(id int primary key, v int) ENGINE=MyISAM"))
        << server_->last_error();
  }
  static std::unique_ptr<Server> server_;
};
std::unique_ptr<Server> BinlogLog::server_;

// With a server of its own, for a dump goes on at the server for a while after its connection is closed.
class BinlogDump : public BinlogLog {
 protected:
  static void SetUpTestSuite() { BinlogLog::SetUpTestSuite(); }
  static void TearDownTestSuite() { BinlogLog::TearDownTestSuite(); }
};

TEST_F(BinlogLog, FloatsKeepAllTheirDigits) {
  ASSERT_TRUE(
      server_->run("CREATE TABLE d.f(id int primary key, f float); INSERT INTO d.f VALUES (1,0.1),(2,16777217),"
                   "(3,3.4028234e38),(4,1.17549435e-38),(5,-123456.789),(6,1e-45),(7,9999999),(8,33333333),(9,0),"
                   "(10,-3.40282346638528859812e38)"));
  Replica replica(*server_, Replica::Hints::kNone, {});
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) { replica.apply(item); }));
  const auto exact = server_->query("SELECT id, CAST(f AS DOUBLE) FROM d.f");
  ASSERT_EQ(exact.size(), 10u);
  for (const Cells& row : exact) {
    const std::string& text = *replica.tables["f"][*row[0]][1];
    EXPECT_EQ(std::strtof(text.c_str(), nullptr), static_cast<float>(std::strtod(row[1]->c_str(), nullptr))) << text;
    // Behind these a server that reads it as a double says that it is out of range.
    EXPECT_LE(std::fabs(std::strtod(text.c_str(), nullptr)), std::numeric_limits<float>::max()) << text;
    const bool largest = *row[0] == "3" || *row[0] == "10";
    EXPECT_LE(text.size(), largest ? 23u : 15u) << text;
  }
}

TEST_F(BinlogLog, IdsWithoutSchemaAreBytesThatTheServerTakesBack) {
  const std::string create = "(id int primary key, u uuid, i inet6, j inet4);";
  ASSERT_TRUE(server_->run("CREATE TABLE d.u" + create + "CREATE TABLE d.copy" + create +
                           "INSERT INTO d.u VALUES (1,'123e4567-e89b-12d3-a456-426655440000','2001:db8::','10.0.0.0'),"
                           "(2,'00112233-4455-7677-8899-aabbccddeeff','::1','1.2.3.4')"));
  Replica replica(*server_, Replica::Hints::kNone, {});
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) { replica.apply(item); }));
  ASSERT_EQ(replica.tables["u"].size(), 2u);
  for (const auto& [key, row] : replica.tables["u"]) {
    std::string sql = "INSERT INTO d.copy VALUES (" + key;
    for (size_t i = 1; i < row.size(); ++i) {
      ASSERT_EQ(row[i]->size(), i == 3 ? 4u : 16u);
      sql += ",x'";
      for (const char c : *row[i]) {
        char digits[3];
        std::snprintf(digits, sizeof(digits), "%02x", static_cast<uint8_t>(c));
        sql += digits;
      }
      sql += "'";
    }
    ASSERT_TRUE(server_->run(sql + ")")) << server_->last_error();
  }
  EXPECT_EQ(server_->query("SELECT * FROM d.copy ORDER BY id"), server_->query("SELECT * FROM d.u ORDER BY id"));
}

TEST_F(BinlogLog, EnumsAndSetsCanBeNumbers) {
  ASSERT_TRUE(
      server_->run("CREATE TABLE d.e(id int primary key, e enum('a','b'), s set('x','y','z')); INSERT INTO d.e "
                   "VALUES (1,'b','x,z'),(2,'','')"));
  Replica replica(*server_, Replica::Hints::kNone, {});
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) { replica.apply(item); }));
  EXPECT_EQ(replica.tables["e"]["1"], (Cells{"1", "2", "5"}));
  EXPECT_EQ(replica.tables["e"]["2"], (Cells{"2", "0", "0"}));
}

TEST_F(BinlogLog, TableMapsCarryNamesKeysAndCollations) {
  ASSERT_TRUE(
      server_->run("CREATE TABLE d.k(b varbinary(20), `näme` text character set latin1, c varchar(30) character set "
                   "utf8mb4, primary key(c, b(3))); INSERT INTO d.k VALUES ('a','b','c'); INSERT INTO d.k VALUES "
                   "('d','e','f'); ALTER TABLE d.k ADD x int unsigned; INSERT INTO d.k VALUES ('g','h','i',1)"));
  std::vector<std::shared_ptr<const TableMap>> maps;
  BinlogStreamParser parser({});
  ASSERT_NO_FATAL_FAILURE(read_logs(*server_, parser, [&](const BinlogItem& item) {
    if (const auto* table = item.as<BinlogTable>()) maps.push_back(table->map);
  }));
  ASSERT_EQ(maps.size(), 3u);
  EXPECT_EQ(maps[0], maps[1]);  // The same definition is parsed once.
  EXPECT_NE(maps[1], maps[2]);
  const TableMap& map = *maps[0];
  EXPECT_EQ(map.schema, "d");
  EXPECT_EQ(map.table, "k");
  EXPECT_TRUE(map.has_names);
  ASSERT_EQ(map.columns.size(), 3u);
  EXPECT_EQ(map.columns[1].name, "näme");
  EXPECT_EQ(map.columns[0].collation, kBinaryCollation);
  EXPECT_EQ(map.columns[1].collation, 8);
  EXPECT_EQ(map.columns[2].collation, 45);
  EXPECT_FALSE(map.columns[2].nullable);
  EXPECT_TRUE(map.columns[1].nullable);
  ASSERT_EQ(map.primary_key.size(), 2u);
  EXPECT_EQ(map.primary_key[0].column, 2u);
  EXPECT_EQ(map.primary_key[0].prefix, 0u);
  EXPECT_EQ(map.primary_key[1].column, 0u);
  EXPECT_EQ(map.primary_key[1].prefix, 3u);
  EXPECT_EQ(maps[2]->columns[3].is_unsigned, true);
}

// One line for each transaction: what is in it.
std::vector<std::string> outline(Server& server, BinlogStreamParser& parser) {
  std::vector<std::string> lines;
  std::string line;
  bool open = false;
  read_logs(server, parser, [&](const BinlogItem& item) {
    if (const auto* begin = item.as<BinlogBegin>()) {
      EXPECT_FALSE(open);
      open = true;
      line = begin->ddl ? "ddl:" : begin->prepared_xa ? "xa:" : "begin:";
    } else if (const auto* query = item.as<BinlogQuery>()) {
      EXPECT_TRUE(open);
      line += " [" + std::string(query->query.sql) + "]";
      if (query->alter == AlterPhase::kStart) line += "(start)";
      if (query->alter == AlterPhase::kCommit) line += "(commit)";
    } else if (const auto* rows = item.as<BinlogRows>()) {
      EXPECT_TRUE(open);
      line += " " + rows->map->table + std::to_string(static_cast<int>(rows->rows.kind));
    } else if (const auto* commit = item.as<BinlogCommit>()) {
      EXPECT_TRUE(open);
      EXPECT_TRUE(commit->gtid.has_value());
      open = false;
      switch (commit->kind) {
        case CommitKind::kCommit: line += " commit"; break;
        case CommitKind::kStandalone: line += " standalone"; break;
        case CommitKind::kXaCommit: line += " xa-commit"; break;
        case CommitKind::kXaPrepared: line += " prepared " + commit->xa->to_sql(); break;
        case CommitKind::kRollback: line += " rollback"; break;
      }
      lines.push_back(line);
    }
  });
  EXPECT_FALSE(open);
  return lines;
}

TEST_F(BinlogLog, TransactionsEndWhereTheServerEndsThem) {
  ASSERT_TRUE(server_->run(R"sql(
    USE d;
    INSERT INTO t VALUES (1,1);
    BEGIN; INSERT INTO t VALUES (2,2); UPDATE t SET v=3 WHERE id=2; DELETE FROM t WHERE id=1; COMMIT;
    BEGIN; INSERT INTO t VALUES (9,9); ROLLBACK;
    ALTER TABLE t ADD w int;
    CREATE TABLE ctas AS SELECT 1 a;
    INSERT INTO m VALUES (1,1);
    XA START 'abc','def',3; INSERT INTO t VALUES (20,1,1); XA END 'abc','def',3; XA PREPARE 'abc','def',3;
    XA COMMIT 'abc','def',3;
    XA START 'y'; INSERT INTO t VALUES (21,1,1); XA END 'y'; XA PREPARE 'y'; XA ROLLBACK 'y';
    XA START 'x'; INSERT INTO t VALUES (22,1,1); XA END 'x'; XA COMMIT 'x' ONE PHASE;
    BEGIN; INSERT INTO t VALUES (30,1,1); SAVEPOINT b; INSERT INTO t VALUES (31,1,1); ROLLBACK TO b; COMMIT;
    BEGIN; INSERT INTO t VALUES (32,1,1); SAVEPOINT c; INSERT INTO m VALUES (2,2); INSERT INTO t VALUES (33,1,1);
      ROLLBACK TO c; COMMIT;
    FLUSH BINARY LOGS;
    SET binlog_alter_two_phase=1; ALTER TABLE t ADD x int;
    SET binlog_format=STATEMENT; INSERT INTO t(v) VALUES (rand());
    DROP TABLE ctas;
  )sql"))
      << server_->last_error();
  BinlogStreamParser parser({});
  const std::vector<std::string> lines = outline(*server_, parser);
  const std::vector<std::string> tail(lines.begin() + 3, lines.end());  // Behind the set-up.
  const std::vector<std::string> expected = {
      "begin: t0 commit",
      "begin: t0 t1 t2 commit",
      "ddl: [ALTER TABLE t ADD w int] standalone",
      "ddl: [CREATE TABLE `ctas` (\n  `a` int(1) NOT NULL\n)] ctas0 commit",
      "begin: m0 commit",
      "xa: t0 prepared X'616263',X'646566',3",
      "begin: [XA COMMIT X'616263',X'646566',3] standalone",
      "xa: t0 prepared X'79',X'',1",
      "begin: [XA ROLLBACK X'79',X'',1] standalone",
      "begin: t0 commit",
      "begin: t0 [SAVEPOINT `b`] commit",
      "begin: m0 commit",
      "begin: t0 [SAVEPOINT `c`] t0 [ROLLBACK TO `c`] commit",
      "ddl: [ALTER TABLE t ADD x int](start) standalone",
      "ddl: [ALTER TABLE t ADD x int](commit) standalone",
      "begin: [INSERT INTO t(v) VALUES (rand())] commit",
      "ddl: [DROP TABLE `ctas` /* generated by server */] standalone",
  };
  EXPECT_EQ(tail, expected);
  EXPECT_EQ(parser.position().prefixed_string(), "MariaDB/" + server_->value("SELECT @@gtid_binlog_pos"));
  // A log file does not name itself; the ROTATE at the end of the first names the second.
  const auto status = server_->query("SHOW BINLOG STATUS");
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(parser.place().to_string(), *status[0][0] + ":" + *status[0][1]);
}

TEST_F(BinlogLog, EveryFlippedBitOfAnEventIsNoticed) {
  ASSERT_TRUE(server_->run("INSERT INTO d.t VALUES (1,1)"));
  std::string bytes = server_->log_file("bin.000001");
  BinlogBytes rest = as_bytes(bytes).subspan(4);
  const auto format = take_event(rest);
  ASSERT_TRUE(format.ok());
  EXPECT_TRUE(parse_event(*format, ChecksumAlgorithm::kUnknown).ok());  // Of a log in use.
  size_t events = 0;
  while (!rest.empty()) {
    const auto event = take_event(rest);
    ASSERT_TRUE(event.ok());
    ++events;
    std::vector<uint8_t> copy(event->begin(), event->end());
    for (size_t bit = 0; bit < copy.size() * 8; bit += 3) {
      copy[bit / 8] ^= 1 << (bit % 8);
      ASSERT_FALSE(parse_event(copy, ChecksumAlgorithm::kCrc32).ok()) << bit;
      copy[bit / 8] ^= 1 << (bit % 8);
    }
  }
  EXPECT_GT(events, 5u);
}

// A connection that only this test needs: login, statements, a dump.
class DumpConnection {
 public:
  explicit DumpConnection(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return;
    ClientHandshake handshake({.user = "root", .secure_transport = true});
    for (;;) {
      const auto message = receive();
      if (!message) return;
      std::string out;
      const auto next = handshake.on_message(sequence_, *message, out);
      send_all(out);
      if (next == ClientHandshake::Next::kDone) {
        ready_ = true;
        return;
      }
      if (next != ClientHandshake::Next::kRead) return;
    }
  }
  ~DumpConnection() { close(fd_); }
  DumpConnection(const DumpConnection&) = delete;
  DumpConnection& operator=(const DumpConnection&) = delete;

  bool ready() const { return ready_; }

  void command(std::string_view payload) {
    std::string out;
    PacketWriter(out).message(payload);
    send_all(out);
  }
  // The next message; none when the server closed or is silent for too long.
  std::optional<std::string> receive() {
    for (;;) {
      auto message = reader_.next(buffer_);
      if (!message.ok()) return std::nullopt;
      if (*message) {
        std::string payload((*message)->payload);
        sequence_ = (*message)->last_sequence;
        buffer_.erase(0, (*message)->consumed);
        return payload;
      }
      char chunk[65536];
      const ssize_t got = recv(fd_, chunk, sizeof(chunk), 0);
      if (got <= 0) return std::nullopt;
      buffer_.append(chunk, static_cast<size_t>(got));
    }
  }
  // Sends one statement or command and expects OK.
  bool ok(std::string_view payload) {
    command(payload);
    const auto answer = receive();
    return answer && !answer->empty() && (*answer)[0] == 0;
  }
  bool prepare(const Position& from, DumpSession session) {
    const auto statements = mariadb_dump_session(from, session);
    if (!statements.ok()) return false;
    for (const std::string& sql : *statements) {
      if (!ok("\x03" + sql)) return false;
    }
    return true;
  }

 private:
  void send_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  int fd_ = -1;
  bool ready_ = false;
  uint8_t sequence_ = 0;
  std::string buffer_;
  MessageReader reader_;
};

TEST_F(BinlogDump, DumpsOverASocketFromAGtidPosition) {
  ASSERT_TRUE(server_->run("INSERT INTO d.t VALUES (1,1)")) << server_->last_error();
  const auto from = Position::parse_bare(GtidFlavor::kMariadb, server_->value("SELECT @@gtid_binlog_pos"));
  ASSERT_TRUE(from.ok());
  ASSERT_TRUE(
      server_->run("FLUSH BINARY LOGS; INSERT INTO d.t VALUES (2,2); FLUSH BINARY LOGS; INSERT INTO d.t VALUES "
                   "(3,3)"));
  DumpConnection connection(server_->socket());
  ASSERT_TRUE(connection.ready());
  ASSERT_TRUE(connection.prepare(*from, {.heartbeat = std::chrono::milliseconds(300)}));
  ASSERT_TRUE(connection.ok(encode_register_slave({.server_id = 4711, .host = "reader", .port = 33})));
  connection.command(encode_binlog_dump({"", 4}, 4711, 0));
  BinlogStreamParser parser({.position = *from});
  std::vector<std::string> seen;
  bool written = false;
  std::string live_gtid;
  while (seen.empty() || seen.back() != "live") {
    const auto message = connection.receive();
    ASSERT_TRUE(message.has_value());
    ASSERT_EQ((*message)[0], 0) << message->substr(1);
    const auto items = parser.feed(as_bytes(*message).subspan(1));
    ASSERT_TRUE(items.ok()) << items.error().to_string();
    for (const BinlogItem& item : *items) {
      if (const auto* rows = item.as<BinlogRows>()) {
        auto decoder = RowDecoder::create(*rows->map, {}, {});
        ASSERT_TRUE(decoder.ok());
        RowsReader reader(*decoder, rows->rows);
        RowChange change;
        auto more = reader.next(change);
        ASSERT_TRUE(more.ok() && *more);
        seen.push_back(change.after[0].text == "50" ? "live" : std::string(change.after[0].text));
      }
      if (const auto* heartbeat = item.as<BinlogHeartbeat>()) {
        EXPECT_EQ(heartbeat->at, parser.place());
        if (!written) {  // All is read; now write while the dump waits.
          written = true;
          EXPECT_EQ(seen, (std::vector<std::string>{"2", "3"}));
          const auto status = server_->query("SHOW BINLOG STATUS");
          EXPECT_EQ(parser.place().to_string(), *status[0][0] + ":" + *status[0][1]);
          EXPECT_EQ(parser.position().to_string(), server_->value("SELECT @@gtid_binlog_pos"));
          const auto readers = server_->query("SHOW SLAVE HOSTS");
          ASSERT_EQ(readers.size(), 1u);
          EXPECT_EQ(*readers[0][0], "4711");
          EXPECT_EQ(*readers[0][1], "reader");
          EXPECT_EQ(*readers[0][2], "33");
          ASSERT_TRUE(server_->run("INSERT INTO d.t VALUES (50,50)"));
        }
      }
    }
  }
  EXPECT_TRUE(written);
}

TEST_F(BinlogDump, RefusesAPositionTheServerDoesNotHave) {
  const auto from = Position::parse("MariaDB/0-7-1000");
  DumpConnection connection(server_->socket());
  ASSERT_TRUE(connection.ready());
  ASSERT_TRUE(connection.prepare(*from, {}));
  connection.command(encode_binlog_dump({"", 4}, 4712, 0));
  for (;;) {
    const auto message = connection.receive();
    ASSERT_TRUE(message.has_value());
    ASSERT_FALSE(message->empty());
    if (static_cast<uint8_t>((*message)[0]) == 0xff) {
      EXPECT_NE(message->find("0-7-1000"), std::string::npos) << *message;
      break;
    }
    ASSERT_EQ((*message)[0], 0);
  }
}

TEST_F(BinlogDump, DumpsFromAFilePosition) {
  ASSERT_TRUE(server_->run("INSERT INTO d.t VALUES (1,1)"));
  const auto status = server_->query("SHOW BINLOG STATUS");
  const auto from = FilePosition::parse(*status[0][0] + ":" + *status[0][1]);
  ASSERT_TRUE(from.ok());
  ASSERT_TRUE(server_->run("INSERT INTO d.t VALUES (2,2)"));
  DumpConnection connection(server_->socket());
  ASSERT_TRUE(connection.ready());
  ASSERT_TRUE(connection.prepare(Position(*from), {}));
  connection.command(encode_binlog_dump(*from, 4713, kDumpNonBlocking));
  BinlogStreamParser parser({.start = *from});
  int inserts = 0;
  for (;;) {
    const auto message = connection.receive();
    ASSERT_TRUE(message.has_value());
    if (static_cast<uint8_t>((*message)[0]) == 0xfe) break;  // The end of the log.
    ASSERT_EQ((*message)[0], 0) << message->substr(1);
    const auto items = parser.feed(as_bytes(*message).subspan(1));
    ASSERT_TRUE(items.ok()) << items.error().to_string();
    for (const BinlogItem& item : *items) inserts += item.as<BinlogRows>() != nullptr ? 1 : 0;
  }
  EXPECT_EQ(inserts, 1);
  const auto end = server_->query("SHOW BINLOG STATUS");
  EXPECT_EQ(parser.place().to_string(), *end[0][0] + ":" + *end[0][1]);
}

}  // namespace
}  // namespace vitrail::mysql
