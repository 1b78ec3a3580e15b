#include "movement/table_schema.h"

#include <fmt/core.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <charconv>
#include <cstring>

#include "base/text.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysqld/schema_sql.h"

namespace vitrail::movement {
namespace {

// INET4, INET6 and UUID: binary strings are read as their stored form, so their text needs a character set.
bool is_text_only_type(const Column& column) {
  return column.column_type.starts_with("uuid") || column.column_type.starts_with("inet");
}

uint32_t collation_id(const Column& column) {
  constexpr uint32_t kBinary = 63;
  if (column.character_set.empty()) return kBinary;
  if (const auto* known = mysql::find_collation(column.collation)) return known->id;
  const auto* usual = mysql::default_collation(column.character_set);
  return usual == nullptr ? mysql::kUtf8mb4GeneralCi : usual->id;
}

void append_quoted(std::string& out, std::string_view introducer, std::string_view text) {
  out += introducer;
  mysql::append_sql_string(out, text);
}

// The double that a FLOAT's text means, in the digits that a comparison with the column needs.
std::string float_as_double(std::string_view text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::string(text);
  return fmt::format("{:.17e}", static_cast<double>(value));
}

}  // namespace

std::optional<size_t> TableSchema::find_column(std::string_view column) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return i;
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (base::equals_ignoring_case(columns[i].name, column)) return i;
  }
  return std::nullopt;
}

::query::Type query_type(std::string_view data_type, std::string_view column_type) {
  struct Entry {
    std::string_view name;
    ::query::Type type;
    ::query::Type unsigned_type;
  };
  static constexpr Entry kTypes[] = {
      {"tinyint", ::query::INT8, ::query::UINT8},
      {"smallint", ::query::INT16, ::query::UINT16},
      {"mediumint", ::query::INT24, ::query::UINT24},
      {"int", ::query::INT32, ::query::UINT32},
      {"bigint", ::query::INT64, ::query::UINT64},
      {"float", ::query::FLOAT32, ::query::FLOAT32},
      {"double", ::query::FLOAT64, ::query::FLOAT64},
      {"decimal", ::query::DECIMAL, ::query::DECIMAL},
      {"timestamp", ::query::TIMESTAMP, ::query::TIMESTAMP},
      {"date", ::query::DATE, ::query::DATE},
      {"time", ::query::TIME, ::query::TIME},
      {"datetime", ::query::DATETIME, ::query::DATETIME},
      {"year", ::query::YEAR, ::query::YEAR},
      {"tinytext", ::query::TEXT, ::query::TEXT},
      {"text", ::query::TEXT, ::query::TEXT},
      {"mediumtext", ::query::TEXT, ::query::TEXT},
      {"longtext", ::query::TEXT, ::query::TEXT},
      {"tinyblob", ::query::BLOB, ::query::BLOB},
      {"blob", ::query::BLOB, ::query::BLOB},
      {"mediumblob", ::query::BLOB, ::query::BLOB},
      {"longblob", ::query::BLOB, ::query::BLOB},
      {"varchar", ::query::VARCHAR, ::query::VARCHAR},
      {"varbinary", ::query::VARBINARY, ::query::VARBINARY},
      {"char", ::query::CHAR, ::query::CHAR},
      {"binary", ::query::BINARY, ::query::BINARY},
      {"bit", ::query::BIT, ::query::BIT},
      {"enum", ::query::ENUM, ::query::ENUM},
      {"set", ::query::SET, ::query::SET},
      {"json", ::query::JSON, ::query::JSON},
      {"vector", ::query::VECTOR, ::query::VECTOR},
  };
  static constexpr std::string_view kGeometry[] = {
      "geometry",        "point",        "linestring",         "polygon",       "multipoint",
      "multilinestring", "multipolygon", "geometrycollection", "geomcollection"};
  for (const Entry& entry : kTypes) {
    if (entry.name != data_type) continue;
    return base::to_lower(column_type).find("unsigned") != std::string::npos ? entry.unsigned_type : entry.type;
  }
  for (std::string_view name : kGeometry) {
    if (name == data_type) return ::query::GEOMETRY;
  }
  return ::query::CHAR;
}

::query::Field to_field(const Column& column, std::string_view table, std::string_view database) {
  ::query::Field field;
  field.set_name(column.name);
  field.set_type(column.type);
  field.set_table(std::string(table));
  field.set_org_table(std::string(table));
  field.set_database(std::string(database));
  field.set_org_name(column.name);
  field.set_column_type(column.column_type);
  field.set_charset(collation_id(column));
  if (!column.character_set.empty()) field.set_decimals(kCollationTold);
  // Readers of VStream know the key and what may be NULL from these alone.
  uint32_t flags = column.key_flags;
  if (!column.nullable) flags |= ::query::NOT_NULL_FLAG;
  if (column.type == ::query::ENUM) flags |= ::query::ENUM_FLAG;
  if (column.type == ::query::SET) flags |= ::query::SET_FLAG;
  if (is_number_type(column.type)) flags |= ::query::NUM_FLAG;
  if (column.is_unsigned()) flags |= ::query::UNSIGNED_FLAG;
  if (column.character_set.empty() && column.type != ::query::CHAR) flags |= ::query::BINARY_FLAG;
  field.set_flags(flags);
  return field;
}

