#include "base/config_file.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace vitrail::base {
namespace {

Result<std::string> scalar_text(const std::string& key, const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number()) return value.dump();
  if (value.is_null()) return std::string();
  return fail(Code::kInvalidArgument, fmt::format("key {}: nested values are not supported", key));
}

Result<std::vector<ConfigEntry>> parse_json(std::string_view text) {
  const nlohmann::json document =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (document.is_discarded()) return fail(Code::kInvalidArgument, "not valid JSON");
  if (!document.is_object()) return fail(Code::kInvalidArgument, "expected a JSON object");
  std::vector<ConfigEntry> entries;
  for (const auto& [key, value] : document.items()) {
    ConfigEntry entry{.key = key, .values = {}};
    if (value.is_array()) {
      for (const auto& item : value) {
        ASSIGN_OR_RETURN(std::string item_text, scalar_text(key, item));
        entry.values.push_back(std::move(item_text));
      }
    } else {
      ASSIGN_OR_RETURN(std::string value_text, scalar_text(key, value));
      entry.values.push_back(std::move(value_text));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

// A YAML scalar at the start of `rest`; takes it and what follows up to the end or one of `stops`.
Result<std::string> take_scalar(std::string_view& rest, std::string_view stops) {
  rest = trim(rest);
  std::string value;
  if (!rest.empty() && (rest[0] == '"' || rest[0] == '\'')) {
    const char quote = rest[0];
    size_t i = 1;
    for (;; ++i) {
      if (i >= rest.size()) return fail(Code::kInvalidArgument, "quote without an end");
      if (rest[i] == quote) {
        if (quote == '\'' && i + 1 < rest.size() && rest[i + 1] == '\'') {
          ++i;
        } else {
          break;
        }
      } else if (quote == '"' && rest[i] == '\\') {
        if (++i >= rest.size()) return fail(Code::kInvalidArgument, "quote without an end");
        switch (rest[i]) {
          case 'n': value.push_back('\n'); continue;
          case 't': value.push_back('\t'); continue;
          case '"':
          case '\\': break;
          default: return fail(Code::kInvalidArgument, fmt::format("unknown escape \\{}", rest[i]));
        }
      }
      value.push_back(rest[i]);
    }
    rest = trim(rest.substr(i + 1));
    if (!rest.empty() && rest[0] == '#') rest = {};
    return value;
  }
  size_t end = 0;
  while (end < rest.size() && stops.find(rest[end]) == std::string_view::npos &&
         !(rest[end] == '#' && (end == 0 || rest[end - 1] == ' '))) {
    ++end;
  }
  value = trim(rest.substr(0, end));
  rest = end < rest.size() && rest[end] == '#' ? std::string_view() : rest.substr(end);
  if (value == "~" || value == "null") value.clear();
  if (value.starts_with('{') || value.starts_with('|') || value.starts_with('>') || value.starts_with('&')) {
    return fail(Code::kInvalidArgument, "nested or block values are not supported");
  }
  return value;
}

Status parse_flow_list(std::string_view rest, std::vector<std::string>& values) {
  rest = trim(rest.substr(1));
  while (!rest.starts_with(']')) {
    ASSIGN_OR_RETURN(std::string item, take_scalar(rest, ",]"));
    values.push_back(std::move(item));
    if (rest.starts_with(',')) {
      rest = trim(rest.substr(1));
    } else if (!rest.starts_with(']')) {
      return fail(Code::kInvalidArgument, "list without an end");
    }
  }
  return {};
}

Status parse_yaml_line(std::string_view line, std::vector<ConfigEntry>& entries, bool& in_list) {
  std::string_view content = trim(line);
  if (content.empty() || content[0] == '#' || content == "---") return {};
  if (content == "-" || content.starts_with("- ")) {
    if (!in_list) return fail(Code::kInvalidArgument, "list item without a key");
    std::string_view rest = content.substr(1);
    ASSIGN_OR_RETURN(std::string item, take_scalar(rest, ""));
    entries.back().values.push_back(std::move(item));
    return {};
  }
  if (line[0] == ' ' || line[0] == '\t') return fail(Code::kInvalidArgument, "nested values are not supported");
  const size_t colon = content.find(':');
  if (colon == std::string_view::npos || (colon + 1 < content.size() && content[colon + 1] != ' ')) {
    return fail(Code::kInvalidArgument, "expected \"key: value\"");
  }
  ConfigEntry entry{.key = std::string(trim(content.substr(0, colon))), .values = {}};
  std::string_view rest = trim(content.substr(colon + 1));
  in_list = rest.empty() || rest[0] == '#';
  if (rest.starts_with('[')) {
    RETURN_IF_ERROR(parse_flow_list(rest, entry.values));
  } else if (!in_list) {
    ASSIGN_OR_RETURN(std::string value, take_scalar(rest, ""));
    entry.values.push_back(std::move(value));
  }
  entries.push_back(std::move(entry));
  return {};
}

}  // namespace

Result<std::vector<ConfigEntry>> parse_config(std::string_view text) {
  if (trim(text).empty()) return std::vector<ConfigEntry>();
  if (trim(text)[0] == '{') return parse_json(text);
  std::vector<ConfigEntry> entries;
  bool in_list = false;
  size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    Status parsed = parse_yaml_line(line, entries, in_list);
    if (!parsed.ok()) return std::move(parsed).error().with_context(fmt::format("line {}", number));
  }
  return entries;
}

}  // namespace vitrail::base
