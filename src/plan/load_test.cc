// Lines of a file, as LOAD DATA tells them apart.
#include "plan/load.h"

#include <gtest/gtest.h>

namespace vitrail::plan {
namespace {

// "line[field,field]" for each, whatever the pieces that the file comes in.
std::string cut(const LoadFormat& format, std::string_view file, size_t piece) {
  LineCutter cutter(format, {0, 2});
  std::string out;
  for (size_t at = 0;; at += piece) {
    const bool last = at >= file.size();
    if (!last) cutter.add(file.substr(at, piece));
    while (auto line = cutter.next(last)) {
      out += std::string(line->bytes) + "[" + line->fields[0].value_or("NULL") + "," +
             line->fields[1].value_or("NULL") + "]";
      if (!line->complete) out += "?";
    }
    if (last) return out;
  }
}

TEST(LineCutter, FindsLinesAndFieldsWhateverThePieces) {
  LoadFormat plain;
  LoadFormat csv;
  csv.field_end = ",";
  csv.enclosed = '"';
  csv.line_end = "\r\n";
  LoadFormat odd;
  odd.field_end = "||";
  odd.line_end = "END";
  odd.escape = std::nullopt;
  struct Case {
    const LoadFormat& format;
    const char* file;
    const char* lines;
  };
  for (const Case& item : std::initializer_list<Case>{
           {plain, "1\ta\tx\n2\tb\ty\n", "1\ta\tx\n[1,x]2\tb\ty\n[2,y]"},
           {plain, "1\ta\tx", "1\ta\tx[1,x]"},
           {plain, "1\ta\n", "1\ta\n[1,NULL]?"},
           {plain, "\\N\ta\\\tb\tx\\\ny\n", "\\N\ta\\\tb\tx\\\ny\n[NULL,x\ny]"},
           {plain, "\\t\ta\t\\\\\n", "\\t\ta\t\\\\\n[\t,\\]"},
           {csv, "\"1\",a,\"x\r\ny\"\r\n2,b,z\r\n", "\"1\",a,\"x\r\ny\"\r\n[1,x\r\ny]2,b,z\r\n[2,z]"},
           {csv, "\"a\"\"b\",c,\"d\"e\"\r\n", "\"a\"\"b\",c,\"d\"e\"\r\n[a\"b,d\"e]"},
           {csv, "NULL,\"NULL\",\"NULL\"\r\n", "NULL,\"NULL\",\"NULL\"\r\n[NULL,NULL]"},
           {odd, "1||\\||xEND2||b||yEND", "1||\\||xEND[1,x]2||b||yEND[2,y]"},
       }) {
    for (const size_t piece : {1, 2, 3, 7, 1000}) {
      EXPECT_EQ(cut(item.format, item.file, piece), item.lines) << item.file << " in pieces of " << piece;
    }
  }
}

TEST(LoadedValue, IsWhatTheColumnStoresOrRefused) {
  const auto column = [](std::string type, std::string charset = "", bool nullable = true) {
    schema::Column out;
    out.name = "c";
    out.type = type;
    out.data_type = type.substr(0, type.find_first_of("( "));
    out.charset = std::move(charset);
    out.nullable = nullable;
    return out;
  };
  const std::string euro = "\xe2\x82\xac";
  const std::string smile = "\xf0\x9f\x98\x80";
  struct Case {
    schema::Column column;
    std::optional<std::string> field;
    const char* charset;
    std::optional<std::string> value;  // nullopt: refused.
  };
  const std::vector<Case> cases = {
      {column("int(11)"), "12", "utf8mb4", "12"},
      {column("int(11)"), "-12", "utf8mb4", "-12"},
      {column("int(11)"), "0", "utf8mb4", "0"},
      {column("int(11) unsigned"), "-1", "utf8mb4", std::nullopt},
      {column("tinyint(4)"), "128", "utf8mb4", std::nullopt},
      {column("int(11)"), "012", "utf8mb4", std::nullopt},
      {column("int(11)"), "-0", "utf8mb4", std::nullopt},
      {column("int(11)"), "1.5", "utf8mb4", std::nullopt},
      {column("int(11)"), " 1", "utf8mb4", std::nullopt},
      {column("int(11)"), "", "utf8mb4", std::nullopt},
      {column("bigint(20)"), "99999999999999999999", "utf8mb4", std::nullopt},
      {column("varchar(5)", "utf8mb4"), "a b", "utf8mb4", "a b"},
      {column("varchar(5)", "utf8mb4"), "longer", "utf8mb4", std::nullopt},
      {column("varchar(5)", "utf8mb4"), "a", "unknown", "a"},
      {column("varchar(5)", "utf8mb4"), euro, "unknown", std::nullopt},
      {column("varchar(5)", "utf8mb4"), euro, "utf8mb3", euro},
      {column("varchar(5)", "utf8mb4"), "\x80", "latin1", euro},
      {column("varchar(5)", "utf8mb4"), "\xe2\x82", "utf8mb4", std::nullopt},
      {column("varchar(5)", "utf8mb4"), "\xed\xa0\x80", "utf8mb4", std::nullopt},
      {column("varchar(5)", "utf8mb3"), smile, "utf8mb4", std::nullopt},
      {column("varchar(5)", "utf8mb4"), smile, "utf8mb4", smile},
      {column("varchar(5)", "latin1"), euro, "utf8mb4", std::nullopt},
      {column("varchar(5)", "latin1"), "abc", "utf8mb4", "abc"},
      {column("varbinary(5)"), "\xff", "utf8mb4", "\xff"},
      {column("date"), "2026-01-01", "utf8mb4", std::nullopt},
  };
  for (const auto& one : cases) {
    const auto value = loaded_value(one.column, one.field, one.charset);
    EXPECT_EQ(value.ok(), one.value.has_value()) << one.column.type << " " << *one.field << " " << one.charset;
    if (value.ok() && one.value) EXPECT_EQ(value->bytes, *one.value);
  }
  const auto null = loaded_value(column("int(11)"), std::nullopt, "utf8mb4");
  ASSERT_TRUE(null.ok());
  EXPECT_TRUE(null->is_null());
  EXPECT_FALSE(loaded_value(column("int(11)", "", false), std::nullopt, "utf8mb4").ok());
}

}  // namespace
}  // namespace vitrail::plan