Result<TableMap> read_tables(const mysqld::Rows& table_rows, const mysqld::Rows& column_rows,
                             const mysqld::Rows& index_rows) {
  ASSIGN_OR_RETURN(const auto infos, mysqld::parse_tables(table_rows));
  ASSIGN_OR_RETURN(auto columns, mysqld::parse_columns(column_rows));
  ASSIGN_OR_RETURN(auto indexes, mysqld::parse_indexes(index_rows));
  TableMap tables;
  for (const auto& info : infos) {
    if (info.kind != mysqld::TableKind::kBase) continue;
    TableSchema& schema = tables[info.name];
    schema.name = info.name;
    schema.row_estimate = info.row_estimate;
    schema.data_bytes = info.data_bytes;
  }
  for (auto& column : columns) {
    const auto found = tables.find(column.table);
    if (found == tables.end()) continue;
    Column& out = found->second.columns.emplace_back();
    out.name = std::move(column.name);
    out.type = query_type(base::to_lower(column.data_type), column.column_type);
    out.column_type = std::move(column.column_type);
    out.character_set = std::move(column.character_set);
    out.collation = std::move(column.collation);
    out.is_generated = column.is_generated;
    out.nullable = column.nullable;
    if (column.is_auto_increment) out.key_flags |= ::query::AUTO_INCREMENT_FLAG;
    out.has_default = column.nullable || column.default_text.has_value() || column.is_auto_increment;
  }
  for (size_t begin = 0; begin < indexes.size();) {
    size_t end = begin;
    while (end < indexes.size() && indexes[end].table == indexes[begin].table) ++end;
    const auto found = tables.find(indexes[begin].table);
    if (found != tables.end()) {
      const auto* identity = mysqld::row_identity(std::span(indexes).subspan(begin, end - begin));
      if (identity != nullptr) {
        found->second.identity_index = identity->name;
        for (const std::string& name : identity->columns) {
          const auto at = found->second.find_column(name);
          if (!at) return fail(Code::kInternal, fmt::format("index {} of {} names no column", identity->name, name));
          found->second.identity.push_back(*at);
          found->second.columns[*at].key_flags |=
              identity->is_primary() ? ::query::PRI_KEY_FLAG : ::query::UNIQUE_KEY_FLAG;
        }
      }
    }
    begin = end;
  }
  return tables;
}

net::Task<Result<TableMap>> load_tables(ServerSession& session, std::string database, std::optional<std::string> table,
                                        net::Wait wait) {
  const std::optional<std::string_view> only = table ? std::optional<std::string_view>(*table) : std::nullopt;
  CO_ASSIGN_OR_RETURN(const mysqld::Rows table_rows, co_await session.rows(mysqld::tables_query(database, only), wait));
  CO_ASSIGN_OR_RETURN(const mysqld::Rows column_rows,
                      co_await session.rows(mysqld::columns_query(database, only), wait));
  CO_ASSIGN_OR_RETURN(const mysqld::Rows index_rows,
                      co_await session.rows(mysqld::indexes_query(database, only), wait));
  CO_ASSIGN_OR_RETURN(TableMap tables, read_tables(table_rows, column_rows, index_rows));
  if (table && tables.empty()) {
    co_return fail(Code::kNotFound, fmt::format("there is no table {} in database {}", *table, database));
  }
  co_return std::move(tables);
}

bool is_plain_number(std::string_view text) {
  size_t i = 0;
  bool digit = false;
  if (i < text.size() && text[i] == '-') ++i;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      digit = true;
    } else if (c == '.' || ((c == 'e' || c == 'E') && digit)) {
      if (c != '.' && i + 1 < text.size() && (text[i + 1] == '-' || text[i + 1] == '+')) ++i;
    } else {
      return false;
    }
  }
  return digit;
}

std::string read_expression(const Column& column) {
  const std::string name = mysqld::quote_identifier(column.name);
  return column.type == ::query::FLOAT32 ? fmt::format("CAST({} AS DOUBLE)", name) : name;
}

bool has_key_expression(const Column& column) {
  return column.type == ::query::ENUM || column.type == ::query::SET || column.type == ::query::BIT;
}

std::string key_expression(const Column& column) {
  return has_key_expression(column) ? fmt::format("{}+0", mysqld::quote_identifier(column.name))
                                    : read_expression(column);
}

