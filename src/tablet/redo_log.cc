#include "tablet/redo_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "mysql/convert.h"
#include "sql/lexer.h"

namespace vitrail::tablet {

Result<Dtid> Dtid::parse(std::string_view text) {
  const auto wrong = [&] {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is no keyspace:shard:number", text));
  };
  const auto plain = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
           c == '.';
  };
  const size_t first = text.find(':');
  const size_t last = text.rfind(':');
  if (first == std::string_view::npos || first == last || text.size() > 500) return wrong();
  Dtid out{std::string(text.substr(0, first)), std::string(text.substr(first + 1, last - first - 1)), 0};
  const std::string_view digits = text.substr(last + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.number);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return wrong();
  if (out.keyspace.empty() || out.shard.empty()) return wrong();
  if (!std::ranges::all_of(out.keyspace, plain) || !std::ranges::all_of(out.shard, plain)) return wrong();
  return out;
}

void RedoLog::add(std::string statement) {
  if (!why_not_.empty()) return;
  bytes_ += statement.size();
  if (bytes_ > kBytesMax) {
    cannot(fmt::format("more than {} bytes of statements", kBytesMax));
    return;
  }
  statements_.push_back(std::move(statement));
}

void RedoLog::change(std::string_view settings, std::string_view now, uint64_t insert_id, std::string_view statement,
                     std::string_view table) {
  changed_ = true;
  if (settings_ != settings && !settings.empty()) add(std::string(settings));
  if (settings_ != settings && settings.empty()) cannot("settings that were taken back");
  settings_ = settings;
  if (!now.empty()) add(fmt::format("set timestamp = {}", now));
  if (insert_id != 0) add(fmt::format("set insert_id = {}", insert_id));
  add(std::string(statement));
  if (!table.empty() && std::ranges::find(tables_, table) == tables_.end()) {
    if (tables_.size() >= kTablesMax) cannot("changes of too many tables");
    tables_.emplace_back(table);
  }
}

void RedoLog::one_row(std::string_view table, const std::vector<std::string>& columns) {
  OneRow one{std::string(table), columns};
  if (std::ranges::find(one_rows_, one) != one_rows_.end()) return;
  if (one_rows_.size() >= kTablesMax) return cannot("many kinds of changes with LIMIT");
  one_rows_.push_back(std::move(one));
}

void RedoLog::without_clock(std::string_view table) {
  if (!was_without_clock(table)) without_clock_.emplace_back(table);
}

bool RedoLog::was_without_clock(std::string_view table) const {
  return std::ranges::find(without_clock_, table) != without_clock_.end();
}

void RedoLog::mark(std::string_view statement) { add(std::string(statement)); }

void RedoLog::cannot(std::string why) {
  if (!why_not_.empty()) return;
  why_not_ = std::move(why);
  statements_.clear();
}

std::optional<std::string> spelt_out(std::string_view text, std::string_view settings,
                                     std::span<const mysql::Parameter> parameters) {
  // Where these are in force a string may have to be written in another way.
  const std::string modes = base::to_lower(settings);
  if (modes.contains("no_backslash_escapes") || modes.contains("ansi")) return std::nullopt;
  std::string out;
  size_t done = 0, index = 0;
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd; token = lexer.next()) {
    if (token.type == sql::TokenType::kError) return std::nullopt;
    if (token.type != sql::TokenType::kParameter) continue;
    if (index >= parameters.size()) return std::nullopt;
    const mysql::Parameter& parameter = parameters[index++];
    if (parameter.type == mysql::FieldType::kFloat) return std::nullopt;
    const auto value = mysql::parameter_value(parameter);
    if (!value.ok()) return std::nullopt;
    out += text.substr(done, token.offset - done);
    mysql::append_sql_literal(out, *value);
    done = token.end();
  }
  if (index != parameters.size()) return std::nullopt;
  out += text.substr(done);
  return out;
}

std::string pack_statements(const std::vector<std::string>& statements) {
  std::string out;
  for (const auto& statement : statements) out += fmt::format("{}:{}", statement.size(), statement);
  return out;
}

Result<std::vector<std::string>> unpack_statements(std::string_view packed) {
  std::vector<std::string> out;
  while (!packed.empty()) {
    const size_t colon = packed.find(':');
    size_t size = 0;
    const auto [end, error] = std::from_chars(packed.data(), packed.data() + std::min(colon, packed.size()), size);
    const bool number = colon != std::string_view::npos && error == std::errc() && end == packed.data() + colon;
    if (!number || size > packed.size() - colon - 1) return fail(Code::kDataLoss, "the statements are damaged");
    out.emplace_back(packed.substr(colon + 1, size));
    packed.remove_prefix(colon + 1 + size);
  }
  return out;
}

}  // namespace vitrail::tablet
