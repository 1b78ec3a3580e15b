#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Tables as the servers have them: what is needed to make a table of the same columns on another server, and to carry
// rows there without a change of any value.
namespace vitrail::schema {

// A column as information_schema.columns describes it.
struct Column {
  std::string name;
  std::string type;       // "varchar(20)", "enum('a','b')": as DDL takes it.
  std::string data_type;  // "varchar", lower case.
  std::string charset;    // "" where the type has none; and `collation`.
  std::string collation;
  std::string extra;  // "auto_increment", "on update current_timestamp()", lower case.
  bool nullable = true;
  bool invisible = false;
  bool has_default = true;   // An INSERT may leave it out.
  bool null_default = true;  // Left out, it is NULL.
  uint16_t key_flags = 0;    // mysql::kFieldPrimaryKey and its kin, as the server tells them to clients.
};

struct Table {
  std::vector<Column> columns;  // All, in their order.
  // Without regard to case; null when there is none.
  const Column* find(std::string_view column) const;
};

using Keyspace = std::map<std::string, Table, std::less<>>;
// By keyspace. Of those that no tablet has told of yet there is nothing.
using Snapshot = std::map<std::string, std::shared_ptr<const Keyspace>, std::less<>>;

// Null when it is not known.
const Table* find_table(const Snapshot& snapshot, std::string_view keyspace, std::string_view table);

// One row of information_schema.statistics.
struct IndexPart {
  std::string index;
  std::string column;
  uint32_t place = 1;  // In the index, from 1.
  bool unique = false;
};
// Sets Column::key_flags as servers do: a column of the primary key; the only one of a unique key, or the first of
// another; any column of any key.
void set_key_flags(Table& table, const std::vector<IndexPart>& parts);

// In which form a value leaves its server and comes to another one unchanged, whatever the character sets, time zones
// and modes of the sessions.
enum class Form : uint8_t {
  kText,        // As it is printed: whole numbers, decimals, dates, times, UUIDs.
  kBytes,       // Binary strings, which travel as they are.
  kCharacters,  // The bytes that are stored, in the column's character set.
  kNumber,      // ENUM, SET and BIT: the number behind them.
  kDouble,      // FLOAT is printed with fewer digits than it has.
  kUnixTime,    // TIMESTAMP: local time has an hour in autumn twice.
  kJson,        // MySQL's JSON: the text, in utf8mb4.
};
Form form_of(const Column& column);
// What asks for it: `expr` is the column.
std::string select_text(Form form, const std::string& expr);
// What a form's text (never NULL) is stored as. kUnixTime: UTC time, for a session in time zone +00:00.
std::string stored_text(Form form, std::string_view text);

// "varchar(20) character set latin1 collate latin1_bin not null": a column of the same type that INSERT gives any value
// that the original can hold (under sql_mode ALLOW_INVALID_DATES). Generated columns become plain ones.
std::string definition(const Column& column);
// The primary key, where it is one column of whole numbers: by it servers keep rows in order. Else null.
const Column* find_whole_key(const Table& table);
// Whether an index may be made of the whole column.
bool indexable(const Column& column);
// A type of whole numbers.
bool is_whole(const Column& column);
// All the flags of a result's column that its type does not tell, of those that servers send.
uint16_t origin_flags(const Column& column);
inline constexpr uint16_t kPartOfKey = 0x4000;

}  // namespace vitrail::schema