void append_value_literal(std::string& out, const Column& column, ::query::Type source_type, mysql::Cell text) {
  if (!text) {
    out += "NULL";
    return;
  }
  if (is_number_type(source_type) && is_plain_number(*text)) {
    out += *text;
    // A literal -0 is the whole number 0: only as a real number it keeps its sign.
    const bool real = column.type == ::query::FLOAT32 || column.type == ::query::FLOAT64;
    if (real && text->starts_with('-') && text->find_first_not_of("-0.") == std::string_view::npos) out += "e0";
  } else if (column.type == ::query::JSON) {
    append_quoted(out, "_utf8mb4", *text);  // A JSON column refuses strings without a character set.
  } else if (is_text_only_type(column)) {
    append_quoted(out, text->find('\0') == std::string_view::npos ? "_latin1" : "_binary", *text);
  } else {
    append_quoted(out, "", *text);
  }
}

void append_key_literal(std::string& out, const Column& column, std::string_view text) {
  const bool number = is_number_type(column.type) || has_key_expression(column);
  if (number && is_plain_number(text)) {
    out += text;
  } else if (!column.character_set.empty()) {
    append_quoted(out, "_" + column.character_set, text);
  } else if (is_text_only_type(column)) {
    append_quoted(out, "_latin1", text);
  } else {
    append_quoted(out, "", text);
  }
}

void append_match_literal(std::string& out, const Column& column, ::query::Type source_type, std::string_view text) {
  if (column.type == ::query::FLOAT32) {
    out += float_as_double(text);
  } else if (column.type == ::query::ENUM || column.type == ::query::SET) {
    if (has_flag(source_type, ::query::ISINTEGRAL) && is_plain_number(text)) {
      out += text;
    } else {
      append_quoted(out, column.character_set.empty() ? "" : "_" + column.character_set, text);
    }
  } else if (column.type == ::query::BIT) {
    out += "0x";
    constexpr char kDigits[] = "0123456789abcdef";
    for (const char c : text) {
      out += kDigits[static_cast<uint8_t>(c) >> 4];
      out += kDigits[static_cast<uint8_t>(c) & 15];
    }
    out += "+0";
  } else {
    append_key_literal(out, column, text);
  }
}

std::string key_condition(const TableSchema& table, const std::vector<std::string>& keys, bool after) {
  // From the last column to the first: a > x or (a = x and <rest>). The outer a >= x is what index ranges are made of.
  std::string condition;
  for (size_t i = table.identity.size(); i-- > 0;) {
    const Column& column = table.columns[table.identity[i]];
    const std::string name = mysqld::quote_identifier(column.name);
    std::string literal;
    append_key_literal(literal, column, keys[i]);
    const char strict = after ? '>' : '<';
    if (condition.empty()) {
      condition = fmt::format("{} {}{} {}", name, strict, after ? "" : "=", literal);
    } else {
      condition =
          fmt::format("{0} {1}= {2} AND ({0} {1} {2} OR ({0} = {2} AND {3}))", name, strict, literal, condition);
    }
  }
  return condition;
}

std::string identity_order(const TableSchema& table) {
  std::string order;
  for (const size_t i : table.identity) {
    if (!order.empty()) order += ", ";
    order += mysqld::quote_identifier(table.columns[i].name);
  }
  return order;
}

Result<bool> RowReader::next(mysql::Cell& cell) {
  if (index_ >= row_.lengths_size()) {
    if (offset_ != row_.values().size()) return fail(Code::kDataLoss, "a row has more bytes than its lengths say");
    return false;
  }
  const int64_t length = row_.lengths(index_++);
  if (length < 0) {
    cell = std::nullopt;
    return true;
  }
  if (static_cast<uint64_t>(length) > row_.values().size() - offset_) {
    return fail(Code::kDataLoss, "a row has fewer bytes than its lengths say");
  }
  cell = std::string_view(row_.values()).substr(offset_, static_cast<size_t>(length));
  offset_ += static_cast<size_t>(length);
  return true;
}

Status read_row(const ::query::Row& row, size_t columns, std::vector<mysql::Cell>& cells) {
  cells.clear();
  RowReader reader(row);
  mysql::Cell cell;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(cell));
    if (!more) break;
    cells.push_back(cell);
  }
  if (cells.size() != columns) {
    return fail(Code::kDataLoss, fmt::format("a row has {} values instead of {}", cells.size(), columns));
  }
  return {};
}

void append_cell(::query::Row& row, mysql::Cell cell) {
  if (!cell) {
    row.add_lengths(-1);
    return;
  }
  row.add_lengths(static_cast<int64_t>(cell->size()));
  row.mutable_values()->append(*cell);
}

std::string to_text(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(message, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

namespace {
class Quiet final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string& message) override { text = message; }
  void AddWarning(int, int, const std::string&) override {}
  std::string text;
};
}  // namespace

Status from_text(std::string_view text, google::protobuf::Message& message, std::string_view what) {
  google::protobuf::TextFormat::Parser parser;
  Quiet errors;
  parser.RecordErrorsTo(&errors);
  parser.AllowUnknownField(true);
  if (!parser.ParseFromString(std::string(text), &message)) {
    return fail(Code::kInvalidArgument, fmt::format("{} cannot be read: {}", what, errors.text));
  }
  return {};
}

}  // namespace vitrail::movement
