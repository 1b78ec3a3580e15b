#include "control/workflow/foreign_schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vitrail::control {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// MySQL's names of languages, and MariaDB's.
constexpr auto kLanguages = std::to_array<Pair>(
    {{"cs", "czech"},         {"da", "danish"},     {"de_pb", "german2"}, {"eo", "esperanto"}, {"es", "spanish"},
     {"es_trad", "spanish2"}, {"et", "estonian"},   {"hr", "croatian"},   {"hu", "hungarian"}, {"is", "icelandic"},
     {"la", "roman"},         {"lt", "lithuanian"}, {"lv", "latvian"},    {"pl", "polish"},    {"ro", "romanian"},
     {"sk", "slovak"},        {"sl", "slovenian"},  {"sv", "swedish"},    {"tr", "turkish"},   {"vi", "vietnamese"}});
constexpr std::string_view kMysql = "0900_";
constexpr std::string_view kMariadb = "uca1400_";
constexpr std::string_view kNoPad = "nopad_";

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// nullopt: of both kinds. Empty: there is none.
std::optional<std::string> counterpart(std::string_view name) {
  if (name == "utf8mb4_0900_bin") return "utf8mb4_nopad_bin";
  if (name == "utf8mb4_nopad_bin") return "utf8mb4_0900_bin";
  std::string_view rest = name;
  if (!take(rest, "utf8mb4_")) return std::nullopt;
  const size_t mysql = rest.find(kMysql);
  if (mysql != std::string_view::npos) {
    const std::string_view language = rest.substr(0, mysql == 0 ? 0 : mysql - 1);
    const std::string_view kind = rest.substr(mysql + kMysql.size());
    if (language.empty()) return fmt::format("utf8mb4_uca1400_nopad_{}", kind);
    for (const auto& [ours, theirs] : kLanguages) {
      if (ours == language) return fmt::format("utf8mb4_uca1400_{}_nopad_{}", theirs, kind);
    }
    return "";
  }
  if (!take(rest, kMariadb)) return std::nullopt;
  for (const auto& [ours, theirs] : kLanguages) {
    std::string_view kind = rest;
    if (!take(kind, theirs) || !take(kind, "_")) continue;
    take(kind, kNoPad);
    return kind == "ai_ci" || kind == "as_cs" ? fmt::format("utf8mb4_{}_0900_{}", ours, kind) : "";
  }
  take(rest, kNoPad);
  return rest == "ai_ci" || rest == "as_ci" || rest == "as_cs" ? fmt::format("utf8mb4_0900_{}", rest) : "";
}

}  // namespace

std::optional<std::string> with_other_collations(std::string_view create) {
  std::string out;
  bool changed = false;
  for (size_t i = 0; i < create.size();) {
    const char c = create[i];
    if (c == '\'' || c == '"' || c == '`') {
      size_t end = i + 1;
      while (end < create.size() && create[end] != c) end += create[end] == '\\' && c != '`' ? 2 : 1;
      end = std::min(end + 1, create.size());
      out += create.substr(i, end - i);
      i = end;
    } else if (is_word(c)) {
      size_t end = i;
      while (end < create.size() && is_word(create[end])) ++end;
      const std::string_view word = create.substr(i, end - i);
      const auto other = counterpart(word);
      if (other && other->empty()) return std::nullopt;
      changed = changed || other.has_value();
      out += other ? std::string_view(*other) : word;
      i = end;
    } else {
      out += c;
      ++i;
    }
  }
  if (!changed) return std::nullopt;
  return out;
}

}  // namespace vitrail::control
